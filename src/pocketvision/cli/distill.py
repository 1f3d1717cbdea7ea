"""The verb `distill`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli import options as o

_LESSON = "Lesson"


def distill(  # noqa: PLR0913, PLR0917  a command's options
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder of the trained larger net; of several, with commas.")
    ],
    data: o.Data,
    model: o.Model = None,
    width: o.Width = None,
    resolution: o.Resolution = None,
    weights: o.Weights = None,
    temperature: Annotated[
        float, typer.Option(help="Softens the answers that are learned from.", rich_help_panel=_LESSON)
    ] = 2.0,
    trust: Annotated[
        float, typer.Option(help="Share of the teacher's answers in the loss.", rich_help_panel=_LESSON)
    ] = 0.9,
    features: Annotated[
        float, typer.Option(help="Weight of the teacher's features in the loss.", rich_help_panel=_LESSON)
    ] = 1.0,
    views: Annotated[
        int, typer.Option(help="Random views of each image that the teacher answers to.", rich_help_panel=_LESSON)
    ] = 8,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = "auto",
    lr: o.Rate = None,
    optimizer: o.Optimizer = "auto",
    patience: o.Patience = None,
    flip: o.Flip = None,
    balance: o.Balance = "auto",
    time_limit: o.TimeLimit = None,
    crop_mode: o.CropMode = "squash",
    val: o.Val = 0.15,
    test: o.Test = 0.15,
    seed: o.Seed = 42,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    log: o.Log = "csv",
    output: o.Output = Path("runs"),
    name: o.Name = None,
    resume: o.Resume = False,
    exist_ok: o.ExistOk = False,
    json: o.Json = False,
) -> None:
    """Teach a small net with the answers of larger trained ones."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit, macro_words

    arguments = {key: value for key, value in locals().items() if key in (pocketvision.distill.__kwdefaults__ or {})}
    result = pocketvision.distill(run, data, **arguments, progress=Terminal())
    if json:
        emit(result)
        return
    print(f"\n{result.weights}")
    print(f"  net         {result.trained.spec}, started {result.trained.start}, {result.trained.epochs} epochs")
    print(f"  validation  {result.trained.validation}{macro_words(result.trained.validation.macro)}")
    for teacher in result.teachers:
        print(f"  teacher     {teacher.spec}: {teacher.validation}")
    print(f"  next        pocketvision export {result.run}")
