"""The images that ranges of int8 are measured on."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.arrays import prepared
from pocketvision.errors import DataError
from pocketvision.export.source import some
from pocketvision.progress import Progress, Silent
from pocketvision.values import Dataset, ImageSpec

CALIBRATION_IMAGES = 100
SENSITIVITY_IMAGES = 500
"""For weights that are chosen by what they cost; the last layers see one row an image."""
RECOVERY_IMAGES = 2000
"""For integers that learn: each one more differs."""


def calibration(
    dataset: Dataset, image: ImageSpec, progress: Progress = Silent(), *, most: int = CALIBRATION_IMAGES
) -> NDArray[np.uint8]:
    """Prepare a seeded choice of training images, uint8 [N, R, R, 3]; raises DataError where there are none."""
    examples = some(dataset.of("train"), most)
    if not examples:
        raise DataError(f"{dataset.root} has no image left to calibrate on; give more images")
    return prepared(dataset, examples, image, progress=progress)
