"""One pass of an image gives what each cut net sees."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.models.catalogue import build, build_spec, depths
from pocketvision.probe.depths import DepthBackbone
from pocketvision.probe.features import ProbeViews, embedded
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights.load import Weights, load_into, read
from pocketvision.weights.safetensors import save


def made(spec: ModelSpec, folder: Path) -> Weights:
    torch.manual_seed(3)
    save(build_spec(spec), spec, image=ImageSpec(spec.resolution), labels=None, path=folder / "made.safetensors")
    return read(folder / "made.safetensors")


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("mobilenet_v1", 0.25, 64, 5),
        ModelSpec("mobilenet_v2", 0.35, 64, 5, padding="same"),
        ModelSpec("mobilenet_v3_small", 0.75, 64, 5),
        ModelSpec("squeezenet1_1", 0.5, 64, 5),
    ],
)
def test_columns_are_the_features_of_the_nets_cut_there(spec: ModelSpec, tmp_path: Path) -> None:
    weights, every = made(spec, tmp_path), depths(spec.name)
    chosen = (every[0], every[len(every) // 2], every[-1], None)
    backbone = DepthBackbone(weights, "0" * 64, ImageSpec(48), chosen)
    batch = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3, 48, 48)).astype(np.float32))
    rows = embedded(backbone.build(), batch)
    assert list(backbone.columns) == list(chosen)
    assert sum(part.stop - part.start for part in backbone.columns.values()) == rows.shape[1]
    for depth, part in backbone.columns.items():
        cut = build(spec.name, width=spec.width, resolution=48, num_classes=5, padding=spec.padding, depth=depth)
        load_into(cut, weights, keep_head=False)
        assert rows[:, part] == pytest.approx(embedded(cut.eval(), batch), rel=1e-4, abs=1e-5)


def test_other_depths_are_other_features_on_the_disk(tmp_path: Path) -> None:
    weights = made(ModelSpec("mobilenet_v1", 0.25, 64, 5), tmp_path)
    first = DepthBackbone(weights, "0" * 64, ImageSpec(48), (4, None))
    keys = {one.key(ProbeViews()) for one in (first, replace(first, depths=(6, None)), replace(first, depths=(None,)))}
    assert len(keys) == 3
