"""The verb `fit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli import options as o

if TYPE_CHECKING:
    from pocketvision.values import Summary


def fit(  # noqa: PLR0913, PLR0917  a command's options
    data: o.Data,
    max_size: o.MaxSize = None,
    max_latency: o.MaxLatency = None,
    max_macs: o.MaxMacs = None,
    max_memory: o.MaxMemory = None,
    max_params: o.MaxParams = None,
    min_accuracy: o.MinAccuracy = None,
    model: o.Model = None,
    width: o.Width = None,
    resolution: o.Resolution = None,
    weights: o.Weights = None,
    teacher: Annotated[
        str | None, typer.Option(help="Run of a larger trained net to learn from as well; several with commas.")
    ] = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = "auto",
    lr: o.Rate = None,
    optimizer: o.Optimizer = "auto",
    patience: o.Patience = None,
    flip: o.Flip = None,
    balance: o.Balance = "auto",
    time_limit: o.TimeLimit = None,
    crop_mode: o.CropMode = "squash",
    max_drop: Annotated[float, typer.Option(help="Points of accuracy that int8 may cost if not forced.")] = 1.0,
    abstain: o.Abstain = "auto",
    format: Annotated[
        str, typer.Option(help="onnx, and with commas litert, coreml, executorch, openvino, c.")
    ] = "onnx",
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
    """Do all of it: check, split, choose, train, compress, export, verify, report."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit
    from pocketvision.errors import BudgetMissed, VerificationFailed
    from pocketvision.values import Summary

    arguments = {key: value for key, value in locals().items() if key in (pocketvision.fit.__kwdefaults__ or {})}
    try:
        summary = pocketvision.fit(data, **arguments, progress=Terminal())
    except (BudgetMissed, VerificationFailed) as error:
        if isinstance(error.result, Summary):
            emit(error.result) if json else _tell(error.result)
        raise
    emit(summary) if json else _tell(summary)


def _tell(summary: "Summary") -> None:
    from pocketvision.cli.terminal import macro_words
    from pocketvision.verify.outcome import verdict_line
    from pocketvision.words import bytes_text

    low, high = summary.interval
    macro = macro_words(summary.test_macro)
    print(f"\n{summary.artefact}")
    print(f"  net       {summary.model}, {summary.precision}")
    print(f"  accuracy  {summary.test_accuracy:.1%} on test images (95% interval {low:.1%} to {high:.1%}){macro}")
    print(f"  size      {bytes_text(summary.size_bytes)}")
    print(f"  latency   {summary.latency_ms:.2f} ms an image, median, 1 thread")
    for verdict in summary.verdicts:
        print(f"  {verdict_line(verdict)}")
    print(f"  report    {summary.report}")
