"""Weights files into records and records into nets, strictly: nothing missing, nothing left over, nothing misshapen."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketvision import files
from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import names
from pocketvision.values import ImageSpec, ModelSpec, from_json, to_json
from pocketvision.weights.layouts import rename
from pocketvision.weights.norms import FOLDED_EPS, unfold
from pocketvision.weights.recognise import recognise_layers, recognise_state
from pocketvision.weights.sources import IMAGENET, published_file
from pocketvision.weights.tflite import read_tflite

if TYPE_CHECKING:
    from torch import nn

    from pocketvision.models.blocks import Net

Array = NDArray[Any]
SUFFIXES = (".pth", ".safetensors", ".tflite")
_HEADER = "pocketvision"
_FORMAT_VERSION = 1
_HEAD = "classifier."
_COUNTER = "num_batches_tracked"
_BACKGROUND = 1001
"""Classes of TensorFlow's ImageNet files; class 0 stands for none of the thousand."""


@dataclass(frozen=True, eq=False)
class Weights:
    """What one file holds: which net, how it wants its pictures, and arrays under our names."""

    spec: ModelSpec
    image: ImageSpec
    labels: tuple[str, ...] | None
    folded: bool
    """Batch norms are folded into the convolutions, which therefore have biases."""
    norm_eps: float
    """What batch norms add to the variance; it belongs to the weights."""
    tensors: dict[str, Array]


@dataclass(frozen=True)
class LoadReport:
    """What `load_into` did."""

    loaded: int
    """Number of tensors taken from the file."""
    fresh: tuple[str, ...]
    """Parameters that kept the net's own values: the classifier, unless it was kept."""
    dropped_background: bool
    labels: tuple[str, ...] | None
    """Of the net's outputs, where the head was kept and the file names them."""
    folded: bool
    """The batch norms are neutral now: call `restore_batch_norms` before training."""


@dataclass(frozen=True)
class _Header:
    format_version: int
    spec: ModelSpec
    image: ImageSpec
    labels: tuple[str, ...] | None
    norm_eps: float


# ---------------------------------------------------------------- reading and writing


def read(path: Path) -> Weights:
    """Read a weights file by its suffix: `.tflite`, our own `.safetensors`, or a torchvision or timm state dict.

    Nothing in the file is run. `WeightsError` where it is damaged or holds no net of the catalogue.
    """
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"'{path.name}' is no weights file by its suffix. Known: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise WeightsError(f"there is no weights file at {path}")
    if path.suffix == ".tflite":
        return _read_tflite(path)
    return _read_safetensors(path) if path.suffix == ".safetensors" else _foreign(_read_pth(path), path)


def save(net: "Net", spec: ModelSpec, *, image: ImageSpec, labels: tuple[str, ...] | None, path: Path) -> None:
    """Write a net as `.safetensors` that `read` understands, its spec, labels and image rule inside; atomic."""
    from safetensors.torch import save as to_bytes

    if path.suffix != ".safetensors":
        raise WeightsError(f"weights are written as .safetensors, not as '{path.name}'")
    header = _Header(_FORMAT_VERSION, spec, image, labels, _norm_eps(net))
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    files.write_bytes(path, to_bytes(state, {_HEADER: json.dumps(to_json(header), ensure_ascii=False)}))


def _norm_eps(net: "nn.Module") -> float:
    from torch import nn

    found = {module.eps for module in net.modules() if isinstance(module, nn.BatchNorm2d)}
    assert len(found) < 2, found
    return found.pop() if found else 1e-5


def _read_tflite(path: Path) -> Weights:
    found = read_tflite(path)
    spec, tensors = recognise_layers(found, path.name)
    # The files' authors evaluate on the central 87.5% of the picture, with values from -1 to 1.
    image = ImageSpec(spec.resolution, "crop", 0.875)
    return Weights(spec, image, found.labels, folded=True, norm_eps=FOLDED_EPS, tensors=dict(tensors))


def _read_safetensors(path: Path) -> Weights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path.name} is damaged or no safetensors file: {error}") from error
    if _HEADER not in metadata:
        return _foreign(tensors, path)
    header = _header(metadata[_HEADER], path.name)
    return Weights(header.spec, header.image, header.labels, folded=False, norm_eps=header.norm_eps, tensors=tensors)


def _header(text: str, file: str) -> _Header:
    try:
        header = from_json(_Header, json.loads(text))
        spec, image = header.spec, header.image
        sound = (
            header.format_version == _FORMAT_VERSION
            and spec.name in names()
            and all(isinstance(number, int) and number > 0 for number in (spec.resolution, spec.num_classes))
            and spec.resolution == image.resolution
            and 0 < spec.width < 100
            and 0 < header.norm_eps < 1
            and (header.labels is None or len(header.labels) == spec.num_classes)
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{file} has a damaged header: {type(error).__name__}") from error
    if not sound:
        raise WeightsError(f"{file} has a header that this version does not understand: {text[:200]}")
    return header


def _read_pth(path: Path) -> dict[str, Array]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch promises no particular one for damaged or forbidden content
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise WeightsError(f"{path.name} is damaged, or holds more than plain tensors: {reason}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path.name} is not a state dict of tensors")
    return {str(key): value.detach().float().numpy() for key, value in state.items()}


def _foreign(tensors: Mapping[str, Array], path: Path) -> Weights:
    """Understand another project's state dict; its file's name tells the image rule, if it is a published one."""
    name, layout, renamed = rename(tensors, path.name)
    renamed = {key: np.asarray(value, np.float32) for key, value in renamed.items()}
    spec = recognise_state(name, {key: value.shape for key, value in renamed.items()}, path.name)
    source = published_file(path.name)
    if source is not None:
        image = source.image
    elif (name, layout) == ("mobilenet_v1", "timm"):
        image = ImageSpec(224, "crop", 0.875)
    else:
        image = ImageSpec(224, "crop", 0.875, mean=IMAGENET[0], std=IMAGENET[1])
    spec = replace(spec, resolution=image.resolution)
    return Weights(spec, image, None, folded=False, norm_eps=1e-5, tensors=renamed)


# ---------------------------------------------------------------- into a net


def load_into(net: "Net", weights: Weights, *, keep_head: bool) -> LoadReport:
    """Load weights into a net of the same family, width and padding.

    With `keep_head` the classifier is loaded too and must have as many outputs as the net's; of a 1001-class file
    the background class is dropped for a net of 1000. Without it the net keeps its own, fresh classifier.
    `WeightsError` names every missing, left-over and misshapen tensor.
    """
    _check_padding(net, weights)
    state = net.state_dict()
    head = [key for key in state if key.startswith(_HEAD)]
    tensors, dropped = _head(weights, len(state[head[0]])) if keep_head else (dict(weights.tensors), False)
    if weights.folded:
        tensors = unfold(net, tensors, weights.norm_eps)
    fresh = () if keep_head else tuple(head)
    _check_fit(tensors, {key: tuple(value.shape) for key, value in state.items()}, fresh)
    taken = {key: value for key, value in tensors.items() if key not in fresh}
    _copy(net, taken, weights.norm_eps)
    labels = weights.labels if keep_head else None
    if labels is not None and dropped:
        labels = labels[1:]
    return LoadReport(len(taken), fresh, dropped, labels, weights.folded)


def _check_padding(net: "nn.Module", weights: Weights) -> None:
    """Refuse the other padding rule: all shapes would fit, and the answers would be quietly worse."""
    from pocketvision.models.blocks import Conv2dSame

    rule = "same" if any(isinstance(module, Conv2dSame) for module in net.modules()) else "symmetric"
    if rule != weights.spec.padding:
        raise WeightsError(f"these weights need a net built with padding='{weights.spec.padding}', not '{rule}'")


def _head(weights: Weights, outputs: int) -> tuple[dict[str, Array], bool]:
    tensors, classes = dict(weights.tensors), weights.spec.num_classes
    if classes == outputs:
        return tensors, False
    if (classes, outputs) != (_BACKGROUND, _BACKGROUND - 1):
        raise WeightsError(
            f"the file's classifier has {classes} classes and the net {outputs}; "
            "pass keep_head=False to start with a fresh classifier"
        )
    for key in [key for key in tensors if key.startswith(_HEAD)]:
        tensors[key] = tensors[key][1:]
    return tensors, True


def _check_fit(tensors: Mapping[str, Array], wanted: Mapping[str, tuple[int, ...]], fresh: tuple[str, ...]) -> None:
    needed = {key for key in wanted if key not in fresh and not key.endswith(_COUNTER)}
    complaints = []
    if missing := sorted(needed - set(tensors)):
        complaints.append(f"missing in the file: {', '.join(missing)}")
    if extra := sorted(set(tensors) - set(wanted)):
        complaints.append(f"unknown to the net: {', '.join(extra)}")
    if misshapen := [
        f"{key} is {list(value.shape)}, not {list(wanted[key])}"
        for key, value in sorted(tensors.items())
        if key in wanted and key not in fresh and value.shape != wanted[key]
    ]:
        complaints.append(f"of another shape: {', '.join(misshapen)}")
    if complaints:
        raise WeightsError(f"the weights do not fit the net; {'; '.join(complaints)}")


def _copy(net: "nn.Module", tensors: Mapping[str, Array], eps: float) -> None:
    import torch
    from torch import nn

    state = net.state_dict()
    with torch.no_grad():
        for key, value in tensors.items():
            state[key].copy_(torch.from_numpy(np.array(value)))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps
