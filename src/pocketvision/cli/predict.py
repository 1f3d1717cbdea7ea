"""How the result of `predict` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.verify.predict import Prediction


def show(answers: "list[Prediction]") -> None:
    """Print each image's answer."""
    from pocketvision.cli.terminal import table

    rows = [
        [answer.file, str(answer), f"{answer.probability:.1%}" if answer.error is None else "-"] for answer in answers
    ]
    table(["file", "answer", "probability"], rows)


def after(answers: "list[Prediction]") -> None:
    """Raise DataError where no image got an answer."""
    from pocketvision.verify.outcome import raise_for_answers

    raise_for_answers(answers)
