"""The verb `predict`."""

import os
from pathlib import Path

from pocketvision.errors import UsageError
from pocketvision.files import user_path
from pocketvision.runtime import open as open_model
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import PredictOptions
from pocketvision.verify.found import claim_pictures, draw
from pocketvision.verify.predict import Prediction, expand, predictions


@verb(PredictOptions)
def predict(options: PredictOptions) -> list[Prediction]:
    """Answer images, and those inside folders in natural order; a broken one gets its error and stops nothing.

    An answer less probable than the file's `abstain_below` comes with `sure` False: the image may be none of the
    labels, or hard to tell. A detector's answers hold its boxes in pixels of the upright image; with `draw`, a folder,
    they are drawn on copies of the images there.
    Raises DataError for a path that is not there, UsageError for `top` below 1 or `draw` of a file that finds no boxes,
    RunExists where `draw` holds a file of the user's with a picture's name.
    """
    paths = expand([options.images] if isinstance(options.images, str | Path) else options.images)
    runner = open_model(Path(options.file), threads=os.cpu_count() or 1)
    if options.draw is None:
        return predictions(runner, paths, top=options.top, progress=options.progress)
    if runner.manifest.model.detector is None:
        raise UsageError(f"{options.file} is no detector and finds no boxes to draw; leave out --draw")
    places = claim_pictures(paths, user_path(options.draw))
    answers = predictions(runner, paths, top=options.top, progress=options.progress)
    draw(paths, answers, places, progress=options.progress)
    return answers
