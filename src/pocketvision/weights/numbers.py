"""The one check of the numbers in weights files: plain real values, every one finite."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError

Array = NDArray[Any]
COUNTER = "num_batches_tracked"
"""How the names of batch norms' counters end, the only whole numbers in a state dict."""


def finite(values: Array, place: str) -> NDArray[np.float32]:
    """Return values as float32; WeightsError, which begins with `place`, where one is no finite number."""
    with np.errstate(all="ignore"):
        real = values.astype(np.float32)
    if not np.isfinite(real).all():
        raise WeightsError(
            f"{place} holds values that are not finite numbers (NaN or infinity): its training diverged, or the file "
            "is damaged. Take an earlier checkpoint, or get the file again"
        )
    return real


def state_of_reals(tensors: Mapping[str, Array], file: str) -> dict[str, Array]:
    """Return a state dict's arrays as float32, its counters as they are; WeightsError names what is no real number."""
    found = {}
    for key, value in tensors.items():
        if key.endswith(COUNTER):
            found[key] = value
            continue
        if value.dtype.kind != "f":
            raise WeightsError(
                f"{file} holds no real numbers at '{key}', but {value.dtype}: a quantized state dict is not read, as "
                "its scales are not in it. Give the float weights that it was made of"
            )
        found[key] = finite(value, f"{file}: '{key}'")
    return found


def check_numbers(tensors: Mapping[str, Array], eps: float, file: str) -> None:
    """Raise WeightsError where a value is not finite, or a batch norm's variance has no root."""
    for key, value in tensors.items():
        if value.dtype.kind == "f":
            finite(value, f"{file}: '{key}'")
        if key.endswith("running_var") and value.size and float(value.min()) <= -eps:
            raise WeightsError(
                f"{file}: '{key}' holds a negative variance, of which there is no root; the file is damaged"
            )
