"""Graph to file: one writer per format, each loaded on first use."""

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
