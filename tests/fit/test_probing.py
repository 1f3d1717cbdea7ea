"""What frozen features tell before anything is trained, by the task's own metric."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pocketvision
from pocketvision.models.catalogue import build_spec
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights.safetensors import save

SPEC = ModelSpec("mobilenet_v1", 0.25, 64, 10)
ASKED: dict[str, Any] = {"model": "mobilenet_v1", "width": 0.25, "max_macs": "10M", "device": "cpu"}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    path = tmp_path / "own.safetensors"
    save(build_spec(SPEC), SPEC, image=ImageSpec(64), labels=None, path=path)
    return path


def colors(root: Path) -> Path:
    """Draw images that are red or not, and bright or not; of some cells it is not known."""
    root.mkdir()
    rng, rows = np.random.default_rng(0), []
    for index in range(120):
        cells = rng.integers(0, 2, 2).tolist()
        pixels = rng.integers(0, 60, (64, 64, 3)).astype(np.int64)
        pixels[..., 0] += 120 * cells[0]
        pixels += 70 * cells[1]
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{index}.png")
        rows.append([f"{index}.png", *("" if rng.random() < 0.1 else cell for cell in cells)])
    with (root / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["filename", "red", "bright"], *rows])
    return root / "table.csv"


def test_attributes_are_probed_by_their_average_precision(tmp_path: Path, weights: Path) -> None:
    found = pocketvision.plan(colors(tmp_path / "colors"), weights=weights, **ASKED)
    assert len(found.probed) > 2
    assert {one.validation.metric for one in found.probed} == {"mean average precision"}
    assert max(one.validation.value for one in found.probed) > 0.9
    assert all(one.validation.others["chance"] < 0.7 for one in found.probed)
    assert {one.spec.num_classes for one in found.probed} == {2}
    assert found.taken.accuracy is not None
    assert found.taken.accuracy.low < found.taken.accuracy.middle < found.taken.accuracy.high
