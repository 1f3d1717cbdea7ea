"""Weights of a whole net in one that is cut: the kept layers exactly, and nothing but the dropped ones left over."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pocketvision.compress.slim import sliced
from pocketvision.errors import UsageError, WeightsError
from pocketvision.export.source import open_source
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build_spec
from pocketvision.progress import Silent
from pocketvision.train.inputs import fits
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.verbs.export import export
from pocketvision.verbs.verify import verify
from pocketvision.verify.compare import FileComparison
from pocketvision.weights.depth import shortened
from pocketvision.weights.load import Weights, load_into, read
from pocketvision.weights.safetensors import save

WHOLE = ModelSpec("mobilenet_v2", 0.35, 64, 5)
CUT = replace(WHOLE, depth=9)


def lively(spec: ModelSpec) -> Net:
    torch.manual_seed(1)
    net = build_spec(spec)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return net.eval()


def weights_of(net: Net, spec: ModelSpec) -> Weights:
    tensors = {key: value.numpy().copy() for key, value in net.state_dict().items()}
    return Weights(spec, ImageSpec(spec.resolution), None, folded=False, norm_eps=1e-5, tensors=tensors)


def batches() -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(16, 3, 64, 64, generator=rng) for _ in range(2)]


def test_a_cut_net_keeps_the_layers_it_has() -> None:
    whole, cut = lively(WHOLE), build_spec(CUT).eval()
    report = load_into(cut, weights_of(whole, WHOLE), keep_head=False)
    assert set(report.fresh) == {"classifier.1.weight", "classifier.1.bias"}
    assert torch.equal(cut.features(batches()[0]), whole.features[:9](batches()[0]))


def test_a_shallower_cut_comes_out_of_a_deeper_one_and_not_the_other_way_round() -> None:
    deep = weights_of(lively(CUT), CUT)
    assert shortened(deep, 4).spec.depth == 4
    assert not shortened(deep, 4).has_head
    for depth in (10, None):
        with pytest.raises(WeightsError, match="fewer layers"):
            load_into(build_spec(replace(CUT, depth=depth)), deep, keep_head=False)
        with pytest.raises(UsageError, match="depth 9"):
            fits(replace(CUT, depth=depth), deep)


def test_what_is_of_no_layer_is_still_left_over() -> None:
    weights = weights_of(lively(WHOLE), WHOLE)
    for name in ("features.30.0.weight", "auxiliary.weight", "features.3.surplus"):
        odd = replace(weights, tensors={**weights.tensors, name: np.zeros(1, np.float32)})
        with pytest.raises(WeightsError, match=name):
            load_into(build_spec(CUT), odd, keep_head=False)
    lacking = {key: value for key, value in weights.tensors.items() if key != "features.0.0.weight"}
    with pytest.raises(WeightsError, match=r"missing in the file: features\.0\.0\.weight"):
        load_into(build_spec(CUT), replace(weights, tensors=lacking), keep_head=False)


def test_the_classifier_of_the_whole_net_is_none_of_the_cut_one() -> None:
    with pytest.raises(WeightsError, match="no classifier"):
        load_into(build_spec(CUT), weights_of(lively(WHOLE), WHOLE), keep_head=True)


def test_a_narrower_and_shallower_net_at_once() -> None:
    wide = replace(WHOLE, width=0.5)
    found = sliced(weights_of(lively(wide), wide), CUT, batches())
    assert found.spec == CUT
    assert {key for key in found.tensors if not key.startswith("features.")} == set()
    net = build_spec(CUT).eval()
    load_into(net, found, keep_head=False)
    assert torch.isfinite(net(batches()[0])).all()
    whole = sliced(weights_of(lively(wide), wide), WHOLE, batches())
    for key, value in found.tensors.items():
        np.testing.assert_array_equal(value, whole.tensors[key])


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_a_cut_net_is_saved_exported_verified_and_read_back(tmp_path: Path, format: str) -> None:
    net, file = lively(CUT), tmp_path / "cut.safetensors"
    save(net, CUT, image=ImageSpec(64), labels=("a", "b", "c", "d", "e"), path=file)
    assert read(file).spec == CUT
    written = Path(export(file, format=format, output=tmp_path / "out").file)
    compared = verify([written])
    assert isinstance(compared, FileComparison)
    assert compared.files[0].failures == ()
    assert compared.files[0].unchecked == ""
    again = open_source(written, None, labels=None, progress=Silent())
    assert again.manifest.model.depth == 9
