"""Finds families by their files, understands the names other projects use, and builds their nets."""

import ast
import importlib
import re
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from pocketvision.errors import UnknownName, UsageError
from pocketvision.models.paper_anchors import COLUMNS, paper_detector
from pocketvision.models.paper_anchors import RESOLUTIONS as RELEASED_RESOLUTIONS
from pocketvision.models.spelling import spelled
from pocketvision.values import ModelSpec
from pocketvision.values.ranges import check_ranges

if TYPE_CHECKING:
    from pocketvision.models.blocks import Net

RESOLUTIONS = (224, 192, 160, 128, 96, 64, 48, 32)
"""The papers' input sizes in pixels, and smaller ones for small images."""
COARSEST = 32
"""Stride of the last map of a detector's backbone; further maps are its own."""
SMALLEST_USEFUL = 48
"""These nets halve their maps five times: below this the last ones are a single pixel, and even tiny images are
told apart better enlarged (digits, 8 pixels: 97.1% at 32, 98.9% at 48 on validation; docs/measurements/training.md)."""

_DIALS = ("width", "resolution", "num_classes", "groups", "in_channels", "dropout", "depth")


@dataclass(frozen=True)
class Family:
    """What a family's file says of itself in its constants, read as text: nothing is imported for it."""

    home: str
    """Name of the file, without its suffix."""
    names: tuple[str, ...]
    year: int
    """Of the paper."""
    idea: str
    """The paper's idea in about five words."""
    ideas: tuple[tuple[str, str], ...] = ()
    """What is special about a variant: its name and about five words."""
    norms: bool = True
    """Whether the nets have batch norms; without them they learn at lower rates only."""
    smallest: int = 32
    """Pixels a side that leave the last map one pixel."""
    resolution: int = 224
    """The paper's input size in pixels."""
    resolutions: tuple[tuple[str, int], ...] = ()
    """The input size of a variant where it is another: its name and the pixels."""
    widths: tuple[float, ...] = (1.0,)
    """The multipliers the paper prints, or its authors published."""
    paddings: tuple[str, ...] = ("symmetric",)
    narrows: bool = True
    """Whether narrower nets can be cut out of wider ones: their channels can be told apart."""
    groups: tuple[int, ...] = ()
    """The choices of `groups`, where the family has any; the paper's own first."""

    def idea_of(self, name: str) -> str:
        """Return the idea of one of the family's nets."""
        return dict(self.ideas).get(name, self.idea)


@cache
def families() -> dict[str, Family]:
    """Map every net's name to its family, by the files beside this one."""
    homes: dict[str, Family] = {}
    for entry in sorted(resources.files("pocketvision.models").iterdir(), key=lambda file: file.name):
        stem, dot, suffix = entry.name.partition(".")
        family = _family(stem, entry.read_text(encoding="utf-8")) if dot and suffix == "py" else None
        if family is not None:
            sizes = dict(family.resolutions)
            homes |= {name: replace(family, resolution=sizes.get(name, family.resolution)) for name in family.names}
    return homes


def _family(home: str, source: str) -> Family | None:
    known = {field.name.upper(): field.name for field in fields(Family)}
    said: dict[str, Any] = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in known:
                said[known[name]] = ast.literal_eval(statement.value)
    return Family(home, **said) if "names" in said else None


def names() -> tuple[str, ...]:
    """Return the names of all nets, sorted; imports none of them."""
    return tuple(sorted(families()))


def parse_name(name: str) -> ModelSpec:
    """Understand a net's name in our, timm's (`mobilenetv2_050`), TensorFlow's (`mobilenet_v1_0.25_128`), Keras' and
    torchvision's (`shufflenet_v2_x0_5`) spelling; what it does not say is width 1.0 and the paper's resolution. With
    `ssdlite` or `ssd` in the name (`mobilenet_v2_ssdlite`) it is the papers' detector on that net."""
    if said := re.search(r"(?:^|_)(ssdlite|ssd)(\d{3})?(?:_|$)", name.lower()):
        return _detector(name, said)
    found = spelled(name, names())
    if found is None:
        raise UnknownName("model", name, names())
    resolution = found.resolution or family_of(found.name).resolution
    return ModelSpec(found.name, found.width or 1.0, resolution, groups=found.groups)


def _detector(name: str, said: re.Match[str]) -> ModelSpec:
    """Read a name such as `ssdlite_mobilenet_v2` or `mobilenet_v2_0.5_ssdlite_320`."""
    parts = (name[: said.start()], name[said.end() :])
    found, head = parse_name("_".join(part for part in parts if part)), said[1]
    usual = found.resolution == family_of(found.name).resolution
    resolution = int(said[2]) if said[2] else RELEASED_RESOLUTIONS[head] if usual else found.resolution
    return replace(found, resolution=resolution, num_classes=COLUMNS[head], detector=paper_detector(head))


def build(  # noqa: PLR0913  the dials that every net has
    name: str,
    *,
    width: float = 1.0,
    resolution: int | None = None,
    num_classes: int = 1000,
    padding: Literal["symmetric", "same"] = "symmetric",
    groups: int | None = None,
    in_channels: int = 3,
    dropout: float | None = None,
    depth: int | None = None,
) -> "Net":
    """Build a net with fresh weights as a torch module: [N, in_channels, R, R] normalized -> logits [N, num_classes].

    `name` must be one of `names()`; without a resolution it is the paper's own. With a depth it is cut after so many
    of its layers (`blocks.CutNet`). Raises UnknownName for another name, UsageError for a setting the net cannot take.
    """
    if resolution is None:
        resolution = family_of(name).resolution
    return build_spec(ModelSpec(name, width, resolution, num_classes, padding, groups, in_channels, dropout, depth))


def check_spec(spec: ModelSpec) -> None:
    """Raise UsageError for a setting that no net, or not this one, can take."""
    family = family_of(spec.name)
    check_ranges({name: getattr(spec, name) for name in _DIALS})
    if spec.resolution < family.smallest:
        raise UsageError(f"{spec.name} needs images of at least {family.smallest} pixels a side, not {spec.resolution}")
    if spec.padding not in family.paddings:
        raise UsageError(
            f"{spec.name} has the padding rule {' or '.join(family.paddings)}, not '{spec.padding}'; 'same' is for "
            "TensorFlow's weights"
        )
    if spec.groups is not None and spec.groups not in family.groups:
        raise UsageError(
            f"{spec.name} takes groups of {', '.join(map(str, family.groups))}, not {spec.groups}"
            if family.groups
            else f"{spec.name} has no choice of groups"
        )
    if spec.detector is not None and spec.depth is not None:
        raise UsageError("a detector reads maps of the whole net: leave the depth away")
    if spec.depth is not None and spec.depth not in depths(spec.name):
        raise UsageError(
            f"{spec.name} cannot be cut after {spec.depth} layers; the depths that it takes are "
            f"{', '.join(map(str, depths(spec.name)))}"
        )


@cache
def depths(name: str) -> tuple[int, ...]:
    """Return the depths at which a net can be cut, the shallowest first; they are the same at every width."""
    import torch

    from pocketvision.models.blocks import cuts

    with torch.device("meta"):
        return cuts(build(name, padding=family_of(name).paddings[0]))  # type: ignore[arg-type]  # read as text


@cache
def strides_of(name: str) -> tuple[int, ...]:
    """Return the strides that a net has maps at, the finest first."""
    import torch

    with torch.device("meta"):
        net = build(name, padding=family_of(name).paddings[0])  # type: ignore[arg-type]  # read as text
    return tuple(stage.stride for stage in net.stages(family_of(name).resolution))


def build_spec(spec: ModelSpec) -> "Net":
    """Build the net of a spec with fresh weights; see `build`."""
    check_spec(spec)
    family = family_of(spec.name)
    make = importlib.import_module(f"pocketvision.models.{family.home}").build
    if spec.detector is not None:
        from pocketvision.models.ssd import Detector

        return Detector(make(replace(spec, detector=None, num_classes=1, resolution=family.resolution)), spec)
    if spec.depth is None:
        net: Net = make(spec)
        return net
    from pocketvision.models.blocks import CutNet

    # Only what is cut off would have to fit the resolution.
    whole = make(replace(spec, resolution=family.resolution, depth=None))
    return CutNet(whole, depth=spec.depth, num_classes=spec.num_classes, dropout=spec.dropout)


def family_of(name: str) -> Family:
    """Return the family of a net; raises UnknownName."""
    if name not in families():
        raise UnknownName("model", name, names())
    return families()[name]


def largest_useful_resolution(median_short_side: int) -> int:
    """Return the smallest usual resolution that loses no detail of images of this size in pixels."""
    wanted = max(median_short_side, SMALLEST_USEFUL)
    enough = [resolution for resolution in RESOLUTIONS if resolution >= wanted]
    return min(enough, default=max(RESOLUTIONS))


def has_norms(name: str) -> bool:
    """Tell whether a net has batch norms; without them it learns at lower rates only."""
    return family_of(name).norms
