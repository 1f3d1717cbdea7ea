"""A cut net is trained, resumed, distilled and chosen as a whole one is, from a whole one's weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

import pocketvision
from pocketvision.errors import UsageError
from pocketvision.train.checkpoint import trained_net
from pocketvision.weights.load import read

COMMON = {"resolution": 32, "epochs": 1, "val": 0.3, "test": 0.1, "flip": False}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of a whole net."""
    out = tmp_path_factory.mktemp("runs")
    found = pocketvision.train(
        "digits", model="mobilenet_v1", width=0.125, weights="none", output=out, name="whole", **COMMON
    )
    return Path(found.run)


def test_a_cut_net_starts_from_the_whole_ones_weights(whole: Path) -> None:
    start = read(whole / "weights" / "best.safetensors")
    found = pocketvision.train(
        "digits", weights=whole / "weights" / "best.safetensors", depth=6, output=whole.parent, name="cut", **COMMON
    )
    assert found.trained.spec.depth == 6
    net, trained = trained_net(Path(found.run))
    assert trained.spec == found.trained.spec == read(Path(found.weights)).spec
    assert len(net.features) == 6
    assert start.spec.depth is None
    moved = np.abs(net.state_dict()["features.0.0.weight"].numpy() - start.tensors["features.0.0.weight"])
    assert moved.max() < 0.1


def test_a_cut_student_learns_from_the_whole_net(whole: Path) -> None:
    found = pocketvision.distill(whole, "digits", width=0.125, depth=8, output=whole.parent, name="taught", **COMMON)
    assert found.trained.spec.depth == 8
    assert torch.isfinite(torch.tensor(found.trained.validation.value))


def test_a_depth_without_a_net_is_refused(whole: Path) -> None:
    with pytest.raises(UsageError, match="name it with --model"):
        pocketvision.fit("digits", depth=4, output=whole.parent, name="nameless")
    with pytest.raises(UsageError, match="depths that it takes are"):
        pocketvision.train("digits", model="mobilenet_v1", depth=40, weights="none", output=whole.parent, name="deep")
