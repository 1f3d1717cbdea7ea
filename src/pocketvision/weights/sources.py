"""Finds published weights for a net and fetches them once, checked against their digest."""

import hashlib
import http.client
import os
import re
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pocketvision import files
from pocketvision.errors import UnknownName, WeightsError
from pocketvision.models.catalogue import names
from pocketvision.progress import Progress, Silent
from pocketvision.values import ImageSpec

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels in 0..1, as torchvision and timm use them."""
LARGEST_DOWNLOAD = 200_000_000
TIMEOUT_S = 30
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Source:
    """One published weights file."""

    name: str
    width: float
    num_classes: int
    file: str
    """Its name in the cache, and in a folder named by POCKETVISION_WEIGHTS."""
    url: str | None
    repo: str | None
    """A repository of the Hugging Face hub that holds `model.safetensors`, where there is no url."""
    sha256: str
    """Whole, or its first digits; empty for a hub file, whose digest the hub gives."""
    layout: Literal["torchvision", "timm", "tflite"]
    licence: str
    top1: float
    """ImageNet validation accuracy in percent, as published."""
    top5: float
    published: str
    image: ImageSpec
    interpolation: Literal["bilinear", "bicubic"]
    """What the authors evaluate with."""

    @property
    def page(self) -> str:
        """Return the address to download by hand."""
        return self.url or f"https://huggingface.co/{self.repo}/resolve/main/model.safetensors"


@cache
def sources() -> tuple[Source, ...]:
    """Return all known published weights, the preferred one of a net first."""
    text = resources.files("pocketvision.weights").joinpath("sources.toml").read_text(encoding="utf-8")
    return tuple(_source(entry) for entry in tomllib.loads(text)["source"])


def _source(entry: dict[str, Any]) -> Source:
    url, repo = entry.get("url"), entry.get("repo")
    image = ImageSpec(
        resolution=entry["resolution"],
        crop_mode="crop",
        crop_pct=entry["crop_pct"],
        mean=tuple(entry["mean"]),
        std=tuple(entry["std"]),
    )
    return Source(
        name=entry["name"],
        width=entry["width"],
        num_classes=entry.get("num_classes", 1000),
        file=f"{str(repo).rpartition('/')[2]}.safetensors" if repo else str(url).rpartition("/")[2],
        url=url,
        repo=repo,
        sha256=entry.get("sha256", ""),
        layout=entry["layout"],
        licence=entry["licence"],
        top1=entry["top1"],
        top5=entry["top5"],
        published=entry["published"],
        image=image,
        interpolation=entry["interpolation"],
    )


def find(name: str, width: float) -> Source | None:
    """Return the preferred source of a net at a width, None where nothing is published; `UnknownName` for no net."""
    if name not in names():
        raise UnknownName("model", name, names())
    return next((source for source in sources() if source.name == name and source.width == width), None)


def published_file(file: str) -> Source | None:
    """Return the source whose file has this name."""
    return next((source for source in sources() if source.file == file), None)


def cache_folder() -> Path:
    """Return where fetched weights are kept: `weights` in POCKETVISION_CACHE, by default ~/.cache/pocketvision."""
    return Path(os.environ.get("POCKETVISION_CACHE") or Path.home() / ".cache" / "pocketvision") / "weights"


def fetch(source: Source, *, progress: Progress = Silent()) -> Path:
    """Return the path of a source's file, from the folder POCKETVISION_WEIGHTS, the cache, or the network.

    `WeightsError` without a network, or where the content has another digest; nothing is then left behind.
    """
    folder = os.environ.get("POCKETVISION_WEIGHTS")
    for path in ([Path(folder, source.file)] if folder else []) + [cache_folder() / source.file]:
        if path.is_file():
            _check(path.read_bytes(), source.sha256, f"{path} is not the published file; delete it")
            return path
    url, digest = (source.url, source.sha256) if source.url else _hub_file(source)
    content = download(url, file=source.file, progress=progress)
    _check(content, digest, f"{source.file} did not arrive as published; try again")
    files.write_bytes(path, content)
    return path


def _check(content: bytes, digest: str, complaint: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(digest):
        raise WeightsError(f"{complaint} (sha256 {found[:16]}..., expected {digest[:16]}...)")


def _hub_file(source: Source) -> tuple[str, str]:
    """Ask the hub for a file's address and digest."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    assert source.repo is not None
    url = hf_hub_url(source.repo, "model.safetensors")
    try:
        metadata = get_hf_file_metadata(url, timeout=TIMEOUT_S)
    except Exception as error:  # of several libraries, by version
        raise _unreachable(url, source.file, error) from error
    if not re.fullmatch(r"[0-9a-f]{64}", metadata.etag or ""):
        raise WeightsError(f"the hub names no sha256 for {source.repo}; pass the file with --weights FILE")
    return url, str(metadata.etag)


def download(url: str, *, file: str, progress: Progress) -> bytes:
    """Return what lies at an address; the only place of the project that reads from a network."""
    request = urllib.request.Request(url, headers={"User-Agent": "pocketvision"})
    content = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            with progress.bar(f"fetching {file}", max(total, 1)) as bar:
                while part := answer.read(_CHUNK):
                    content += part
                    bar.advance(len(part))
                    if len(content) > LARGEST_DOWNLOAD:
                        raise WeightsError(
                            f"{file} is larger than {LARGEST_DOWNLOAD // 10**6} MB; that is no small net"
                        )
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise _unreachable(url, file, error) from error
    if total and len(content) != total:
        raise WeightsError(f"{file} arrived cut short: {len(content)} of {total} bytes; try again")
    return bytes(content)


def _unreachable(url: str, file: str, error: Exception) -> WeightsError:
    reason = str(getattr(error, "reason", "") or error or type(error).__name__).splitlines()[0][:120]
    return WeightsError(
        f"cannot fetch {file} from {urlsplit(url).netloc} ({reason}); download {url} elsewhere and pass it "
        "with --weights FILE"
    )
