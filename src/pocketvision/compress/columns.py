"""Weights changed column after column, where those behind make up for what was taken from one.

The update is that of the Optimal Brain Surgeon (Hassibi and Stork 1993) for a squared error of a layer's sums, in the
order of the columns for all rows alike, by the Cholesky factor of the inverse covariances (Frantar et al. 2023,
https://arxiv.org/abs/2210.17323).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.moments import LayerMoments

Column = NDArray[np.float32]
"""[G, o], one weight of each output channel."""
_Float = NDArray[np.float64]
_SHRINKING = 0.5
"""How far covariances of few rows are drawn to none between different weights (Ledoit and Wolf 2004): what a weight
makes up for another must hold for other images too."""
_DAMPING = 0.01
"""Of the mean variance, added to each."""
_CANCELED = 1e-4
"""Of the mean square: what single precision may lose where a channel is the same in all images, and has no variance."""
_BLOCK = 32
_LOGITS = 0.3
"""Of its mean sensitivity what the layer of logits counts for each of its outputs: other layers' errors add up on their
way to it, which their own sensitivities do not know."""
_LEAST = 1e-3
"""Of a layer's mean sensitivity: channels that no image reached keep this much."""


def solver_of(moments: LayerMoments) -> _Float:
    """Return [G, K, K], upper: the inverse of a layer's covariances is its transpose times itself."""
    size = moments.mean.shape[1]
    shrunk = _SHRINKING * size / (size + moments.rows)
    seen = moments.inputs * (1 - shrunk * (1 - np.eye(size)))
    diagonal = np.trace(seen, axis1=1, axis2=2)[:, None, None] / size
    lost = _CANCELED * np.square(moments.mean).mean(axis=1)[:, None, None]
    seen = seen + (_DAMPING * np.maximum(diagonal, 0) + lost + 1e-12) * np.eye(size)
    solver: _Float = np.linalg.cholesky(np.linalg.inv(seen)).swapaxes(1, 2)
    return solver


def sensitivity_of(moments: LayerMoments, *, flat: bool) -> _Float:
    """Return what a squared error of each sum costs the answer, [G, o], between each channel's own and the layer's
    mean; `flat` for the layer of logits."""
    gradients = moments.gradients.reshape(len(moments.mean), -1)
    mean = max(float(gradients.mean()), 1e-30)
    if flat:
        return np.full_like(gradients, _LOGITS * mean)
    return mean * np.sqrt(np.maximum(gradients / mean, _LEAST))


def column_by_column(
    weight: NDArray[np.float32], solver: NDArray[np.float32], choose: Callable[[int, Column], Column]
) -> NDArray[np.float32]:
    """Return new weights [G, o, K]: `choose` gets each column's number and values, as they are by then, and returns
    what they become. `weight` is spent."""
    found = np.empty_like(weight)
    size = weight.shape[2]
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        errors = np.empty((*weight.shape[:2], stop - start), np.float32)
        for column in range(start, stop):
            values = weight[:, :, column]
            taken = choose(column, values)
            found[:, :, column] = taken
            error = (values - taken.astype(np.float64)) / solver[:, column, column, None]
            errors[:, :, column - start] = error
            weight[:, :, column + 1 : stop] -= error[..., None] * solver[:, None, column, column + 1 : stop]
        weight[:, :, stop:] -= errors @ solver[:, start:stop, stop:]
    return found
