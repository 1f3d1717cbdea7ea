"""Graph to file: one writer per format, each loaded on first use."""

FORMATS = {"litert": "pocketvision.export.litert:write", "onnx": "pocketvision.export.onnx:write"}
"""Format's name to its writer: (graph, manifest, path) -> bytes written."""
SUFFIXES = {"litert": ".tflite", "onnx": ".onnx"}
