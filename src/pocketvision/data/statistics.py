"""What images have in common that breaks nothing: small, large, grey, turned by EXIF, and so on."""

from collections.abc import Callable, Sequence
from heapq import nsmallest

from pocketvision.data.inspect import InspectedImage
from pocketvision.data.metadata import ImageMetadata
from pocketvision.data.near_duplicates import FLAT
from pocketvision.data.perceptual_hash import BRIGHTNESS, contrast, stacked
from pocketvision.data.warnings import LONG, TINY
from pocketvision.values import Statistic, StatisticKind

HUGE_PIXELS = 25_000_000
"""Twice what most phones take; decoding more takes long and helps no small net."""
SHOWN = 12

Rule = tuple[StatisticKind, str, Callable[[ImageMetadata], float | None]]
"""A statistic, what it means, and how little an image has of it; None where it has none."""


def statistics_of(images: Sequence[InspectedImage]) -> tuple[Statistic, ...]:
    """Return the statistics that usable images have, with how many have each."""
    described = [(image.file, image.metadata) for image in images if image.metadata]
    found = []
    for kind, detail, place in RULES:
        held = [(key, file) for file, metadata in described if (key := place(metadata)) is not None]
        if held:
            first = nsmallest(SHOWN, held, key=lambda pair: pair[0])
            found.append(Statistic(kind, detail, len(held), tuple(file for _, file in first)))
    return tuple(found)


def _tiny(metadata: ImageMetadata) -> float | None:
    short = min(metadata.size)
    return short if short < TINY else None


def _huge(metadata: ImageMetadata) -> float | None:
    pixels = metadata.width * metadata.height
    return -pixels if pixels > HUGE_PIXELS else None


def _long(metadata: ImageMetadata) -> float | None:
    ratio = max(metadata.size) / min(metadata.size)
    return -ratio if ratio > LONG else None


def _one_tone(metadata: ImageMetadata) -> float | None:
    some = metadata.signature[:BRIGHTNESS:17]  # the diagonal
    if not some or max(some) - min(some) > 24 * FLAT:  # two such values of 256 alone have a larger deviation
        return None
    spread = float(contrast(stacked([metadata.signature]))[0])
    return spread if spread < FLAT else None


def _if(holds: Callable[[ImageMetadata], bool]) -> Callable[[ImageMetadata], float | None]:
    return lambda metadata: 0.0 if holds(metadata) else None


RULES: tuple[Rule, ...] = (
    ("tiny", f"the short side is below {TINY} pixels; they are enlarged", _tiny),
    ("huge", f"more than {HUGE_PIXELS // 1_000_000} million pixels; they take long to decode", _huge),
    ("far from square", f"one side is more than {LONG} times the other; the net sees a square", _long),
    ("one tone", "hardly any differences of brightness: black, white or empty", _one_tone),
    ("grey", "without color", _if(lambda metadata: metadata.grey)),
    ("turned", "EXIF says that they are stored turned or mirrored; they are put upright", _if(lambda f: f.turned)),
    ("transparent", "what is transparent is laid on white", _if(lambda metadata: metadata.transparent)),
    ("palette", "colors from a list of at most 256", _if(lambda metadata: metadata.mode == "P")),
    ("CMYK", "colors for print; converted without their profile", _if(lambda metadata: metadata.mode == "CMYK")),
    (
        "16 bits",
        "more than 8 bits a value; reduced to 8",
        _if(lambda metadata: metadata.mode in ("I", "F") or metadata.mode.startswith("I;16")),
    ),
)
"""In the order in which they are told."""
