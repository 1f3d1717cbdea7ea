"""Lists where published weights can be had, as sources.toml says, and finds one for a net."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal
from urllib.parse import urljoin

from pocketvision.errors import UnknownName
from pocketvision.models.catalogue import names
from pocketvision.values import ImageSpec

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels in 0..1, as torchvision and timm use them."""


@dataclass(frozen=True)
class Source:
    """One published weights file."""

    name: str
    width: float
    num_classes: int
    file: str
    """Its name in the cache, and in a folder named by POCKETVISION_WEIGHTS."""
    provider: str
    url: str | None
    repo: str | None
    """A repository of the Hugging Face hub that holds `model.safetensors`, where there is no url."""
    package: str
    """A Python package that brings the file along, by the name it is imported under; empty for all others."""
    inside: str
    """The file's path in that package."""
    revision: str
    sha256: str
    """Whole, or its first digits; empty for a hub file, whose digest the hub gives, and where none is published."""
    md5: str
    """Where the provider states nothing better."""
    size_bytes: int | None
    layout: Literal["torchvision", "timm", "lukemelas", "keras", "authors", "tflite"]
    padding: Literal["symmetric", "same"]
    license: str
    top1: float | None
    """ImageNet validation accuracy in percent, as published."""
    top5: float | None
    published: str
    """Where the accuracy is printed."""
    recipe: str
    """How the weights were trained: an address, or a few words."""
    image: ImageSpec
    interpolation: Literal["bilinear", "bicubic"]
    """What the authors evaluate with."""

    @property
    def distribution(self) -> str:
        """Return the name that pip knows the package by."""
        return self.package.replace("_", "-")

    @property
    def page(self) -> str:
        """Return the address to download by hand."""
        if self.package:
            return f"https://github.com/ml-illustrated/{self.package}"
        return self.url or f"https://huggingface.co/{self.repo}/resolve/{self.revision}/model.safetensors"


@cache
def sources() -> tuple[Source, ...]:
    """Return all known published weights, the preferred one of a net first."""
    text = resources.files("pocketvision.weights").joinpath("sources.toml").read_text(encoding="utf-8")
    return tuple(
        _source(provider | {"provider": provider["name"]} | entry)
        for provider in tomllib.loads(text)["provider"]
        for entry in provider["files"]
    )


def _source(entry: dict[str, Any]) -> Source:
    repo = entry.get("repo")
    file = f"{str(repo).rpartition('/')[2]}.safetensors" if repo else str(entry["file"]).rpartition("/")[2]
    # torchvision names its files after the first digits of their digest.
    digits = re.search(r"-([0-9a-f]{8,})\.pth$", file)
    return Source(
        name=entry["name"],
        width=entry.get("width", 1.0),
        num_classes=entry.get("num_classes", 1000),
        file=file,
        provider=entry["provider"],
        url=urljoin(entry["base"], entry["file"]) if "base" in entry and not repo else None,
        repo=repo,
        package=entry.get("package", ""),
        inside=entry["file"] if "package" in entry else "",
        revision=entry.get("revision", ""),
        sha256=str(entry.get("sha256", digits[1] if digits else "")),
        md5=entry.get("md5", ""),
        size_bytes=entry.get("bytes"),
        layout=entry["layout"],
        padding=entry.get("padding", "symmetric"),
        license=entry["license"],
        top1=entry.get("top1"),
        top5=entry.get("top5"),
        published=entry["published"],
        recipe=entry["recipe"],
        image=_image(entry),
        interpolation=entry["interpolation"],
    )


def _image(entry: dict[str, Any]) -> ImageSpec:
    return ImageSpec(
        resolution=entry["resolution"],
        crop_mode=entry.get("crop_mode", "crop"),
        crop_pct=entry["crop_pct"],
        mean=tuple(entry["mean"]),
        std=tuple(entry["std"]),
    )


def find(name: str, width: float, resolution: int | None = None) -> Source | None:
    """Return the preferred source of a net at a width, and a resolution if one is asked for, None where nothing is
    published; `UnknownName` for no net."""
    if name not in names():
        raise UnknownName("model", name, names())
    return next(
        (
            source
            for source in sources()
            if (source.name, source.width) == (name, width) and resolution in (None, source.image.resolution)
        ),
        None,
    )


def published_file(file: str) -> Source | None:
    """Return the source whose file has this name."""
    return next((source for source in sources() if source.file == file), None)
