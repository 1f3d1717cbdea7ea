"""Fixtures for every room: where real images and weights lie, if they do."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / default))
    if not folder.is_dir():
        pytest.skip(f"needs the real files at {folder}; set {variable} to where they are")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return _folder("POCKETVISION_TEST_DATA", "data")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    return _folder("POCKETVISION_TEST_WEIGHTS", "weights")
