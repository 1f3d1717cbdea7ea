"""Pictures to arrays: what training, calibration and verification iterate over."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.decoded import DecodedCache
from pocketvision.data.parallel import in_order
from pocketvision.errors import ImageError
from pocketvision.images.decode import decode, quiet
from pocketvision.images.prepare import prepare
from pocketvision.progress import Progress, Silent, track
from pocketvision.values import Dataset, Example, ImageSpec


def prepared(
    dataset: Dataset,
    examples: Sequence[Example],
    spec: ImageSpec,
    *,
    decoded: DecodedCache | None = None,
    progress: Progress = Silent(),
) -> NDArray[np.uint8]:
    """Return the examples' pictures as uint8 [n, resolution, resolution, 3], in the order given.

    Pictures that `decoded` holds are not read again. An `ImageError` names a file that can no longer be read.
    """

    def one(example: Example) -> NDArray[np.uint8]:
        pixels = decoded.get(example) if decoded else None
        return prepare(_decode(dataset.path(example), example.file) if pixels is None else pixels, spec)

    pictures = np.empty((len(examples), spec.resolution, spec.resolution, 3), np.uint8)
    with quiet():
        steps = track(in_order(one, examples), progress, "Preparing pictures", len(examples))
        for index, picture in enumerate(steps):
            pictures[index] = picture
    return pictures


def labels_of(examples: Sequence[Example]) -> NDArray[np.int64]:
    """Return the examples' labels as int64 [n]."""
    return np.array([example.label for example in examples], np.int64)


def _decode(path: Path, file: str) -> NDArray[np.uint8]:
    try:
        return decode(path)
    except ImageError as error:
        raise ImageError(f"'{file}' could be read before, but no longer: {error}.") from None
