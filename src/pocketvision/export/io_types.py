"""What the pages of `USE.md` say of a LiteRT or C file's input and output, by their types."""

import re
from pathlib import Path

from pocketvision.errors import WeightsError
from pocketvision.runtime.litert import read_manifest
from pocketvision.values import Io

_READ = 'net.get_tensor(net.get_output_details()[0]["index"])[0]'
_SWIFT = "let {} = try net.output(at: 0).data.withUnsafeBytes {{ Array($0.bindMemory(to: {}.self)) }}"
_STEPS = "steps of 0.4%, at most 255/256"
FACTS: dict[Io, dict[str, str]] = {
    "mixed": {
        "entry": "uint8",
        "answer": "float32",
        "meaning": "",
        "less": "",
        "py_pixels": "pixels",
        "py_answer": _READ,
        "kt_array": "FloatArray",
        "kt_answer": "answer[0]",
        "swift_answer": _SWIFT.format("probabilities", "Float32"),
        "js_answer": "await answer.data()",
        "cpp_entry": "uint8_t",
        "cpp_answer": "float",
        "cpp_meaning": "the probabilities",
        "c_entry": "uint8",
        "c_answer": "f",
    },
    "uint8": {
        "entry": "uint8",
        "answer": "uint8",
        "meaning": f" A\nprobability is the number divided by 256: {_STEPS}.",
        "less": "",
        "py_pixels": "pixels",
        "py_answer": f"{_READ} / 256",
        "kt_array": "ByteArray",
        "kt_answer": "answer[0].map { (it.toInt() and 255) / 256f }",
        "swift_answer": _SWIFT.format("levels", "UInt8") + "\nlet probabilities = levels.map { Float($0) / 256 }",
        "js_answer": "Float32Array.from(await answer.data(), (level) => level / 256)",
        "cpp_entry": "uint8_t",
        "cpp_answer": "uint8_t",
        "cpp_meaning": "a probability is answer[i] / 256.0f",
        "c_entry": "uint8",
        "c_answer": "uint8",
    },
    "int8": {
        "entry": "int8",
        "answer": "int8",
        "meaning": f" The\npixels are 0 to 255 less 128; a probability is the number plus 128, over 256: {_STEPS}.",
        "less": ", each less 128",
        "py_pixels": "(pixels ^ 128).view(np.int8)",
        "py_answer": f"({_READ} + 128.0) / 256",
        "kt_array": "ByteArray",
        "kt_answer": "answer[0].map { (it + 128) / 256f }",
        "swift_answer": _SWIFT.format("levels", "Int8")
        + "\nlet probabilities = levels.map { (Float($0) + 128) / 256 }",
        "js_answer": "",
        "cpp_entry": "int8_t",
        "cpp_answer": "int8_t",
        "cpp_meaning": "a probability is (answer[i] + 128) / 256.0f",
        "c_entry": "int8",
        "c_answer": "int8",
    },
}
"""Placeholders of the pages; a browser's runtime that takes no such images has no `js_answer`."""
NO_BROWSER = "JavaScript: LiteRT.js takes no int8 images; export with `--io uint8` for browsers.\n"


def io_of(file: Path) -> Io:
    """Return the types of a delivered file's input and output: as its manifest says, or, of a C source, its header."""
    header = file.with_suffix(".h")
    if file.suffix == ".c" and header.is_file():
        found = re.search(r"Output: (uint8|int8)\b", header.read_text(encoding="utf-8"))
        return "mixed" if found is None else "uint8" if found[1] == "uint8" else "int8"
    try:
        manifest = read_manifest(file)
    except WeightsError:  # an older file in the folder, damaged since
        return "mixed"
    return manifest.io if manifest else "mixed"
