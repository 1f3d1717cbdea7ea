"""Graph to file: one writer per format, each loaded on first use."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

from pocketvision.graph.graph import Graph
from pocketvision.graph.storage import STORAGES
from pocketvision.values import Manifest, Precision

FORMATS = {
    "c": "pocketvision.export.c:write",
    "coreml": "pocketvision.export.coreml:write",
    "executorch": "pocketvision.export.executorch:write",
    "litert": "pocketvision.export.litert:write",
    "onnx": "pocketvision.export.onnx:write",
    "openvino": "pocketvision.export.openvino:write",
}
"""Format's name to its writer: (graph, manifest, path) -> bytes written."""
PACKAGES = {"coreml": "coremltools", "executorch": "executorch", "openvino": "openvino"}
"""Format's name to the package that its writer needs; the extra of that format installs it."""
PROVERS = {"litert": "ai_edge_litert"}
"""Format's name to the package that proving its file needs, where writing needs none."""
SUFFIXES = {
    "c": ".c",
    "coreml": ".mlpackage",
    "executorch": ".pte",
    "litert": ".tflite",
    "onnx": ".onnx",
    "openvino": ".xml",
}
_USUAL: tuple[Precision, ...] = ("float", "float16", "int8")
HELD: Mapping[str, tuple[Precision, ...]] = {
    "c": ("int8",),
    "coreml": tuple(STORAGES),
    "executorch": ("float", "int8"),
    "litert": _USUAL,
    "onnx": _USUAL,
    "openvino": _USUAL,
}
"""Format's name to how its files can store weights."""
SPARSE = ("coreml",)
"""Formats whose files store pruned and shared weights as such, not one by one."""


def writer_of(name: str) -> Callable[[Graph, Manifest, Path], int]:
    """Load the writer of a format."""
    module, function = FORMATS[name].split(":")
    writer: Callable[[Graph, Manifest, Path], int] = getattr(importlib.import_module(module), function)
    return writer
