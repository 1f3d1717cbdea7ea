"""A run's folder in, its page and its model card out."""

from pathlib import Path

from pocketvision.files import claim, write_text
from pocketvision.progress import Progress, Silent
from pocketvision.report.card import card
from pocketvision.report.page import render
from pocketvision.report.run import read

PAGE, CARD = "report.html", "model_card.md"


def write_report(run: Path, output: str | Path | None = None, *, progress: Progress = Silent()) -> Path:
    """Write the page and the model card of a finished run, by default into its folder; return the page."""
    found = read(run)
    target = run if output is None else Path(output)
    if output is not None:
        claim(target, PAGE, CARD)
    write_text(target / CARD, card(found))
    write_text(target / PAGE, render(found, progress=progress))
    progress.say(f"report: {target / PAGE}")
    return target / PAGE
