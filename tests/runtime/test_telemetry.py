"""The runtime reports nothing to its makers, and leaves nothing in the home folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pocketvision import process

LOADS = """
from pocketvision.runtime.onnx import optimized, runtime_name
print(runtime_name())
import onnxruntime
onnxruntime.SessionOptions()
"""
SILENCES = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "GITHUB_ACTIONS", "TF_BUILD", "XDG_CACHE_HOME")
"""What keeps the runtime silent by itself, or moves what it writes."""


@pytest.mark.parametrize("chosen", [None, "0"])
@pytest.mark.parametrize("there", [True, False])
def test_the_runtime_reports_nothing_and_writes_nothing(tmp_path: Path, there: bool, chosen: str | None) -> None:
    home = tmp_path / "home"
    if there:
        home.mkdir()
    else:
        tmp_path.joinpath("file").write_bytes(b"")
        home = tmp_path / "file" / "home"  # which cannot be made
    settings = {name: value for name, value in os.environ.items() if name not in SILENCES}
    settings |= {"HOME": str(home), "PYTHONPATH": str(Path(process.__file__).parents[1])}
    if chosen is not None:
        settings["ORT_DISABLE_TELEMETRY"] = chosen
    done = subprocess.run([sys.executable, "-c", LOADS], env=settings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("onnxruntime ")
    assert not list(home.rglob("*") if there else [])
