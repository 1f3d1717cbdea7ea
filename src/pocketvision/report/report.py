"""A run's folder in, its page and its model card out."""

from pathlib import Path

from pocketvision.files import claim
from pocketvision.progress import Progress, Silent
from pocketvision.report.card import card
from pocketvision.report.page import render
from pocketvision.report.run import read
from pocketvision.runs import RunFolder


def write_report(run: Path, output: str | Path | None = None, *, progress: Progress = Silent()) -> Path:
    """Write the page and the model card of a finished run, by default into its folder; return the page."""
    found = read(run)
    target = RunFolder(run if output is None else Path(output))
    if output is not None:
        claim(target.path, target.page.path.name, target.card.path.name)
    target.card.write(card(found))
    target.page.write(render(found, progress=progress))
    progress.say(f"report: {target.page.path}")
    return target.page.path
