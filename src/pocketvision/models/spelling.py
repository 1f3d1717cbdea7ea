"""Understands the names that other projects give to the nets of the catalogue."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

ALIASES = {
    "mobilenet": "mobilenet_v1",
    "mobilenetv3": "mobilenet_v3_large",
    "v3large": "mobilenet_v3_large",
    "v3small": "mobilenet_v3_small",
    "mobilenetv4small": "mobilenet_v4_conv_small",
    "shufflenet": "shufflenet_v1",
    "inceptionv1": "googlenet",
    "bninception": "inception_v2",
    "mnasnet": "mnasnet_b1",
    "semnasnet": "mnasnet_a1",
    "efficientnet": "efficientnet_b0",
    "squeezenet": "squeezenet1_0",
    "squeezenetv10": "squeezenet1_0",
    "squeezenetv11": "squeezenet1_1",
    "ghostnetv1": "ghostnet",
}
"""Names without underscores and dots, and ours for them; a net's own name needs no line."""


class Spelled(NamedTuple):
    """What a name says; None where it says nothing."""

    name: str
    width: float | None = None
    resolution: int | None = None
    groups: int | None = None


_DIALS: tuple[tuple[re.Pattern[str], Callable[[str], float]], ...] = (
    (re.compile(r"_(?P<resolution>\d{3})_(?P<width>\d\.\d+)$"), float),
    # TensorFlow: mobilenet_v1_0.25_128, and Keras' files with 2_5 for 0.25 (tenths and hundredths of one).
    (re.compile(r"_(?P<width>\d?\.\d+|\d)(?:_(?P<resolution>\d{2,3}))?$"), float),
    # torchvision: shufflenet_v2_x0_5, mnasnet0_5.
    (re.compile(r"_?x?(?P<width>\d_\d{1,2})$"), lambda text: float(text.replace("_", "."))),
    # timm: mobilenetv2_050.
    (re.compile(r"_(?P<width>[0-3]\d{2})$"), lambda text: int(text) / 100),
    # pytorchcv: shufflenet_g3_wd2, mobilenet_w3d4.
    (re.compile(r"_w(?P<width>d[24]|3d4|1)$"), lambda text: {"d2": 0.5, "d4": 0.25, "3d4": 0.75, "1": 1.0}[text]),
    (re.compile(r"_(?P<resolution>\d{2,3})$"), float),
)


def spelled(name: str, known: Iterable[str]) -> Spelled | None:
    """Return which of `known` a name of ours, timm's, TensorFlow's, Keras' or torchvision's means, or None."""
    names = set(known)
    compact = {_compact(own): own for own in names}
    compact |= {alias: own for alias, own in ALIASES.items() if own in names}
    plain = name.lower().rpartition("/")[2].replace("-", "_").replace(" ", "_")
    plain = re.sub(r"\.[a-z]\w*$", "", plain)  # timm's tag of training
    plain = re.sub(r"_minimal(?=_|$)", "_minimalistic", plain)
    plain = re.sub(r"^(tf|legacy|tv|gluon)_|_(quant|tf|float|no_top)$", "", plain)
    if _compact(plain) in compact:
        return Spelled(compact[_compact(plain)])
    groups = re.search(r"_g(\d)(?=_|$)", plain)
    plain = re.sub(r"_g\d(?=_|$)", "", plain)
    found = _with_dials(plain, compact)
    return found and found._replace(groups=int(groups[1]) if groups else None)


def _with_dials(plain: str, compact: dict[str, str]) -> Spelled | None:
    if _compact(plain) in compact:
        return Spelled(compact[_compact(plain)])
    for pattern, value in _DIALS:
        match = pattern.search(plain)
        stem = _compact(plain[: match.start()]) if match else ""
        if match and stem in compact:
            said = match.groupdict()
            width = value(said["width"]) if said.get("width") else None
            return Spelled(compact[stem], width, int(said["resolution"]) if said.get("resolution") else None)
    return None


def _compact(name: str) -> str:
    return re.sub(r"[_.]", "", name)
