"""Files into nets: strict loading, our own format, other projects' names, batch norms put back."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from pocketvision.errors import WeightsError
from pocketvision.files import stand_in
from pocketvision.models import build
from pocketvision.runtime import open as open_model
from pocketvision.values import ImageSpec
from pocketvision.weights import Weights, load_into, read, restore_batch_norms, save
from pocketvision.weights.norms import norms_after
from pocketvision.weights.sources import IMAGENET

SMALL = "mobilenet_v1_0.25_128_quant.tflite"


def net_for(weights: Weights, **changes):
    spec = weights.spec
    settings = {"width": spec.width, "num_classes": spec.num_classes, "padding": spec.padding, **changes}
    return build(spec.name, resolution=spec.resolution, **settings).eval()


def logits(net, batch):
    with torch.inference_mode():
        return net(batch)


@pytest.fixture(scope="module")
def small(shared_weights):
    return read(shared_weights / SMALL)


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(8, 3, 8, 8, generator=generator) * 2 - 1
    return list(functional.interpolate(coarse, size=64, mode="bilinear").split(4))


# ---------------------------------------------------------------- folded TFLite weights


def test_folded_weights_come_back_from_the_norms_to_the_last_bit(small):
    from pocketvision.graph.graph import Conv
    from pocketvision.graph.trace import trace

    net = net_for(small)
    report = load_into(net, small, keep_head=True)
    assert (report.loaded, report.fresh, report.folded) == (137, (), True)
    convs = [node for node in trace(net, small.image).nodes if isinstance(node, Conv)]
    assert len(convs) == 27
    for node in convs:
        assert np.array_equal(node.weight, small.tensors[f"{node.name}.weight"])
        assert np.array_equal(node.bias, small.tensors[f"{node.name}.bias"])


def test_restored_batch_norms_leave_the_answers_and_carry_the_statistics(small, batches):
    net = net_for(small)
    load_into(net, small, keep_head=True)
    before = logits(net, batches[0])
    assert restore_batch_norms(net, batches) == 8
    assert (logits(net, batches[0]) - before).abs().max() < 1e-4
    stem, norm = net.features[0][0], net.features[0][1]
    with torch.no_grad():
        out = torch.cat([stem(batch) for batch in batches]).double()
    assert torch.allclose(norm.running_mean.double(), out.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(norm.running_var.double(), out.var((0, 2, 3), correction=0), rtol=1e-5, atol=1e-9)


def test_training_mode_agrees_with_evaluation_after_restoring_only(small, batches):
    net, everything = net_for(small), torch.cat(batches)
    load_into(net, small, keep_head=False)

    def gap():
        with torch.no_grad():
            wanted = net.eval().embed(everything)
            # On the very images of the statistics, so batch and running statistics are the same.
            got = net.train().embed(everything)
        return float((got - wanted).abs().max())

    momentum = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for module in momentum:
        module.momentum = 0.0
    assert gap() > 0.5
    restore_batch_norms(net, batches)
    assert net.training
    assert gap() < 1e-3


def test_a_dead_channel_stays_finite_and_keeps_its_bias(small, batches):
    net = net_for(small)
    weights = Weights(**{**vars(small), "tensors": dict(small.tensors)})
    weights.tensors["features.0.0.weight"] = weights.tensors["features.0.0.weight"].copy()
    weights.tensors["features.0.0.weight"][3] = 0
    load_into(net, weights, keep_head=True)
    before = logits(net, batches[0])
    restore_batch_norms(net, batches)
    norm = net.features[0][1]
    assert norm.eps == 1e-3
    assert norm.weight[3].item() == pytest.approx(math.sqrt(1e-3), rel=1e-4)
    assert norm.bias[3].item() == pytest.approx(float(small.tensors["features.0.0.bias"][3]))
    assert (logits(net, batches[0]) - before).abs().max() < 1e-4


def test_restoring_needs_images(small):
    with pytest.raises(WeightsError, match="there were none"):
        restore_batch_norms(net_for(small), [])


def test_hooks_are_gone_after_a_failure(small):
    net = net_for(small)
    with pytest.raises(RuntimeError):
        restore_batch_norms(net, [torch.zeros(1, 4, 32, 32)])
    assert not any(module._forward_pre_hooks for module in net.modules())


# ---------------------------------------------------------------- the head


def test_background_is_dropped_for_a_thousand_classes(small, batches):
    whole, net = net_for(small), net_for(small, num_classes=1000)
    load_into(whole, small, keep_head=True)
    report = load_into(net, small, keep_head=True)
    assert report.dropped_background
    assert report.labels is not None
    assert report.labels[0] == "tench, Tinca tinca"
    assert len(report.labels) == 1000
    assert torch.allclose(logits(whole, batches[0])[:, 1:], logits(net, batches[0]), atol=1e-5)


def test_a_fresh_head_is_given_only_when_asked_for(small):
    net = net_for(small, num_classes=4)
    with pytest.raises(WeightsError, match="1001 classes and the net 4; pass keep_head=False"):
        load_into(net, small, keep_head=True)
    before = net.classifier[1].weight.clone()
    report = load_into(net, small, keep_head=False)
    assert report.fresh == ("classifier.1.weight", "classifier.1.bias")
    assert report.labels is None
    assert torch.equal(net.classifier[1].weight, before)
    assert np.array_equal(net.features[0][0].weight.detach().numpy(), small.tensors["features.0.0.weight"])


# ---------------------------------------------------------------- strictness


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("features.3.0.weight"), r"missing in the file: features\.3\.0\.weight"),
        (lambda tensors: tensors.pop("features.3.0.bias"), r"must hold 'features\.3\.0\.bias'"),
        (lambda tensors: tensors.update(extra=np.zeros(1)), "unknown to the net: extra"),
        (
            lambda tensors: tensors.update({"features.1.0.weight": np.zeros((8, 1, 5, 5))}),
            r"features\.1\.0\.weight is \[8, 1, 5, 5\], not \[8, 1, 3, 3\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(small, change, message):
    weights = Weights(**{**vars(small), "tensors": dict(small.tensors)})
    change(weights.tensors)
    with pytest.raises(WeightsError, match=message):
        load_into(net_for(small), weights, keep_head=True)


def test_the_other_padding_rule_is_refused(small):
    with pytest.raises(WeightsError, match="built with padding='same'"):
        load_into(net_for(small, padding="symmetric"), small, keep_head=True)


def test_another_width_does_not_fit(small):
    with pytest.raises(WeightsError, match="of another shape"):
        load_into(net_for(small, width=0.5), small, keep_head=False)


# ---------------------------------------------------------------- our own files


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_saved_nets_come_back_whole(tmp_path, name):
    torch.manual_seed(1)
    net = build(name, width=0.25, resolution=64, num_classes=3).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    image = ImageSpec(64, "crop", 0.9, mean=IMAGENET[0], std=IMAGENET[1])
    spec = read_spec(name)
    path = tmp_path / "best.safetensors"
    save(net, spec, image=image, labels=("ä", "b", "c"), path=path)
    first = path.read_bytes()
    weights = read(path)
    assert (weights.spec, weights.image, weights.labels, weights.folded) == (spec, image, ("ä", "b", "c"), False)
    again = net_for(weights)
    report = load_into(again, weights, keep_head=True)
    assert report.labels == ("ä", "b", "c")
    batch = torch.rand(2, 3, 64, 64)
    assert torch.equal(logits(net, batch), logits(again, batch))
    save(again, spec, image=image, labels=("ä", "b", "c"), path=path)
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]


def read_spec(name):
    from pocketvision.values import ModelSpec

    return ModelSpec(name, 0.25, 64, 3)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    net = build("mobilenet_v1", width=0.25, resolution=32, num_classes=2)
    spec = type(read_spec("mobilenet_v1"))("mobilenet_v1", 0.25, 32, 2)
    path = tmp_path / "a.safetensors"
    save(net, spec, image=ImageSpec(32), labels=None, path=path)
    content = path.read_bytes()
    for length in (7, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="damaged or no safetensors"):
            read(path)
    path.write_bytes(content.replace(b"mobilenet_v1", b"mobilenet_v9"))
    with pytest.raises(WeightsError, match="does not understand"):
        read(path)
    path.write_bytes(content.replace(b"crop_pct", b"crop_abc"))
    with pytest.raises(WeightsError, match="damaged header"):
        read(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.onnx", "Known: .pth, .pt, .tar, .*, .h5, .keras, .net, .safetensors"),
        ("a.tflite", "there is no weights file"),
    ],
)
def test_paths_that_are_no_weights(tmp_path, name, message):
    with pytest.raises(WeightsError, match=message):
        read(tmp_path / name)


def test_a_byte_that_begins_pages_too_is_no_page():
    assert stand_in(b"<?xml version='1.0'?>")
    assert not stand_in(b"<\0\0\0ET12")  # how ExecuTorch programs begin


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 9\n"


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".ckpt", ".h5", ".keras", ".safetensors", ".tflite"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (POINTER, "is a pointer of Git LFS, not the file itself; run git lfs pull"),
        (b"\n<!DOCTYPE html><html></html>", "is a web page"),
        (b"<Error><Code>AccessDenied</Code></Error>", "is a web page"),
        (b"", "empty"),
    ],
)
def test_what_a_download_left_in_a_files_place_is_called_what_it_is(tmp_path, suffix, content, message):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".pte"])
def test_delivered_files_that_were_not_downloaded_are_called_what_they_are(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(POINTER)
    with pytest.raises(WeightsError, match="is a pointer of Git LFS"):
        open_model(tmp_path / f"a{suffix}")


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("run").touch, ())

    torch.save({"features.3.squeeze.weight": Trap()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="'getattr' to be run, and nothing in a weights file is run here"):
        read(tmp_path / "a.pth")
    assert not (tmp_path / "run").exists()
    torch.save([1, 2], tmp_path / "b.pth")
    with pytest.raises(WeightsError, match="not a state dict"):
        read(tmp_path / "b.pth")
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match=r"no known layout.*fc\.weight"):
        read(tmp_path / "c.pth")


def test_every_norm_is_found_behind_its_convolution():
    net = build("mobilenet_v2", width=0.25, num_classes=2)
    assert len(list(norms_after(net))) == sum(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


def test_header_is_plain_json(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "a.safetensors"
    spec = type(read_spec("mobilenet_v1"))("mobilenet_v1", 0.25, 32, 2)
    save(build("mobilenet_v1", width=0.25, num_classes=2), spec, image=ImageSpec(32), labels=None, path=path)
    with safe_open(path, framework="numpy") as opened:
        header = json.loads(opened.metadata()["pocketvision"])
    assert header["spec"]["width"] == 0.25
    assert header["norm_eps"] == 1e-5


def test_hidden_layers_of_a_classifier_are_kept_for_other_classes(tmp_path):
    """MobileNet V3 has a layer between the pooled features and the classes; it knows as much as the features do."""
    from pocketvision.values import ModelSpec

    torch.manual_seed(3)
    net, spec = (
        build("mobilenet_v3_small", width=0.35, resolution=64, num_classes=7),
        ModelSpec("mobilenet_v3_small", 0.35, 64, 7),
    )
    save(net, spec, image=ImageSpec(64), labels=None, path=tmp_path / "a.safetensors")
    other = build("mobilenet_v3_small", width=0.35, resolution=64, num_classes=3)
    report = load_into(other, read(tmp_path / "a.safetensors"), keep_head=False)
    hidden = [key for key in other.state_dict() if key.startswith("classifier.") and key not in report.fresh]
    assert len(report.fresh) == 2
    assert hidden
    assert all(torch.equal(other.state_dict()[key], net.state_dict()[key]) for key in hidden)
