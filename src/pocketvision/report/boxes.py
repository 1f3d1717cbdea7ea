"""What the page says of boxes: figures by size, curves, and the images on which most is missed or wrongly found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pocketvision import words
from pocketvision.data.splits import read_splits
from pocketvision.metrics.detection import match
from pocketvision.progress import Progress, track
from pocketvision.report import plots
from pocketvision.report.run import Run
from pocketvision.report.thumbnails import thumbnail
from pocketvision.report.words import SIZES
from pocketvision.values import Answer, Box, FoundBox, Proof

WORST = 6
"""Images shown of each kind."""
SIDE = 360
"""Stored pixels of their long side: boxes need more than a bare thumbnail does."""

Fate = Literal["right", "wrong", "missed", "found", "left"]
"""Of a box drawn: found rightly or wrongly; true and missed, found, or neither asked for nor counted."""


@dataclass(frozen=True)
class DrawnBox:
    """A box on a thumbnail; corners in percent of its sides."""

    fate: Fate
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Picture:
    """An image with its true and found boxes."""

    file: str
    image: str
    """Data address, or '' for a grey tile."""
    boxes: tuple[DrawnBox, ...]
    missed: int
    wrong: int


@dataclass(frozen=True)
class BoxSection:
    """Everything the section shows."""

    tiles: tuple[tuple[str, str, str], ...]
    """Name, figure, and what it is."""
    at: str
    """What holds from the threshold on."""
    chart: plots.Chart | None
    """None where nothing was found."""
    classes: int
    """Classes whose curves could be drawn."""
    missed: tuple[Picture, ...]
    """The images on which most is missed, the worst first."""
    wrong: tuple[Picture, ...]
    """The images on which most is found where nothing is, the worst first."""


def box_section(run: Run, progress: Progress) -> BoxSection | None:
    """Return the section's content; None for files that find no boxes."""
    if not run.placed:
        return None
    fates = fates_of(run.proof)
    missed = _worst(fates, lambda fate: fate.missed)
    wrong = _worst([fate for fate in fates if fate not in missed], lambda fate: fate.wrong)
    shown = track((*missed, *wrong), progress, "images", len(missed) + len(wrong))
    contents = {row.file: row.sha256 for row in read_splits(run.files.splits.path)}
    pictures = [_picture(run, fate, contents) for fate in shown]
    drawable = sum(bool(curve.points) for curve in run.proof.curves)
    return BoxSection(
        tiles=_tiles(run.proof),
        at=at_threshold(run.proof),
        chart=plots.precision_recall(run.proof.curves, run.proof.attributes) if drawable else None,
        classes=drawable,
        missed=tuple(pictures[: len(missed)]),
        wrong=tuple(pictures[len(missed) :]),
    )


def _tiles(proof: Proof) -> tuple[tuple[str, str, str], ...]:
    score, others = proof.accuracy, proof.accuracy.others
    found = [
        ("AP50", words.percent(score.value), words.interval(score)),
        ("AP", others.get("AP"), "mean over overlaps .5 to .95"),
        ("AP75", others.get("AP75"), "overlap of .75 or more"),
        *((f"AP {size}", others.get(f"AP {size}"), sides) for size, sides in SIZES.items()),
    ]
    return tuple(
        (name, value if isinstance(value, str) else "–" if value is None else words.percent(value), what)
        for name, value, what in found
    )


def at_threshold(proof: Proof) -> str:
    """Say what is found, and rightly, from the file's threshold on; empty where that is not known."""
    others = proof.accuracy.others
    if not proof.attributes or "precision" not in others:
        return ""
    return (
        f"From a score of {proof.attributes[0].threshold:.3g} on a box counts. It then finds "
        f"{words.percent(others['recall'])} of the true boxes, and {words.percent(others['precision'])} of what it "
        f"finds is right (F1 {words.percent(others['F1'])})."
    )


# ---------------------------------------------------------------- the worst images


@dataclass(frozen=True)
class Fates:
    """What became of the boxes of one image."""

    answer: Answer
    right: frozenset[int]
    """Places of the found boxes that are true ones."""
    false: frozenset[int]
    """Places of the found boxes that are none."""
    seen: frozenset[int]
    """Places of the true boxes that were found."""

    @property
    def missed(self) -> int:
        """Return how many true boxes were not found, of those that count."""
        return sum(_counts(box) and place not in self.seen for place, box in enumerate(self.answer.truth))

    @property
    def wrong(self) -> int:
        """Return how many found boxes are none."""
        return len(self.false)


def fates_of(proof: Proof) -> list[Fates]:
    """Pair found and true boxes of each image as the figures do: at an overlap of a half, the surest choosing first."""
    answers, places = proof.answers, {label: place for place, label in enumerate(proof.labels)}
    truth = np.full((len(answers), max([1, *(len(it.truth) for it in answers)]), 7), -1.0)
    found = np.zeros((len(answers), max([1, *(len(it.found) for it in answers)]), 6))
    for number, answer in enumerate(answers):
        for place, box in enumerate(answer.truth):
            flag = 2 if box.crowd else 1 if box.difficult else 0
            truth[number, place] = [box.label, box.y1, box.x1, box.y2, box.x2, box.area or 0.0, flag]
        for place, seen in enumerate(answer.found):
            found[number, place] = [seen.y1, seen.x1, seen.y2, seen.x2, places[seen.label], seen.score]
    pairs: list[tuple[set[int], set[int], set[int]]] = [(set(), set(), set()) for _ in answers]
    for one in match(truth, found, len(proof.labels)).classes:
        for image, place, thing, hit, ignored in zip(
            one.image, one.answer, one.truth, one.hit[:, 0, 0], one.ignored[:, 0, 0], strict=True
        ):
            right, false, seen_ = pairs[int(image)]
            if hit:
                right.add(int(place))
                seen_.add(int(thing))
            elif not ignored:
                false.add(int(place))
    return [Fates(answer, *map(frozenset, pair)) for answer, pair in zip(answers, pairs, strict=True)]


def _worst(fates: Sequence[Fates], count: Callable[[Fates], int]) -> list[Fates]:
    ordered = sorted(fates, key=lambda fate: (-count(fate), fate.answer.file))
    return [fate for fate in ordered[:WORST] if count(fate)]


def _picture(run: Run, fate: Fates, contents: Mapping[str, str]) -> Picture:
    answer = fate.answer
    image = thumbnail(Path(run.health.root), answer.file, contents.get(answer.file), side=SIDE)
    true = [_true(box, place in fate.seen, run.labels[box.label]) for place, box in enumerate(answer.truth)]
    found = [_found(box, place, fate) for place, box in enumerate(answer.found)]
    return Picture(answer.file, image, (*true, *found), fate.missed, fate.wrong)


def _true(box: Box, seen: bool, label: str) -> DrawnBox:
    fate: Fate = "left" if not _counts(box) else "found" if seen else "missed"
    return _drawn(fate, box, label)


def _found(box: FoundBox, place: int, fate: Fates) -> DrawnBox:
    became: Fate = "right" if place in fate.right else "wrong" if place in fate.false else "left"
    return _drawn(became, box, f"{box.label} {box.score:.2f}")


def _drawn(fate: Fate, box: Box | FoundBox, text: str) -> DrawnBox:
    x1, y1, x2, y2 = (100 * min(max(side, 0.0), 1.0) for side in (box.x1, box.y1, box.x2, box.y2))
    return DrawnBox(fate, round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2), text)


def _counts(box: Box) -> bool:
    return not (box.difficult or box.crowd)
