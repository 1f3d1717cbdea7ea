"""What tasks share that ask something of the image as a whole: one probability a label, whatever the net."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.models.catalogue import largest_useful_resolution
from pocketvision.tasks import Floats, Integers, load
from pocketvision.values import Example, FoundBox, ModelSpec, TaskSpec


def resolution(short_side: int) -> int:
    """Return the smallest usual resolution that loses no detail."""
    return largest_useful_resolution(short_side)


def fitted(model: ModelSpec, examples: Sequence[Example]) -> ModelSpec:
    """Return the net as it is."""
    return model


def stand_in(spec: TaskSpec, images: int) -> tuple[NDArray[np.float32], Integers]:
    """Return noise, and what it comes to as targets."""
    answers = np.random.default_rng(0).random((images, len(spec.labels)), np.float32)
    return answers, load(spec.name).decide(answers, spec).choices


def decided(targets: Integers, spec: TaskSpec) -> Integers:
    """Return the targets: each is a decision."""
    return targets


def found(answer: Floats, spec: TaskSpec) -> tuple[FoundBox, ...]:
    """Return nothing: answers are about the whole image."""
    return ()
