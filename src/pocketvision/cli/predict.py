"""How the result of `predict` is shown."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pocketvision.verify.predict import Prediction

Form = Literal["table", "csv", "coco"]


def show(
    answers: "list[Prediction]",
    *,
    form: Annotated[
        Form, typer.Option("--format", help="table, csv, or coco: a detector's boxes as COCO's results (JSON).")
    ] = "table",
) -> None:
    """Print each image's answer."""
    if form == "table":
        _table(answers)
        return
    from pocketvision.verify.found import as_coco, as_csv

    sys.stdout.write(as_csv(answers) if form == "csv" else f"{as_coco(answers)}\n")
    for answer in answers:
        if answer.error is not None:
            print(f"{answer.file}: {answer.error}", file=sys.stderr)


def _table(answers: "list[Prediction]") -> None:
    from pocketvision.cli.terminal import table

    if any(answer.boxes is not None for answer in answers):
        table(["file", "found"], [[answer.file, str(answer)] for answer in answers], words=["found"])
        return
    rows = [
        [answer.file, str(answer), f"{answer.probability:.1%}" if answer.error is None else "-"] for answer in answers
    ]
    table(["file", "answer", "probability"], rows)


def after(answers: "list[Prediction]") -> None:
    """Raise DataError where no image got an answer."""
    from pocketvision.verify.outcome import raise_for_answers

    raise_for_answers(answers)
