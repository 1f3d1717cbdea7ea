"""How a file's classifier ends: one output, sigmoids, no classifier at all."""

import json
import zipfile

import numpy as np
import pytest
import torch

from pocketvision.errors import WeightsError
from pocketvision.models import build
from pocketvision.models.catalogue import build_spec
from pocketvision.weights import load_into, read
from pocketvision.weights.answers import answering
from tests.weights.test_keras_reader import keras_mobilenet, write_listed
from tests.weights.timms import small_net, state_of

h5py = pytest.importorskip("h5py")


def mobilenet(classes):
    torch.manual_seed(0)
    net = build("mobilenet_v1", width=0.25, resolution=32, num_classes=classes, padding="same").eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
    return net


def described(activation, *, last="conv_preds"):
    layers = [
        {"class_name": "InputLayer", "config": {"name": "input"}},
        {"class_name": "ReLU", "config": {"name": "conv_pw_13_relu"}},
        {"class_name": "Conv2D", "config": {"name": last, "activation": "linear"}},
        {"class_name": "Reshape", "config": {"name": "reshape_2"}},
        {"class_name": "Activation", "config": {"name": "predictions", "activation": activation}},
    ]
    return {"class_name": "Functional", "config": {"name": "mobilenet", "layers": layers}}


def write_keras(path, net, activation):
    """Write a whole model in the older form, or in the newer archive."""
    layers = keras_mobilenet(net)
    if path.suffix == ".h5":
        write_listed(path, layers, inside="model_weights")
        if activation is not None:
            with h5py.File(path, "a") as opened:
                opened.attrs["model_config"] = json.dumps(described(activation))
        return path
    inner = path.with_suffix(".weights.h5")
    with h5py.File(inner, "w") as opened:
        for number, (name, arrays) in enumerate(layers.items()):
            kind = "batch_normalization" if name.endswith("_bn") else "conv2d"
            kind = "depthwise_conv2d" if "_dw_" in name and kind == "conv2d" else kind
            group = opened.create_group(f"layers/{kind}_{number}/vars")
            group.parent.attrs["name"] = name
            for place, array in enumerate(arrays.values()):
                group[str(place)] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner, "model.weights.h5")
        archive.writestr("config.json", json.dumps(described(activation)))
    return path


def probabilities(weights, batch):
    net = build_spec(weights.spec).eval()
    load_into(net, weights, keep_head=True)
    with torch.inference_mode():
        return net(batch).softmax(1)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("activation", ["softmax", "linear", {"class_name": "function", "config": "softmax"}])
def test_kerass_usual_endings_are_a_softmax(tmp_path, suffix, activation):
    net = mobilenet(3)
    weights = read(write_keras(tmp_path / f"a{suffix}", net, activation))
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        wanted = net(batch).softmax(1)
    assert torch.allclose(probabilities(answering(weights, "a", names=None), batch), wanted, atol=1e-5)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_several_sigmoids_are_not_read_as_a_softmax(tmp_path, suffix):
    weights = read(write_keras(tmp_path / f"a{suffix}", mobilenet(3), "sigmoid"))
    with pytest.raises(WeightsError, match=f"a{suffix} ends in 3 sigmoids"):
        answering(weights, f"a{suffix}", names=3)
    assert load_into(mobilenet(5), weights, keep_head=False).fresh


@pytest.mark.parametrize("activation", ["tanh", "relu", {"class_name": "function", "config": "my_activation"}])
def test_other_endings_are_refused_by_name(tmp_path, activation):
    weights = read(write_keras(tmp_path / "a.h5", mobilenet(3), activation))
    with pytest.raises(WeightsError, match=r"a\.h5 ends in '(tanh|relu|my_activation)'"):
        answering(weights, "a.h5", names=None)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_one_sigmoid_is_a_yes_or_no(tmp_path, suffix):
    net = mobilenet(1)
    weights = answering(read(write_keras(tmp_path / f"a{suffix}", net, "sigmoid")), "a", names=None)
    batch = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        yes = net(batch).sigmoid()
    assert weights.labels == ("no", "yes")
    assert torch.allclose(probabilities(weights, batch), torch.cat([1 - yes, yes], 1), atol=1e-6)


def test_one_output_is_asked_for_where_the_file_does_not_say(tmp_path):
    net = small_net(classes=1)
    torch.save(state_of(net), tmp_path / "tf_mobilenetv3_small_050.pth")
    weights = read(tmp_path / "tf_mobilenetv3_small_050.pth")
    for names in (None, 1, 3):
        with pytest.raises(WeightsError, match=r"has one output\. If it is a yes or no.*two lines as --labels"):
            answering(weights, "a.pth", names=names)
    batch = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        yes = net(batch).sigmoid()
    said = answering(weights, "a.pth", names=2)
    assert torch.allclose(probabilities(said, batch), torch.cat([1 - yes, yes], 1), atol=1e-5)


def without_head(path):
    layers = keras_mobilenet(mobilenet(2))
    return write_listed(path, {name: arrays for name, arrays in layers.items() if name != "conv_preds"})


@pytest.mark.parametrize("kind", ["keras", "timm", "torchvision"])
def test_a_file_without_a_classifier_is_a_start_and_no_answer(tmp_path, kind):
    if kind == "keras":
        path, net = without_head(tmp_path / "mobilenet_2_5_128_tf_no_top.h5"), mobilenet(5)
    elif kind == "timm":
        path, net = tmp_path / "tf_mobilenetv3_small_050.pth", small_net(classes=5)
        torch.save({key: value for key, value in state_of(net).items() if "classifier" not in key}, path)
    else:
        path, net = tmp_path / "own.pth", build("resnet18", resolution=32, num_classes=5)
        from pocketvision.weights.layouts import torchvision
        from pocketvision.weights.layouts.layers import leaves

        names = dict(
            zip(
                (leaf.name for leaf in leaves("resnet18")),
                torchvision._resnet_layers((2, 2, 2, 2), bottleneck=False),
                strict=True,
            )
        )
        state = {
            f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value
            for key, value in net.state_dict().items()
        }
        torch.save({key: value for key, value in state.items() if not key.startswith("fc.")}, path)
    weights = read(path)
    assert not weights.has_head
    report = load_into(net, weights, keep_head=False)
    assert report.fresh
    assert all(key.startswith("classifier.") for key in report.fresh)
    assert len(report.fresh) + report.loaded == sum(not key.endswith("num_batches_tracked") for key in net.state_dict())
    with pytest.raises(WeightsError, match=r"has no classifier, so it answers nothing; as a start"):
        answering(weights, path.name, names=None)
    with pytest.raises(WeightsError, match="the file has no classifier"):
        load_into(net, weights, keep_head=True)


def test_half_a_classifier_is_damage(tmp_path):
    state = state_of(small_net())
    torch.save(
        {key: value for key, value in state.items() if key != "classifier.bias"}, tmp_path / "tf_mobilenetv3.pth"
    )
    with pytest.raises(WeightsError, match=r"lacks 1: classifier\.bias"):
        read(tmp_path / "tf_mobilenetv3.pth")


def test_a_start_without_a_classifier_can_be_cut_and_its_features_taken(tmp_path):
    from pocketvision.compress.slim import sliced
    from pocketvision.probe.features import Backbone
    from pocketvision.values import ModelSpec

    weights = read(without_head(tmp_path / "mobilenet_2_5_128_tf_no_top.h5"))
    net = Backbone(weights, "", weights.image).build()
    assert torch.isfinite(net.embed(torch.randn(1, 3, 128, 128))).all()
    spec = ModelSpec("mobilenet_v1", 0.125, 64, 2, padding="same")
    cut = sliced(weights, spec, [torch.randn(4, 3, 64, 64)])
    load_into(build_spec(spec), cut, keep_head=False)


def test_whole_models_whose_description_is_damaged(tmp_path):
    path = write_keras(tmp_path / "a.h5", mobilenet(2), None)
    for text in ("{", "[]", json.dumps({"config": {"layers": [{"class_name": "Dense"}]}})):
        with h5py.File(path, "a") as opened:
            opened.attrs["model_config"] = text
        with pytest.raises(WeightsError, match="damaged or no Keras"):
            read(path)
    (tmp_path / "b.keras").write_bytes(b"PK\3\4")
    with pytest.raises(WeightsError, match="damaged or no Keras"):
        read(tmp_path / "b.keras")


def test_odd_numbers_in_a_keras_file(tmp_path):
    net = mobilenet(2)
    net.state_dict()["features.3.0.weight"].view(-1)[0] = np.nan
    with pytest.raises(WeightsError, match=r"a\.h5: .* not finite numbers"):
        read(write_keras(tmp_path / "a.h5", net, "softmax"))
