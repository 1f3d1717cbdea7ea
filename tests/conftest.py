"""Fixtures for every room: where real images and weights lie, if they do."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / default))
    if not folder.is_dir():
        pytest.skip(f"needs the real files at {folder}; set {variable} to where they are")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden files anew instead of comparing with them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `extra` where their package is absent; with POCKETVISION_ALL_EXTRAS set they fail."""
    for item in items:
        for mark in item.iter_markers("extra"):
            absent = importlib.util.find_spec(mark.args[0]) is None
            if absent and not os.environ.get("POCKETVISION_ALL_EXTRAS"):
                item.add_marker(pytest.mark.skip(reason=f"needs the package {mark.args[0]}; `make test-all` has it"))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests prepare out of the user's cache, and their runtime from reporting to its makers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
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


@pytest.fixture(scope="session")
def settled() -> Callable[[Any, Any], Any]:
    """Give a net's batch norms parameters of their own and the statistics that a batch really has.

    A wrong kernel then shows in the logits, and nothing overflows.
    """
    import torch
    from torch import nn

    def settle(net: nn.Module, batch: torch.Tensor) -> nn.Module:
        torch.manual_seed(1)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                if module.weight is not None:
                    nn.init.uniform_(module.weight, 0.5, 1.5)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=0.2)
        with torch.no_grad():
            net.train()(batch)
        return net.eval()

    return settle
