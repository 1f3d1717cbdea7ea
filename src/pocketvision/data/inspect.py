"""What each file of a listing turns out to be: hashed, really decoded once, and described."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from os.path import splitext

import numpy as np

from pocketvision.data.decoded import DecodedCache
from pocketvision.data.layout import Found, Listing
from pocketvision.data.metadata import ImageMetadata
from pocketvision.data.parallel import in_order
from pocketvision.data.perceptual_hash import ENOUGH, SIDE, signatures_of
from pocketvision.errors import ImageError
from pocketvision.images.decode import Decoded, content_of, quiet, read
from pocketvision.progress import Progress, track
from pocketvision.values import Problem

FORMAT_OF = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}


_AT_ONCE = 256
_NONE = np.empty(0, np.uint8)


@dataclass(frozen=True)
class InspectedImage:
    """What one file turned out to be."""

    found: Found
    sha256: str
    metadata: ImageMetadata | None
    """None where it is not usable."""
    problems: tuple[Problem, ...]

    @property
    def file(self) -> str:
        """Path below the root."""
        return self.found.file

    @property
    def usable(self) -> bool:
        """Whether it can be decoded."""
        return self.metadata is not None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright; zeros where it is not usable."""
        return self.metadata.size if self.metadata else (0, 0)


def inspect(listing: Listing, decoded: DecodedCache, progress: Progress) -> list[InspectedImage]:
    """Look at every file, on all cores; what has room in `decoded` is kept there as it was decoded.

    Where that holds nothing at all, JPEGs are decoded at a fraction of their size, though still read to their end.
    """
    root, images = str(listing.root), list[InspectedImage]()
    with quiet():
        seen = in_order(lambda found: _seen(root, found, decoded), listing.found)
        tracked = track(seen, progress, "Checking images", len(listing.found))
        while some := list(islice(tracked, _AT_ONCE)):
            images += _described(some, decoded)
    return images


@dataclass(frozen=True)
class _Seen:
    """An image that was decoded now and whose signature is still to be drawn."""

    found: Found
    sha256: str
    image: Decoded


def _seen(root: str, found: Found, decoded: DecodedCache) -> _Seen | InspectedImage:
    try:
        content = content_of(f"{root}/{found.file}")
        if not content:
            return InspectedImage(found, "", None, (Problem(found.file, "empty file", "0 bytes", left_out=True),))
        sha256 = hashlib.sha256(content).hexdigest()
        if metadata := decoded.known(sha256):
            return InspectedImage(found, sha256, metadata, _oddities(found.file, metadata))
        image = read(content, least=None if decoded.limit_bytes else ENOUGH, small=SIDE)
    except ImageError as error:
        return InspectedImage(found, "", None, (Problem(found.file, "unreadable", str(error), left_out=True),))
    decoded.put(sha256, image.pixels)
    # Only what is too small for a signature still needs its pixels here: many of these wait together.
    return _Seen(found, sha256, replace(image, pixels=_NONE) if image.small else image)


def _described(some: Sequence[_Seen | InspectedImage], decoded: DecodedCache) -> Iterator[InspectedImage]:
    """Draw the signatures of many at once, which is much faster than one by one, and remember what is new."""
    signatures, greys = signatures_of(
        [seen.image.small for seen in some if isinstance(seen, _Seen) and seen.image.small]
    )
    drawn = zip(signatures, greys.tolist(), strict=True)
    for seen in some:
        if isinstance(seen, InspectedImage):
            yield seen
            continue
        image = seen.image
        signature, grey = next(drawn) if image.small else (_NONE, not np.ptp(image.pixels, axis=2).any())
        metadata = ImageMetadata(
            image.format,
            image.animated,
            *image.size,
            mode=image.mode,
            orientation=image.orientation,
            transparent=image.transparent,
            grey=bool(grey),
            signature=signature.tobytes(),
        )
        decoded.learn(seen.sha256, metadata)
        yield InspectedImage(seen.found, seen.sha256, metadata, _oddities(seen.found.file, metadata))


def _oddities(file: str, image: ImageMetadata) -> tuple[Problem, ...]:
    problems = []
    suffix = splitext(file)[1]
    if FORMAT_OF.get(suffix.lower()) != image.format:
        named = f"named {suffix}" if suffix else "without a suffix"
        problems.append(Problem(file, "suffix", f"a {image.format} {named}", left_out=False))
    if image.animated:
        problems.append(Problem(file, "animated", "holds several images; the first is used", left_out=False))
    return tuple(problems)
