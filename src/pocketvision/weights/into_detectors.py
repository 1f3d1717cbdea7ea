"""What a detector begins with: a classifier's backbone, or all that fits of another detector."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from numpy.typing import NDArray

from pocketvision.weights.copying import check_fit, copy_into
from pocketvision.weights.norms import unfold

if TYPE_CHECKING:
    from torch import nn

    from pocketvision.models.blocks import Net
    from pocketvision.models.ssd import Detector, SsdHead

Array = NDArray[Any]
_HEAD = "classifier."
_ALONE = 2
"""Dots in the name of a prediction layer that is one convolution: `classifier.classes.0`."""


class Names(NamedTuple):
    """What classes are called."""

    own: Sequence[str]
    """In the net that is filled."""
    given: Sequence[str]
    """In the net that gives."""


def read_by(net: "Net", tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return the tensors without those of backbone layers behind a detector's last map, which it has not."""
    last = len(net.features) - 1
    inner = {name for name, _ in net.features[last].named_modules()}

    def there(key: str) -> bool:
        half, place, *rest = key.split(".")
        if half != "features" or int(place) < last:
            return True
        return int(place) == last and ".".join(rest[:-1]) in inner

    return {key: value for key, value in tensors.items() if there(key)}


def backbone_into(net: "Net", tensors: Mapping[str, Array], *, folded: bool, eps: float) -> set[str]:
    """Load a net's features into a detector; return the names of what was loaded."""
    from torch import nn

    backbone = nn.Module()
    backbone.features = net.features
    own = read_by(net, {key: value for key, value in tensors.items() if not key.startswith(_HEAD)})
    if folded:
        own = unfold(backbone, own, eps)
    check_fit(own, {key: tuple(value.shape) for key, value in backbone.state_dict().items()})
    copy_into(backbone, own, eps)
    copy_into(net, {}, eps)  # all norms of a net have one epsilon
    return set(own)


def detector_into(net: "Detector", donor: "Detector", names: Names) -> set[str]:
    """Copy a detector's features, the further maps of the same strides, and what is predicted from maps of the same
    anchors, classes by their names; return the names of what was copied.

    A class of another name stays fresh.
    """
    import torch

    own, given = net.state_dict(), donor.state_dict()
    features = read_by(net, {key: value.numpy() for key, value in given.items() if key.startswith("features.")})
    check_fit(features, {key: tuple(value.shape) for key, value in own.items() if key.startswith("features.")})
    parts = ["features.", *_extras(net, donor)]
    found: set[str] = set()
    for place in _same(net, donor):
        layer = _logits(net, place)
        found |= _named(net, donor, place, names)
        parts += [f"{_HEAD}boxes.{place}.", *([f"{_HEAD}classes.{place}.0."] if layer.count(".") > _ALONE else [])]
    found |= {key for key in own if key.startswith(tuple(parts))}
    with torch.no_grad():
        for key in found - _rows(net):
            own[key].copy_(given[key])
    return found


def _same(net: "Detector", donor: "Detector") -> list[int]:
    """Return the places of the maps that have the same anchors, and the same maps before them."""
    found: list[int] = []
    if net.detector.head != donor.detector.head:
        return found
    for place, (one, other) in enumerate(zip(net.detector.maps, donor.detector.maps, strict=False)):
        if one.stride != other.stride:
            break
        if one.shapes == other.shapes:
            found.append(place)
    return found


def _extras(net: "Detector", donor: "Detector") -> list[str]:
    """Return the beginnings of the names of further maps' layers that both have, behind the same maps."""
    if net.detector.head != donor.detector.head or net.taps != donor.taps:
        return []
    pairs = list(zip(net.detector.maps, donor.detector.maps, strict=False))[len(net.taps) :]
    both = takewhile(lambda pair: pair[0].stride == pair[1].stride, pairs)
    return [f"{_HEAD}extras.{place}." for place, _ in enumerate(both)]


def _logits(net: "Detector", place: int) -> str:
    """Return the name of the layer that gives the logits of a map's classes."""
    from pocketvision.models.ssd import last_of

    layer = last_of(_predictor(net, place))
    name: str = next(name for name, module in net.named_modules() if module is layer)
    return name


def _rows(net: "Detector") -> set[str]:
    names = (_logits(net, place) for place in range(len(net.detector.maps)))
    return {f"{name}.{part}" for name in names for part in ("weight", "bias")}


def _named(net: "Detector", donor: "Detector", place: int, names: Names) -> set[str]:
    """Copy the rows of classes of one name; return the names of the layer's parameters where all classes have one."""
    import torch

    own, given = net.state_dict(), donor.state_dict()
    anchors, layer = len(net.detector.maps[place].shapes), _logits(net, place)
    pairs = [(row, list(names.given).index(name)) for row, name in enumerate(names.own) if name in names.given]
    keys = {f"{layer}.{part}" for part in ("weight", "bias")}
    with torch.no_grad():
        for key in keys:
            rows, theirs = (each[key].view(anchors, -1, *each[key].shape[1:]) for each in (own, given))
            for row, there in pairs:
                rows[:, row] = theirs[:, there]
    return keys if len(pairs) == len(names.own) else set()


def _predictor(net: "Detector", place: int) -> "nn.Module":
    head = cast("SsdHead", net.classifier)
    return head.classes[place]
