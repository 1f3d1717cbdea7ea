"""The verb `predict`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli import options as o


def predict(
    file: Annotated[Path, typer.Argument(help="A delivered file.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of them.")],
    top: Annotated[int, typer.Option("--top", "--topk", help="How many labels to name.")] = 5,
    json: o.Json = False,
) -> None:
    """Name what is in images."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit, table
    from pocketvision.verify.outcome import raise_for_answers

    answers = pocketvision.predict(file, images, top=top, progress=Terminal())
    rows = [
        [answer.file, str(answer), f"{answer.probability:.1%}" if answer.error is None else "-"] for answer in answers
    ]
    emit(answers) if json else table(["file", "answer", "probability"], rows)
    raise_for_answers(answers)
