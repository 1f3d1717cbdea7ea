"""Keras' .h5 files: both layouts, a whole net through them, and files that are damaged or hostile."""

import sys

import numpy as np
import pytest
import torch

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.models import build
from pocketvision.weights import load_into, read
from pocketvision.weights.keras import read_keras

h5py = pytest.importorskip("h5py")


def write_listed(path, layers, *, inside=None):
    """Write the older layout: `layers` maps a layer's name to its arrays by their full names."""
    with h5py.File(path, "w") as opened:
        root = opened.create_group(inside) if inside else opened
        root.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, arrays in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, array in arrays.items():
                group[name] = array
    return path


ARRAYS = {
    "conv1": {"conv1/kernel:0": np.ones((3, 3, 3, 8), "f4")},
    "Conv/BatchNorm": {f"Conv/BatchNorm/{name}:0": np.zeros(8, "f4") for name in ("gamma", "beta")},
    "relu": {},
}


@pytest.mark.parametrize("inside", [None, "model_weights"])
def test_the_older_layout(tmp_path, inside):
    found = read_keras(write_listed(tmp_path / "a.h5", ARRAYS, inside=inside)).arrays
    assert {name: array.shape for name, array in found.items()} == {
        "conv1/kernel": (3, 3, 3, 8),
        "Conv/BatchNorm/gamma": (8,),
        "Conv/BatchNorm/beta": (8,),
    }


@pytest.mark.parametrize("named", [True, False])
def test_the_newer_layout(tmp_path, named):
    layers = {
        "conv2d": ("stem", [np.ones((3, 3, 3, 8)), np.zeros(8)]),
        "batch_normalization_1": ("stem_bn", [np.full(8, value) for value in range(4)]),
        "batch_normalization_2": ("bare_bn", [np.full(8, value) for value in range(3)]),
        "depthwise_conv2d": ("dw", [np.ones((3, 3, 8, 1))]),
        "activation": ("relu", []),
    }
    with h5py.File(tmp_path / "a.weights.h5", "w") as opened:
        for kind, (name, arrays) in layers.items():
            group = opened.create_group(f"layers/{kind}/vars")
            if named:
                group.parent.attrs["name"] = name
            for number, array in enumerate(arrays):
                group[str(number)] = array
    found = read_keras(tmp_path / "a.weights.h5").arrays
    stem, norm, bare = ("stem", "stem_bn", "bare_bn") if named else ("conv2d", *list(layers)[1:3])
    assert found[f"{stem}/kernel"].shape == (3, 3, 3, 8)
    assert found[f"{norm}/gamma"][0] == 0
    assert found[f"{norm}/moving_variance"][0] == 3
    assert found[f"{bare}/beta"][0] == 0
    assert found[f"{'dw' if named else 'depthwise_conv2d'}/depthwise_kernel"].shape == (3, 3, 8, 1)
    assert len(found) == 2 + 4 + 3 + 1


def keras_mobilenet(net):
    """Give a MobileNet V1 of ours in Keras' names and layout."""
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    layers = {}
    names = ["conv1", *(f"conv_{kind}_{block}" for block in range(1, 14) for kind in ("dw", "pw"))]
    parts = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for place, name in enumerate(names):
        weight = state[f"features.{place}.0.weight"]
        kernel = weight.transpose(2, 3, 0, 1) if "dw" in name else weight.transpose(2, 3, 1, 0)
        layers[name] = {f"{name}/{'depthwise_kernel' if 'dw' in name else 'kernel'}:0": kernel}
        norm = {f"{name}_bn/{their}:0": state[f"features.{place}.1.{our}"] for their, our in parts.items()}
        layers[f"{name}_bn"] = norm
    layers["conv_preds"] = {
        "conv_preds/kernel:0": state["classifier.1.weight"].T[None, None],
        "conv_preds/bias:0": state["classifier.1.bias"],
    }
    return layers


def test_a_whole_net_answers_the_same_through_a_keras_file(tmp_path):
    torch.manual_seed(0)
    net = build("mobilenet_v1", width=0.25, resolution=64, num_classes=5, padding="same").eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    weights = read(write_listed(tmp_path / "mobilenet_2_5_128_tf.h5", keras_mobilenet(net)))
    assert (weights.spec.name, weights.spec.width, weights.spec.num_classes) == ("mobilenet_v1", 0.25, 5)
    assert (weights.spec.padding, weights.norm_eps) == ("same", 1e-3)
    assert (weights.image.resolution, weights.image.mean) == (128, (0.5, 0.5, 0.5))
    again = build("mobilenet_v1", width=0.25, resolution=64, num_classes=5, padding="same").eval()
    assert load_into(again, weights, keep_head=True).fresh == ()
    batch = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(again(batch), net(batch), atol=1e-5)


def test_vgg_reads_blue_first_and_is_turned(tmp_path):
    from pocketvision.weights.load import _red_first

    first = np.arange(6.0).reshape(1, 3, 1, 2)
    assert _red_first({"a.weight": first}, "a")["a.weight"][0, :, 0, 0].tolist() == [4, 2, 0]


# ---------------------------------------------------------------- what is refused


def test_no_weights_and_no_hdf5(tmp_path):
    path = tmp_path / "a.h5"
    for content in (b"", b"\x89HDF\r\n\x1a\n" + bytes(600), b"PK\3\4"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"damaged or no Keras|is empty"):
            read(path)
    write_listed(path, {"relu": {}})
    with pytest.raises(WeightsError, match="holds no weights"):
        read(path)


def test_links_to_other_files_are_not_followed(tmp_path):
    write_listed(tmp_path / "secret.h5", ARRAYS)
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened.attrs["layer_names"] = [b"conv1"]
        opened["conv1"] = h5py.ExternalLink("secret.h5", "/conv1")
    with pytest.raises(WeightsError, match="link to another file, at 'conv1'"):
        read_keras(tmp_path / "a.h5")
    (tmp_path / "raw").write_bytes(bytes(32))
    with h5py.File(tmp_path / "b.h5", "w") as opened:
        opened.attrs["layer_names"] = [b"c"]
        group = opened.create_group("c")
        group.attrs["weight_names"] = [b"kernel:0"]
        group.create_dataset("kernel:0", (8,), "f4", external=[(str(tmp_path / "raw"), 0, 32)])
    with pytest.raises(WeightsError, match="no plain array of numbers at 'c/kernel'"):
        read_keras(tmp_path / "b.h5")


def test_claims_of_any_size_are_refused_before_memory_is_taken(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened.attrs["layer_names"] = [b"c"]
        group = opened.create_group("c")
        group.attrs["weight_names"] = [b"kernel:0"]
        group.create_dataset("kernel:0", (2**20, 2**20), "f4", chunks=(256, 256))
    with pytest.raises(WeightsError, match="claims over 2 GiB"):
        read_keras(tmp_path / "a.h5")


def test_every_cut_of_a_file_is_refused(tmp_path):
    content = write_listed(tmp_path / "a.h5", ARRAYS).read_bytes()
    for length in np.linspace(0, len(content) - 1, 40).astype(int):
        (tmp_path / "b.h5").write_bytes(content[:length])
        with pytest.raises(WeightsError):
            read_keras(tmp_path / "b.h5")


def test_the_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r"pip install 'pocketvision\[keras\]'"):
        read_keras(tmp_path / "a.h5")
