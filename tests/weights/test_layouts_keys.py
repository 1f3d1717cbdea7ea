"""Other projects' names, as those projects' own nets list them in keys/, become ours: all of them, and no others.

That the values are right too is shown by benchmarks/peer_weights.py, which needs those projects; it also writes the
lists. A line is a layer, then its variables with their shape.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pocketvision.errors import WeightsError
from pocketvision.models import build
from pocketvision.weights.layouts import rename
from pocketvision.weights.recognize import recognize_state

KEYS = Path(__file__).parent / "keys"


class Expected(NamedTuple):
    """What a list of names is, here."""

    file: str
    name: str
    width: float = 1.0
    padding: str = "symmetric"
    norm_eps: float = 1e-5
    groups: int | None = None


def torchvision(net, name="", width=1.0, norm_eps=1e-5):
    return Expected(f"torchvision_{net}", name or net, width, "symmetric", norm_eps)


def timm(net, name, width=1.0):
    from_tensorflow = net.startswith("tf_")
    return Expected(f"timm_{net}", name, width, *(("same", 1e-3) if from_tensorflow else ("symmetric", 1e-5)))


def keras(net, name, width=1.0, padding="same", norm_eps=1e-3):
    return Expected(f"keras_{net}", name, width, padding, norm_eps)


LISTS = (
    torchvision("alexnet", "alexnet_one_tower"),
    *(torchvision(f"vgg{depth}") for depth in (11, 13, 16, 19)),
    torchvision("squeezenet1_0"),
    torchvision("squeezenet1_1"),
    torchvision("googlenet", "googlenet_bn", norm_eps=1e-3),
    torchvision("inception_v3", norm_eps=1e-3),
    *(torchvision(f"resnet{depth}") for depth in (18, 34, 50, 152)),
    torchvision("resnext50_32x4d"),
    torchvision("mobilenet_v2"),
    torchvision("mobilenet_v3_large", norm_eps=1e-3),
    torchvision("mobilenet_v3_small", norm_eps=1e-3),
    torchvision("efficientnet_b0"),
    torchvision("shufflenet_v2_x0_5", "shufflenet_v2", 0.5),
    torchvision("mnasnet0_5", "mnasnet_b1", 0.5),
    timm("mobilenetv1_100", "mobilenet_v1"),
    timm("mobilenetv2_035", "mobilenet_v2", 0.35),
    timm("mobilenetv3_small_050", "mobilenet_v3_small", 0.5),
    timm("mobilenetv3_large_075", "mobilenet_v3_large", 0.75),
    timm("tf_mobilenetv3_small_minimal_100", "mobilenet_v3_small_minimalistic"),
    timm("tf_mobilenetv3_large_minimal_100", "mobilenet_v3_large_minimalistic"),
    timm("mobilenetv4_conv_small_050", "mobilenet_v4_conv_small", 0.5),
    timm("mnasnet_100", "mnasnet_b1"),
    timm("mnasnet_small", "mnasnet_small"),
    timm("semnasnet_075", "mnasnet_a1", 0.75),
    timm("efficientnet_b0", "efficientnet_b0"),
    timm("efficientnet_lite0", "efficientnet_lite0"),
    timm("ghostnet_050", "ghostnet", 0.5),
    timm("lcnet_050", "lcnet", 0.5),
    timm("legacy_xception", "xception"),
    timm("vgg11", "vgg11"),
    timm("vgg16", "vgg16"),
    keras("MobileNet_0.25", "mobilenet_v1", 0.25),
    keras("MobileNetV2_0.35", "mobilenet_v2", 0.35),
    keras("MobileNetV3Small_0.75", "mobilenet_v3_small", 0.75),
    keras("MobileNetV3Large_0.75", "mobilenet_v3_large", 0.75),
    keras("MobileNetV3Small_minimalistic", "mobilenet_v3_small_minimalistic"),
    keras("MobileNetV3Large_minimalistic", "mobilenet_v3_large_minimalistic"),
    keras("VGG16", "vgg16", padding="symmetric", norm_eps=1e-5),
    keras("VGG19", "vgg19", padding="symmetric", norm_eps=1e-5),
    keras("ResNet50", "resnet50_paper", padding="symmetric", norm_eps=1.001e-5),
    keras("ResNet152", "resnet152_paper", padding="symmetric", norm_eps=1.001e-5),
    keras("InceptionV3", "inception_v3"),
    keras("Xception", "xception"),
    keras("EfficientNetB0", "efficientnet_b0"),
    *(Expected(f"lukemelas_efficientnet_lite{n}", f"efficientnet_lite{n}", 1.0, "same", 1e-3) for n in range(3)),
    Expected("pytorchcv_fdmobilenet_wd4", "fd_mobilenet", 0.25),
    Expected("pytorchcv_shufflenet_g1_w1", "shufflenet_v1", groups=1),
    Expected("pytorchcv_squeezenet_v1_0", "squeezenet1_0"),
    Expected("pytorchcv_squeezenet_v1_1", "squeezenet1_1"),
    Expected("pytorchcv_bninception", "inception_v2"),
)
every_list = pytest.mark.parametrize("expected", LISTS, ids=lambda expected: expected.file)


def listed(file):
    """Return arrays without memory of their own, under the names and with the shapes of a list."""
    tensors = {}
    for line in (KEYS / f"{file}.txt").read_text().splitlines():
        layer, *words = line.split()
        for variables, shape in zip(words[::2], words[1::2], strict=True):
            sides = () if shape == "scalar" else tuple(map(int, shape.split("x")))
            zeros = np.broadcast_to(np.float32(0), sides)
            tensors |= {layer + variable: zeros for variable in variables.split(",")}
    return tensors


def file_of(expected):
    return expected.file.partition("_")[2] + ".safetensors"


def shapes_of(expected):
    with torch.device("meta"):
        net = build(expected.name, width=expected.width, padding=expected.padding, groups=expected.groups)
    state = net.state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}


def test_every_list_is_tried():
    assert {path.stem for path in KEYS.iterdir()} == {expected.file for expected in LISTS}


@every_list
def test_names_and_shapes_become_ours(expected):
    found = rename(listed(expected.file), file_of(expected))
    assert (found.name, found.padding, found.norm_eps) == (expected.name, expected.padding, expected.norm_eps)
    assert {key: value.shape for key, value in found.tensors.items()} == shapes_of(expected)


@every_list
def test_a_name_too_many_and_one_too_few_are_named(expected):
    tensors, file = listed(expected.file), file_of(expected)
    odd = "odd/kernel" if expected.file.startswith("keras") else "odd.weight"
    with pytest.raises(WeightsError, match=r"holds 1 too many: odd\.weight"):
        rename({**tensors, odd: np.zeros(1)}, file)
    last = list(tensors)[-1]
    named = last.replace("/", ".").lower() if "/" in last else last
    with pytest.raises(WeightsError, match=rf"lacks 1: {named}"):
        rename({key: value for key, value in tensors.items() if key != last}, file)


@pytest.mark.parametrize(
    ("file", "gone"),
    [
        ("torchvision_resnet50", "layer1.0.conv2.weight"),
        ("torchvision_vgg16", "features.28.weight"),
        ("timm_efficientnet_b0", "blocks.2.1.se.conv_expand.bias"),
        ("timm_ghostnet_050", "blocks.3.0.shortcut.2.weight"),
        ("timm_mobilenetv4_conv_small_050", "blocks.2.0.dw_mid.bn.running_var"),
        ("pytorchcv_shufflenet_g1_w1", "features.stage2.unit3.dw_bn2.running_mean"),
    ],
)
def test_what_is_missing_inside_is_named(file, gone):
    tensors = {key: value for key, value in listed(file).items() if key != gone}
    with pytest.raises(WeightsError, match=rf"lacks 1: {gone}"):
        rename(tensors, f"{file}.pth")


def test_another_shape_is_named():
    tensors = listed("torchvision_mobilenet_v2")
    tensors["features.5.conv.1.0.weight"] = np.zeros((192, 1, 5, 5))
    found = rename(tensors, "a.pth")
    with pytest.raises(WeightsError, match=r"features\.5\.layers\.1\.0\.weight.*5, 5"):
        recognize_state(found.name, {key: value.shape for key, value in found.tensors.items()}, "a.pth")


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((64, 64, 3, 3), "resnet101"),
        ((128, 4, 3, 3), "resnext101_32x4d"),
        ((256, 8, 3, 3), "resnext101_32x8d"),
        ((256, 4, 3, 3), "resnext101_64x4d"),
    ],
)
def test_residual_nets_of_one_depth_are_told_apart_by_their_groups(shape, name):
    tensors = listed("torchvision_resnet152")
    deep = {key: value for key, value in tensors.items() if not key.startswith(("layer2.", "layer3."))}
    deep |= {key: value for key, value in tensors.items() if key.startswith("layer2.") and int(key.split(".")[1]) < 4}
    deep |= {key: value for key, value in tensors.items() if key.startswith("layer3.") and int(key.split(".")[1]) < 23}
    deep["layer1.0.conv2.weight"] = np.zeros(shape)
    assert rename(deep, "a.pth").name == name


def test_weights_from_tensorflow_are_told_by_their_file_only():
    tensors = listed("timm_efficientnet_b0")
    assert rename(tensors, "efficientnet_b0.ra_in1k.safetensors")[3:] == (1e-5, "symmetric")
    assert rename(tensors, "tf_efficientnet_b0.aa_in1k.safetensors")[3:] == (1e-3, "same")


def test_shortcuts_of_squeezenet_are_told_by_the_file_only():
    tensors = listed("pytorchcv_squeezenet_v1_1")
    assert rename(tensors, "squeezenet_v1_1-0000.pth").name == "squeezenet1_1"
    assert rename(tensors, "squeezeresnet_v1_1-0000.pth").name == "squeezenet1_1_simple_bypass"


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"weight": np.zeros(1)},
        {"conv_stem.weight": np.zeros(1), "blocks.0.0.conv.weight": np.zeros(1), "conv_head.weight": np.zeros(1)},
        {"layer1.0.conv1.weight": np.zeros((64, 64, 1, 1)), "fc.weight": np.zeros((10, 10))},
        {"conv2d/kernel": np.zeros((3, 3, 3, 8))},
    ],
)
def test_other_nets_are_refused(tensors):
    with pytest.raises(WeightsError, match=r"a\.pth holds no known layout"):
        rename(tensors, "a.pth")


def test_mobilenet_v1_with_another_activation_is_refused():
    blocks = [(stage, unit) for stage, count in enumerate((1, 2, 2, 6, 2), 1) for unit in range(1, count + 1)]
    names = [f"features.stage{stage}.unit{unit}.dw_conv.conv.weight" for stage, unit in blocks]
    with pytest.raises(WeightsError, match="trained with ReLU"):
        rename(dict.fromkeys(names, np.zeros(1)), "mobilenet_w1.pth")


@pytest.mark.parametrize(
    "file",
    ["torchvision_resnet50", "timm_vgg16", "keras_VGG16", "keras_ResNet50", "pytorchcv_shufflenet_g1_w1"],
)
def test_arrays_of_odd_shapes_are_passed_on_or_refused(file):
    tensors = listed(file)
    for key in {*list(tensors)[:12], *list(tensors)[::13], *list(tensors)[-6:]}:
        for shape in ((), (0,), (3,), (0, 5), (1, 0, 2, 2), (1, 2, 3, 4, 5)):
            try:
                found = rename({**tensors, key: np.zeros(shape)}, "a.pth")
            except WeightsError:
                continue
            assert any(value.size <= 120 for value in found.tensors.values())


def test_two_arrays_of_keras_under_one_name_are_refused():
    tensors = listed("keras_VGG16")
    with pytest.raises(WeightsError, match="'fc2/kernel_1' and another array"):
        rename({**tensors, "fc2/kernel_1": tensors["fc2/kernel"]}, "a.h5")


def test_names_with_endless_numbers_are_refused_at_once():
    odd = {"conv_stem.weight": np.zeros(1), f"blocks.{'9' * 5000}.0.conv.weight": np.zeros(1)}
    with pytest.raises(WeightsError, match="holds no known layout"):
        rename(odd, "a.pth")


# ---------------------------------------------------------------- what happens to the values


def numbers(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_keras_arrays_are_turned_to_channels_first():
    tensors = listed("keras_MobileNet_0.25")
    conv, depthwise, head = numbers((3, 3, 3, 8), 1), numbers((3, 3, 8, 1), 2), numbers((1, 1, 256, 1000), 3)
    tensors |= {"conv1/kernel": conv, "conv_dw_1/kernel": depthwise, "conv_preds/kernel": head}
    found = rename(tensors, "a.h5").tensors
    assert np.array_equal(found["features.0.0.weight"], np.moveaxis(conv, (3, 2), (0, 1)))
    assert np.array_equal(found["features.1.0.weight"], np.moveaxis(depthwise, 2, 0).reshape(8, 1, 3, 3))
    assert np.array_equal(found["classifier.1.weight"], head[0, 0].T)


def test_keras_flattens_the_last_maps_of_vgg_channels_last():
    tensors = listed("keras_VGG16")
    # Two outputs of the 4096 show it, without their 400 MB.
    tensors["fc1/kernel"] = kernel = numbers((7 * 7 * 512, 2), 1)
    weight = rename(tensors, "a.h5").tensors["hidden.0.weight"]
    assert np.array_equal(weight[1].reshape(512, 7, 7), kernel[:, 1].reshape(7, 7, 512).transpose(2, 0, 1))


def test_a_bias_before_a_batch_norm_goes_into_its_mean():
    tensors = listed("keras_ResNet50")
    tensors |= {"conv1_conv/bias": numbers(64, 1), "conv1_bn/moving_mean": numbers(64, 2)}
    found = rename(tensors, "a.h5").tensors
    assert "features.0.0.bias" not in found
    assert np.array_equal(found["features.0.1.running_mean"], numbers(64, 2) - numbers(64, 1))


def test_a_batch_norm_without_scale_gets_ones():
    found = rename(listed("keras_InceptionV3"), "a.h5").tensors
    assert np.array_equal(found["features.0.0.1.weight"], np.ones(32))


def test_keras_layers_without_a_name_may_be_counted_from_any_number():
    tensors = {}
    for key, value in listed("keras_InceptionV3").items():
        layer, variable = key.split("/")
        kind, _, number = layer.rpartition("_") if layer[-1].isdigit() else (layer, "", "0")
        old = {"conv2d": "convolution2d", "batch_normalization": "batchnormalization"}
        tensors[f"{old[kind]}_{int(number) + 95}/{variable}" if kind in old else key] = value
    assert {"convolution2d_95/kernel", "convolution2d_188/kernel"} <= set(tensors)
    assert rename(tensors, "a.h5").tensors.keys() == rename(listed("keras_InceptionV3"), "a.h5").tensors.keys()


@pytest.mark.parametrize("spelling", ["today's", "with scopes", "of the first release"])
def test_old_spellings_of_keras_are_known(spelling):
    file = "keras_VGG16" if spelling == "of the first release" else "keras_MobileNetV3Small_0.75"
    tensors = listed(file)
    wanted = rename(tensors, "a.h5").tensors.keys()
    if spelling == "with scopes":
        spelled = {}
        for key in tensors:
            scoped = key.replace("conv_1_bn/", "Conv_1/BatchNorm/").replace(
                "squeeze_excite_conv", "squeeze_excite/Conv"
            )
            for part in ("expand", "depthwise", "project"):
                scoped = scoped.replace(f"_{part}_bn/", f"/{part}/BatchNorm/").replace(f"_{part}/", f"/{part}/")
            spelled[scoped] = tensors[key]
        assert "expanded_conv_1/expand/BatchNorm/gamma" in spelled
        tensors = spelled
    elif spelling == "of the first release":
        letters = {"kernel": "W", "bias": "b"}
        split = {key: key.split("/") for key in tensors}
        tensors = {f"{layer}/{layer}_{letters[variable]}_1:0": tensors[key] for key, (layer, variable) in split.items()}
    assert rename(tensors, "a.h5").tensors.keys() == wanted


def test_the_authors_names_of_fd_mobilenet():
    ours = shapes_of(Expected("", "fd_mobilenet", 0.25))
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in ours))
    theirs = ["features.conv_0", "features.norm_0"]
    for block in range(11):
        theirs += [f"features.{kind}_{part}_{block}" for kind in ("dw", "pw") for part in ("conv", "norm")]
    names = dict(zip(layers, [*theirs, "classifier"], strict=True))
    tensors = {}
    for key, shape in ours.items():
        layer, _, variable = key.rpartition(".")
        tensors[f"{names[layer]}.{variable}"] = np.zeros(shape)
    found = rename(tensors, "0.25x-FDMobileNet-224.pth.tar")
    assert (found.name, found.layout, found.norm_eps) == ("fd_mobilenet", "authors", 1e-5)
    assert {key: value.shape for key, value in found.tensors.items()} == ours
