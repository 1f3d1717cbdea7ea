"""Graph to file: one writer per format, each loaded on first use."""

FORMATS = {"onnx": "pocketvision.export.onnx:write"}
"""Format's name, which is also the file's suffix, to its writer: (graph, manifest, path) -> bytes written."""
