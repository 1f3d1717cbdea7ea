"""What images have in common that breaks nothing: small, large, grey, turned by EXIF, and so on."""

from collections.abc import Callable, Sequence
from heapq import nsmallest

from pocketvision.data.facts import Facts
from pocketvision.data.looks import Look
from pocketvision.data.near import FLAT
from pocketvision.data.notes import LONG, TINY
from pocketvision.data.sketch import BRIGHTNESS, contrast, stacked
from pocketvision.values import Trait, TraitKind

HUGE_PIXELS = 25_000_000
"""Twice what most phones take; decoding more takes long and helps no small net."""
SHOWN = 12

Rule = tuple[TraitKind, str, Callable[[Facts], float | None]]
"""A trait, what it means, and how little an image has of it; None where it has none."""


def traits_of(looks: Sequence[Look]) -> tuple[Trait, ...]:
    """Return the traits that usable images have, with how many have each."""
    described = [(look.file, look.facts) for look in looks if look.facts]
    found = []
    for kind, detail, place in RULES:
        held = [(key, file) for file, facts in described if (key := place(facts)) is not None]
        if held:
            first = nsmallest(SHOWN, held, key=lambda pair: pair[0])
            found.append(Trait(kind, detail, len(held), tuple(file for _, file in first)))
    return tuple(found)


def _tiny(facts: Facts) -> float | None:
    short = min(facts.size)
    return short if short < TINY else None


def _huge(facts: Facts) -> float | None:
    pixels = facts.width * facts.height
    return -pixels if pixels > HUGE_PIXELS else None


def _long(facts: Facts) -> float | None:
    ratio = max(facts.size) / min(facts.size)
    return -ratio if ratio > LONG else None


def _one_tone(facts: Facts) -> float | None:
    some = facts.sketch[:BRIGHTNESS:17]  # the diagonal
    if not some or max(some) - min(some) > 24 * FLAT:  # two such values of 256 alone have a larger deviation
        return None
    spread = float(contrast(stacked([facts.sketch]))[0])
    return spread if spread < FLAT else None


def _if(holds: Callable[[Facts], bool]) -> Callable[[Facts], float | None]:
    return lambda facts: 0.0 if holds(facts) else None


RULES: tuple[Rule, ...] = (
    ("tiny", f"the short side is below {TINY} pixels; they are enlarged", _tiny),
    ("huge", f"more than {HUGE_PIXELS // 1_000_000} million pixels; they take long to decode", _huge),
    ("far from square", f"one side is more than {LONG} times the other; the net sees a square", _long),
    ("one tone", "hardly any differences of brightness: black, white or empty", _one_tone),
    ("grey", "without color", _if(lambda facts: facts.grey)),
    ("turned", "EXIF says that they are stored turned or mirrored; they are put upright", _if(lambda f: f.turned)),
    ("transparent", "what is transparent is laid on white", _if(lambda facts: facts.transparent)),
    ("palette", "colors from a list of at most 256", _if(lambda facts: facts.mode == "P")),
    ("CMYK", "colors for print; converted without their profile", _if(lambda facts: facts.mode == "CMYK")),
    (
        "16 bits",
        "more than 8 bits a value; reduced to 8",
        _if(lambda facts: facts.mode in ("I", "F") or facts.mode.startswith("I;16")),
    ),
)
"""In the order in which they are told."""
