"""The verb `predict`."""

import os
from pathlib import Path

from pocketvision.runtime import open as open_model
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import PredictOptions
from pocketvision.verify.predict import Prediction, expand, predictions


@verb(PredictOptions)
def predict(options: PredictOptions) -> list[Prediction]:
    """Answer images, and those inside folders in natural order; a broken one gets its error and stops nothing.

    An answer less probable than the file's `abstain_below` comes with `sure` False: the image may be none of the
    labels, or hard to tell.
    Raises DataError for a path that is not there, UsageError for `top` below 1.
    """
    paths = expand([options.images] if isinstance(options.images, str | Path) else options.images)
    runner = open_model(Path(options.file), threads=os.cpu_count() or 1)
    return predictions(runner, paths, top=options.top, progress=options.progress)
