"""How much a file minds who resizes: its accuracy on the same images under the resizers of phones and browsers."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.clock import Clock
from pocketvision.data.parallel import in_order
from pocketvision.errors import ImageError
from pocketvision.images.decode import decode
from pocketvision.images.resizers import NAMES, prepare_as
from pocketvision.progress import Progress, Silent, track
from pocketvision.runtime import Runner
from pocketvision.values import Example, ImageSpec, Resized
from pocketvision.verify.inference import BATCH, Answers

MOST = 300
"""Images at most, evenly over the split: this is about a difference between resizers on the same images."""

_LAST_S = 0.5
"""Of the time limit, for the images begun and the answers to them."""

Image = NDArray[np.uint8]
Row = tuple[int, tuple[Image, ...]]


def under_resizers(
    runner: Runner,
    root: Path,
    answers: Answers,
    *,
    most: int = MOST,
    clock: Clock | None = None,
    progress: Progress = Silent(),
) -> tuple[Resized, ...]:
    """Ask again for some of the images answered, resized in each way of `images.resizers`; ours comes first.

    They end with the clock: in an order drawn once, so that fewer of them are spread as evenly.
    """
    count = len(answers.examples)
    places = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))
    if clock is not None and clock.limited:
        places = np.random.default_rng(0).permutation(places)
    read = partial(_read, root=root, examples=answers.examples, spec=runner.manifest.image)
    rows = (
        row
        for row in track(in_order(read, _in_time(places.tolist(), clock)), progress, "other resizers", len(places))
        if row
    )
    shown, found = _ask(runner, rows)
    if not shown:
        return ()
    ours = answers.probabilities[shown]
    truth = answers.truth[shown]
    probabilities = [ours, *(np.concatenate(parts) for parts in found)]
    task, spec = answers.task, answers.spec
    chosen = task.decide(ours, spec).choices
    return tuple(
        Resized(name, task.score(rows, truth, spec), float((task.decide(rows, spec).choices == chosen).mean()))
        for name, rows in zip(NAMES, probabilities, strict=True)
    )


def _in_time(places: Sequence[int], clock: Clock | None) -> Iterator[int]:
    return takewhile(lambda _: clock is None or clock.left() > _LAST_S, places)


def _ask(runner: Runner, rows: Iterator[Row]) -> tuple[list[int], list[list[NDArray[np.float32]]]]:
    """Run the images in batches; returns the places and, for each resizer but ours, the answers' parts."""
    places: list[int] = []
    found: list[list[NDArray[np.float32]]] = [[] for _ in NAMES[1:]]
    for batch in iter(lambda: list(islice(rows, BATCH)), []):
        places += [place for place, _ in batch]
        for parts, images in zip(found, zip(*(images for _, images in batch), strict=True), strict=True):
            parts.append(np.nan_to_num(runner.run(np.stack(images)), nan=0.0))
    return places, found


def _read(place: int, *, root: Path, examples: tuple[Example, ...], spec: ImageSpec) -> Row | None:
    """Decode an image once and resize it in each way but ours."""
    try:
        pixels = decode(root / examples[place].file)
    except ImageError:  # it could be read a moment ago; the proof speaks of that
        return None
    return place, tuple(prepare_as(name, pixels, spec) for name in NAMES[1:])
