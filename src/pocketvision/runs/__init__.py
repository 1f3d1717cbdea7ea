"""Run folders: how one is opened, resumed and finished (`opening`), and every file in it (`folder`)."""

from pocketvision.runs.folder import ExportFolder, RunFile, RunFolder, run_of
from pocketvision.runs.opening import (
    begun,
    finished,
    name_for,
    nothing_left_on,
    open_run,
    require_plain,
    run_for,
    write_checksums,
)

__all__ = [
    "ExportFolder",
    "RunFile",
    "RunFolder",
    "begun",
    "finished",
    "name_for",
    "nothing_left_on",
    "open_run",
    "require_plain",
    "run_for",
    "run_of",
    "write_checksums",
]
