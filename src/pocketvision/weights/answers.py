"""How the classifier in a weights file ends, and whether a softmax gives the answers that it was trained for."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pocketvision.errors import WeightsError
from pocketvision.weights.recognize import slots

if TYPE_CHECKING:
    from pocketvision.weights.load import Weights

SOFTMAX, SIGMOID, NOTHING, BOXES = "softmax", "sigmoid", "nothing", "boxes"
"""Endings: of a file that says nothing of it the first; `nothing` where there is no classifier at all."""
_TRAIN = "as a start for `pocketvision train DATA --weights FILE` it serves as it is"


def answering(weights: "Weights", file: str, *, names: int | None) -> "Weights":
    """Return weights whose softmax gives the file's own answers; `WeightsError` where there are none, or other ones.
    Those of a detector, whose boxes come from its anchors, are returned as they are.

    One output through a sigmoid is the same as two through a softmax, the first of which is always 0. Whether one
    output is such a yes or no, only the file or two `names` of classes can say.
    """
    outputs, ending = weights.spec.num_classes, weights.ending
    if ending == BOXES:
        return weights
    if ending == NOTHING:
        raise WeightsError(f"{file} has no classifier, so it answers nothing; {_TRAIN}")
    if outputs == 1 and (ending == SIGMOID or (ending == SOFTMAX and names == 2)):
        return _as_two(weights)
    if outputs == 1:
        raise WeightsError(
            f"{file} has one output. If it is a yes or no, by a sigmoid, give a text with two lines as --labels, the "
            f"'no' first; a net that measures a quantity is not read. In any case, {_TRAIN}"
        )
    if ending == SIGMOID:
        raise WeightsError(
            f"{file} ends in {outputs} sigmoids: each of its outputs is a yes or no of its own, and several may hold "
            f"at once. Files here answer with one class of several, which would be other answers; {_TRAIN}"
        )
    if ending != SOFTMAX:
        raise WeightsError(f"{file} ends in '{ending}', not in a softmax, so its outputs name no class; {_TRAIN}")
    return weights


def _as_two(weights: "Weights") -> "Weights":
    spec = weights.spec
    last = slots(spec.name, spec.width, 1, spec.groups, spec.depth)[-1].name
    tensors = dict(weights.tensors)
    for key in (f"{last}.weight", f"{last}.bias"):
        tensors[key] = np.concatenate([np.zeros_like(tensors[key]), tensors[key]])
    labels = weights.labels if weights.labels and len(weights.labels) == 2 else ("no", "yes")
    # Whole numbers of one output are not those of two.
    return replace(
        weights, spec=replace(spec, num_classes=2), tensors=tensors, labels=labels, levels=None, ending=SOFTMAX
    )
