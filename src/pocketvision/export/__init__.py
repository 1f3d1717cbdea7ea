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
SUFFIXES = {
    "c": ".c",
    "coreml": ".mlpackage",
    "executorch": ".pte",
    "litert": ".tflite",
    "onnx": ".onnx",
    "openvino": ".xml",
}
