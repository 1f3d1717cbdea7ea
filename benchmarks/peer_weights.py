"""Our nets beside other projects' own, with the same weights and the same image: do they answer alike?

    pip install --no-deps torchvision timm keras h5py ml_dtypes optree absl-py namex pytorchcv
    KERAS_BACKEND=torch python benchmarks/peer_weights.py [--only timm] [--keys tests/weights/keys]

Nothing is downloaded: every peer gets random weights, batch norms with random scales, shifts and statistics. Its state
dict (Keras: the .h5 file it writes) is renamed and put into our net, and both answer the same two images. The error
is the largest difference between the two nets' logits, over the largest difference between the two images' logits,
so that a net whose answers hardly depend on the image cannot pass by chance. `--keys` writes each peer's names and
shapes, from which the tests build their state dicts.
"""

import argparse
import itertools
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvision.models.catalogue import build
from pocketvision.weights.layouts import Renamed, rename

Array = NDArray[Any]
Answer = Callable[[Array], Array]
LARGEST_ERROR = 1e-4


@dataclass(frozen=True)
class Case:
    """One net of another project, and what it is called here."""

    project: str
    peer: str
    ours: str
    width: float = 1.0
    groups: int | None = None
    resolution: int = 96
    same_keys_as: str = ""
    """A case whose names are the same, so that they need no list of their own."""


@dataclass(frozen=True)
class Peer:
    """Another project's net with random weights."""

    tensors: dict[str, Array]
    answer: Answer
    """Images [N, 3, R, R] -> logits."""


# ---------------------------------------------------------------- what is compared


def cases() -> Iterator[Case]:
    """Yield every pair."""
    yield from torchvision_cases()
    yield from timm_cases()
    yield from keras_cases()
    yield from pytorchcv_cases()


def torchvision_cases() -> Iterator[Case]:
    project = "torchvision"
    yield Case(project, "alexnet", "alexnet_one_tower", resolution=224)
    for name in ("vgg11", "vgg13", "vgg16", "vgg19"):
        yield Case(project, name, name, resolution=224)
    for name in ("squeezenet1_0", "squeezenet1_1"):
        yield Case(project, name, name)
    yield Case(project, "googlenet", "googlenet_bn")
    yield Case(project, "inception_v3", "inception_v3", resolution=107)
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        yield Case(project, name, name, same_keys_as="but more of them than resnet50" if name == "resnet101" else "")
    for name in ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"):
        yield Case(project, name, name, same_keys_as="resnet50" if name != "resnext50_32x4d" else "")
    for name in ("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0"):
        yield Case(project, name, name)
    for width in (0.5, 1.0, 1.5, 2.0):
        same = "shufflenet_v2_x0_5" if width > 0.5 else ""
        yield Case(project, f"shufflenet_v2_x{str(width).replace('.', '_')}", "shufflenet_v2", width, same_keys_as=same)
    for name, width in (("0_5", 0.5), ("0_75", 0.75), ("1_0", 1.0), ("1_3", 1.3)):
        same = "mnasnet0_5" if width > 0.5 else ""
        yield Case(project, f"mnasnet{name}", "mnasnet_b1", width, same_keys_as=same)


def timm_cases() -> Iterator[Case]:
    project = "timm"
    for name, width in (("mobilenetv1_100", 1.0), ("mobilenetv1_125", 1.25)):
        yield Case(project, name, "mobilenet_v1", width, same_keys_as="mobilenetv1_100" if width > 1 else "")
    for number in (35, 50, 75, 100, 140):
        same = "mobilenetv2_035" if number > 35 else ""
        yield Case(project, f"mobilenetv2_{number:03}", "mobilenet_v2", number / 100, same_keys_as=same)
    for size in ("small", "large"):
        for number in (50, 75, 100) if size == "small" else (75, 100):
            first = f"mobilenetv3_{size}_{'050' if size == 'small' else '075'}"
            name = f"mobilenetv3_{size}_{number:03}"
            same = first if name != first else ""
            yield Case(project, name, f"mobilenet_v3_{size}", number / 100, same_keys_as=same)
            if number > 50:
                yield Case(project, f"tf_{name}", f"mobilenet_v3_{size}", number / 100, same_keys_as=first)
        yield Case(project, f"tf_mobilenetv3_{size}_minimal_100", f"mobilenet_v3_{size}_minimalistic")
    yield Case(project, "mobilenetv4_conv_small_050", "mobilenet_v4_conv_small", 0.5)
    yield Case(project, "mobilenetv4_conv_small", "mobilenet_v4_conv_small", same_keys_as="mobilenetv4_conv_small_050")
    for name, ours, width in (
        ("mnasnet_100", "mnasnet_b1", 1.0),
        ("semnasnet_075", "mnasnet_a1", 0.75),
        ("semnasnet_100", "mnasnet_a1", 1.0),
        ("mnasnet_small", "mnasnet_small", 1.0),
        ("efficientnet_b0", "efficientnet_b0", 1.0),
        ("tf_efficientnet_b0", "efficientnet_b0", 1.0),
        ("efficientnet_lite0", "efficientnet_lite0", 1.0),
        ("tf_efficientnet_lite0", "efficientnet_lite0", 1.0),
        ("ghostnet_050", "ghostnet", 0.5),
        ("ghostnet_100", "ghostnet", 1.0),
        ("ghostnet_130", "ghostnet", 1.3),
        ("lcnet_050", "lcnet", 0.5),
        ("lcnet_075", "lcnet", 0.75),
        ("lcnet_100", "lcnet", 1.0),
    ):
        alike = {"semnasnet_100": "semnasnet_075", "ghostnet_100": "ghostnet_050", "ghostnet_130": "ghostnet_050"}
        alike |= {"lcnet_075": "lcnet_050", "lcnet_100": "lcnet_050"}
        yield Case(project, name, ours, width, same_keys_as=alike.get(name, name[3:] if name[:3] == "tf_" else ""))
    for name in ("resnet18", "resnet50", "resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d"):
        yield Case(project, name, name, same_keys_as="of torchvision")
    yield Case(project, "inception_v3", "inception_v3", resolution=107, same_keys_as="of torchvision")
    yield Case(project, "legacy_xception", "xception", resolution=107)
    for name in ("vgg11", "vgg16"):
        yield Case(project, name, name, resolution=224)


def keras_cases() -> Iterator[Case]:
    project = "keras"
    for name, ours, widths in (
        ("MobileNet", "mobilenet_v1", (0.25, 0.5, 0.75, 1.0)),
        ("MobileNetV2", "mobilenet_v2", (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)),
        ("MobileNetV3Small", "mobilenet_v3_small", (0.75, 1.0)),
        ("MobileNetV3Large", "mobilenet_v3_large", (0.75, 1.0)),
    ):
        for width in widths:
            same = f"{name} {widths[0]:g}" if width != widths[0] else ""
            yield Case(project, f"{name} {width:g}", ours, width, same_keys_as=same)
    for size in ("Small", "Large"):
        yield Case(project, f"MobileNetV3{size} minimalistic", f"mobilenet_v3_{size.lower()}_minimalistic")
    yield Case(project, "VGG16", "vgg16", resolution=224)
    yield Case(project, "VGG19", "vgg19", resolution=224)
    for depth in (50, 101, 152):
        same = "but more of them than ResNet50" if depth == 101 else ""
        yield Case(project, f"ResNet{depth}", f"resnet{depth}_paper", same_keys_as=same)
    yield Case(project, "InceptionV3", "inception_v3", resolution=107)
    yield Case(project, "Xception", "xception", resolution=107)
    yield Case(project, "EfficientNetB0", "efficientnet_b0")


def pytorchcv_cases() -> Iterator[Case]:
    project = "pytorchcv"
    yield Case(project, "fdmobilenet_wd4", "fd_mobilenet", 0.25)
    yield Case(project, "fdmobilenet_w1", "fd_mobilenet", same_keys_as="fdmobilenet_wd4")
    for groups in (1, 2, 3, 4, 8):
        same = "shufflenet_g1_w1" if groups > 1 else ""
        yield Case(project, f"shufflenet_g{groups}_w1", "shufflenet_v1", groups=groups, same_keys_as=same)
    for name in ("squeezenet_v1_0", "squeezenet_v1_1"):
        ours = name.replace("_v", "")
        yield Case(project, name, ours, resolution=224)
        residual = name.replace("net", "resnet")
        yield Case(project, residual, f"{ours}_simple_bypass", resolution=224, same_keys_as=name)
    yield Case(project, "bninception", "inception_v2", resolution=224)


# ---------------------------------------------------------------- the peers


def torchvision_peer(case: Case) -> Peer:
    import torchvision.models

    quick = {"init_weights": False} if case.peer in ("googlenet", "inception_v3") else {}
    return torch_peer(getattr(torchvision.models, case.peer)(weights=None, **quick), case)


def timm_peer(case: Case) -> Peer:
    import timm

    return torch_peer(timm.create_model(case.peer, pretrained=False), case)


def pytorchcv_peer(case: Case) -> Peer:
    from pytorchcv.model_provider import get_model

    extra = {"in_size": (case.resolution, case.resolution)} if case.peer.startswith("squeeze") else {}
    net = get_model(case.peer, pretrained=False, **extra)
    features = list(net.features.children())
    if isinstance(features[-1], nn.AvgPool2d):
        # It pools a window of 7, which is the whole map at 224 pixels only.
        net.features.final_pool = nn.AdaptiveAvgPool2d(1)
    return torch_peer(net, case)


def torch_peer(net: nn.Module, case: Case) -> Peer:
    """Take one training step's worth of statistics, so that signals neither die nor blow up on their way."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=0.2)
        net.eval()
        for norm in norms:
            norm.train()
        net(torch.randn(4, 3, case.resolution, case.resolution))
        net.eval()

    def answer(batch_nchw: Array) -> Array:
        with torch.inference_mode():
            found: Array = net(torch.from_numpy(batch_nchw)).numpy()
            return found

    return Peer({key: value.numpy() for key, value in net.state_dict().items()}, answer)


def keras_peer(case: Case) -> Peer:
    import h5py
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    from pocketvision.weights.keras import read_keras

    name, _, dial = case.peer.partition(" ")
    extra: dict[str, Any] = {} if dial in ("", "minimalistic") else {"alpha": float(dial)}
    if name.startswith("MobileNetV3"):
        extra |= {"include_preprocessing": False, "minimalistic": dial == "minimalistic"}
    shape = (case.resolution, case.resolution, 3)
    net = getattr(keras.applications, name)(weights=None, input_shape=shape, classifier_activation=None, **extra)
    for layer in net.layers:
        layer.set_weights([random_variable(weight.path, weight.shape) for weight in layer.weights])
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    # EfficientNet takes pixels up to 255, and normalizes inside.
    largest = 255 if name.startswith("EfficientNet") else 1
    # One training step's worth of statistics, as for the others.
    net(largest * np.random.default_rng(3).standard_normal((4, *shape), np.float32), training=True)
    with tempfile.TemporaryDirectory() as folder:
        with h5py.File(Path(folder, "weights.h5"), "w") as opened:
            legacy_h5_format.save_weights_to_hdf5_group(opened, net)
        tensors = read_keras(Path(folder, "weights.h5")).arrays

    def answer(batch_nchw: Array) -> Array:
        return np.asarray(net(largest * batch_nchw.transpose(0, 2, 3, 1), training=False).detach())

    return Peer(tensors, answer)


def random_variable(path: str, shape: tuple[int, ...]) -> Array:
    draw, last = np.random.default_rng(zlib.crc32(path.encode())), path.rpartition("/")[2]
    if path.startswith("normalization"):
        return np.ones(shape, np.float32) if last == "variance" else np.zeros(shape, np.float32)
    if last in ("gamma", "moving_variance"):
        return draw.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) < 2:
        return (0.2 * draw.standard_normal(shape)).astype(np.float32)
    depthwise = len(shape) == 4 and shape[3] == 1
    inputs = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
    return (draw.standard_normal(shape) * (2 / inputs) ** 0.5).astype(np.float32)


PEERS = {"torchvision": torchvision_peer, "timm": timm_peer, "keras": keras_peer, "pytorchcv": pytorchcv_peer}

# ---------------------------------------------------------------- ours


def our_answer(case: Case, found: Renamed) -> Answer:
    """Build our net and put every tensor in; nothing may be missing, left over or of another shape."""
    assert found.name == case.ours, f"taken for {found.name}"
    net = build(case.ours, width=case.width, padding=found.padding, groups=case.groups, resolution=case.resolution)
    state = net.state_dict()
    wanted = {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}
    shapes = {key: value.shape for key, value in found.tensors.items()}
    assert shapes == wanted, sorted(set(shapes.items()) ^ set(wanted.items()))[:6]
    with torch.no_grad():
        for key, value in found.tensors.items():
            state[key].copy_(torch.from_numpy(np.array(value)))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = found.norm_eps
    net.eval()

    def answer(batch_nchw: Array) -> Array:
        with torch.inference_mode():
            found: Array = net(torch.from_numpy(batch_nchw)).numpy()
            return found

    return answer


def compare(case: Case, keys: Path | None) -> float:
    """Return the error of our net's answers."""
    torch.manual_seed(1)
    peer = PEERS[case.project](case)
    if keys is not None and not case.same_keys_as:
        (keys / f"{case.project}_{case.peer.replace(' ', '_')}.txt").write_text("\n".join(listed(peer.tensors)) + "\n")
    found = rename(peer.tensors, f"{case.peer}.safetensors")
    images = np.random.default_rng(2).random((2, 3, case.resolution, case.resolution), np.float32)
    wanted = peer.answer(images).reshape(2, -1)
    answer = our_answer(case, found)(images)
    return float(np.abs(answer - wanted).max() / np.abs(wanted[0] - wanted[1]).max())


def listed(tensors: dict[str, Array]) -> Iterator[str]:
    """Yield a line for each layer: its name, then its variables with their shape, those of one shape together."""
    parts = ((re.fullmatch(r"(.*[./])([^./]+)", key), value.shape) for key, value in tensors.items())
    split = [(match[1], match[2], shape) for match, shape in parts if match]
    for layer, variables in itertools.groupby(split, lambda item: item[0]):
        words = [layer]
        for shape, alike in itertools.groupby(variables, lambda item: item[2]):
            words += [",".join(variable for _, variable, _ in alike), "x".join(map(str, shape)) or "scalar"]
        yield " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default="", help="a project, or the beginning of a peer's name behind it: timm/mobile"
    )
    parser.add_argument("--keys", type=Path, help="folder for the lists of names and shapes")
    options = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "torch")
    failed = 0
    print("| project | its net | ours | width | pixels | error |\n|---|---|---|---|---|---|")
    for case in cases():
        if not f"{case.project}/{case.peer}".startswith(options.only):
            continue
        good = False
        try:
            error = compare(case, options.keys)
            good = error <= LARGEST_ERROR
            verdict = f"{error:.1e}" + ("" if good else " DIFFERENT")
        except Exception as problem:  # the table goes on
            verdict = f"{type(problem).__name__}: {str(problem)[:200]}"
        failed += not good
        print(
            f"| {case.project} | {case.peer} | {case.ours} | {case.width:g} | {case.resolution} | {verdict} |",
            flush=True,
        )
    raise SystemExit(f"{failed} nets differ" if failed else 0)


if __name__ == "__main__":
    main()
