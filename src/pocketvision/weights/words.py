"""What a weights file's own words, or the `config.json` of the hub beside it, say of the net and its images."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import names
from pocketvision.models.spelling import spelled
from pocketvision.values import CropMode, ImageSpec
from pocketvision.weights.sources import sources

CONFIG = "config.json"
_LARGEST_CONFIG = 16 * 1024**2
_HARMLESS = {"drop_rate", "drop_path_rate", "global_pool", "img_size", "in_chans", "num_classes", "pretrained"}
"""Arguments of timm's `create_model` that change no answer of the net, or show in its shapes."""
_CROPS: dict[str, CropMode] = {"center": "crop", "squash": "squash"}


@dataclass(frozen=True)
class Words:
    """What is said of a net; empty where nothing is."""

    said_in: str = ""
    """The name of the file that says it."""
    architecture: str = ""
    """As timm or torchvision spells it."""
    prepared: Mapping[str, Any] = field(default_factory=dict)
    """In the words of timm's `pretrained_cfg`."""
    labels: tuple[str, ...] | None = None

    @property
    def plain(self) -> str:
        """The architecture without the hub's folder before it and the tag of its training behind it."""
        return self.architecture.rpartition("/")[2].partition(".")[0]

    @property
    def normalizes(self) -> bool:
        """Whether a mean and a deviation are said."""
        return "mean" in self.prepared and "std" in self.prepared


def config_beside(path: Path) -> Words | None:
    """Read the `config.json` that timm's files of the hub come with, or `<file>.json`, where the cache keeps it.

    None where there is neither, or it is of another kind.

    `WeightsError` where it cannot be read, or builds the net in a way that shapes do not show.
    """
    config = next((place for place in (kept_beside(path), path.with_name(CONFIG)) if place.is_file()), None)
    if config is None or config.stat().st_size > _LARGEST_CONFIG:
        return None
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the {CONFIG} beside {path.name} cannot be read ({type(error).__name__}); get it again"
        ) from error
    if not isinstance(said, dict) or not isinstance(said.get("architecture"), str):
        return None
    arguments = said.get("model_args") or {}
    if odd := sorted(set(arguments) - _HARMLESS):
        raise WeightsError(
            f"the {CONFIG} beside {path.name} changes the net by {', '.join(odd)}, which is not understood; "
            "nets are read as their names stand for"
        )
    prepared = said.get("pretrained_cfg")
    # Before 2023 timm wrote all of it side by side.
    prepared = prepared if isinstance(prepared, dict) else said
    labels = said.get("label_names", said.get("labels", prepared.get("label_names")))
    return Words(f"the {CONFIG} beside it", said["architecture"], _known(prepared), _labels(labels))


def kept_beside(path: Path) -> Path:
    """Return where the cache, in which many files lie, keeps the `config.json` of one."""
    return path.with_name(f"{path.name}.json")


def words_of(content: Any, file: str) -> Words:
    """Return what a training script's checkpoint says beside the state dict: timm's and torchvision's words."""
    if not isinstance(content, Mapping):
        return Words()
    arguments = content.get("args", content.get("hyper_parameters"))
    arguments = getattr(arguments, "held", arguments)
    arguments = arguments if isinstance(arguments, Mapping) else {}
    called = (content.get("arch"), arguments.get("model"), arguments.get("arch"))
    architecture = next((name for name in called if isinstance(name, str) and name), "")
    return Words(file, architecture, _known(arguments))


def _known(prepared: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("mean", "std", "input_size", "crop_pct", "crop_mode", "interpolation")
    return {key: prepared[key] for key in wanted if prepared.get(key) is not None}


def _labels(found: Any) -> tuple[str, ...] | None:
    sound = isinstance(found, list) and all(isinstance(name, str) and name.strip() for name in found)
    return tuple(found) if sound and len(set(found)) == len(found) else None


def check_named(words: Words, name: str, file: str) -> str:
    """Hold the architecture that is said against the net found by names and shapes; return a remark, or nothing.

    `WeightsError` where it is another net: some nets differ in layers without weights, and answer differently.
    """
    if not words.architecture:
        return ""
    found = spelled(words.plain, names())
    if found is not None and found.name == name:
        return ""
    if found is None and words.said_in == file:
        return f"{file} calls its net '{words.architecture}', which is not known; by its names and shapes it is {name}"
    raise WeightsError(
        f"{words.said_in} says '{words.architecture}', and the names and shapes in {file} are those of {name}: either "
        "the two do not belong together, or that net differs in layers without weights and would answer wrongly"
    )


def image_of(words: Words, usual: ImageSpec, file: str) -> ImageSpec:
    """Return the image rule that is said; what is not said is as `usual`. `WeightsError` where it makes no sense."""
    published = next((item for item in sources() if words.plain and item.file.partition(".")[0] == words.plain), None)
    if published is not None:
        usual = replace(usual, mean=published.image.mean, std=published.image.std)
    said = words.prepared
    try:
        rule = ImageSpec(
            resolution=_side(said["input_size"]) if "input_size" in said else usual.resolution,
            crop_mode=_CROPS[said["crop_mode"]] if "crop_mode" in said else usual.crop_mode,
            crop_pct=float(said.get("crop_pct", usual.crop_pct)),
            mean=_three(said["mean"]) if "mean" in said else usual.mean,
            std=_three(said["std"]) if "std" in said else usual.std,
        )
        sound = 0 < rule.crop_pct <= 1 and min(rule.std) > 0
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(_senseless(words, file)) from error
    if not sound:
        raise WeightsError(_senseless(words, file))
    return rule


def _senseless(words: Words, file: str) -> str:
    said = ", ".join(f"{key} {value}" for key, value in words.prepared.items())
    return f"{words.said_in} prepares the images of {file} in a way that is not understood: {said}"[:400]


def _side(size: Any) -> int:
    channels, height, width = size
    if channels != 3 or height != width or not 0 < int(height) <= 10_000:
        raise ValueError(size)
    return int(height)


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    if not all(map(isfinite, (red, green, blue))):
        raise ValueError(values)
    return red, green, blue
