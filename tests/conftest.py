"""Fixtures for every room: where real images and weights lie, if they do."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / default))
    if not folder.is_dir():
        pytest.skip(f"needs the real files at {folder}; set {variable} to where they are")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden files anew instead of comparing with them")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests prepare out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a golden file; `--rewrite` writes the file, so that a diff shows what moved."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--rewrite"):
            path.write_text(text, encoding="utf-8")
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        assert text == written, f"{path.name} is out of date; run this test with --rewrite and read the diff"

    return compare


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return _folder("POCKETVISION_TEST_DATA", "data")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    return _folder("POCKETVISION_TEST_WEIGHTS", "weights")
