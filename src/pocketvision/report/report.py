"""The verb: a run's folder in, its page and its model card out."""

from pathlib import Path

from pocketvision.files import claim
from pocketvision.progress import Progress, Silent
from pocketvision.report.card import card
from pocketvision.report.page import render
from pocketvision.report.run import read
from pocketvision.runs import RunFolder


def report(run: str | Path, *, output: str | Path | None = None, progress: Progress = Silent()) -> Path:
    """Write `report.html` and `model_card.md` of a finished run; return the page's path.

    They go into `output`, a folder, or into the run's own. Images of wrong answers come from the data set where it
    still lies. Raises UsageError where there is no run, DataError that names a missing or damaged file.
    """
    found = read(Path(run))
    target = RunFolder(Path(run if output is None else output))
    if output is not None:
        claim(target.path, target.page.path.name, target.card.path.name)
    target.card.write(card(found))
    target.page.write(render(found, progress=progress))
    progress.say(f"report: {target.page.path}")
    return target.page.path
