"""The verb `choose`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pocketvision.cli import options as o

if TYPE_CHECKING:
    from pocketvision.fit.choose import Compared, Comparison


def choose(  # noqa: PLR0913, PLR0917  a command's options
    data: o.Data,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Weights file or a net's name; repeat it. By default all files on this machine."),
    ] = None,
    resolution: Annotated[
        list[int] | None,
        typer.Option(
            "--resolution", "--img-size", "--imgsz", help="Side of the input in pixels; repeat it. By default its own."
        ),
    ] = None,
    max_size: o.MaxSize = None,
    max_latency: o.MaxLatency = None,
    max_macs: o.MaxMacs = None,
    max_memory: o.MaxMemory = None,
    max_params: o.MaxParams = None,
    min_accuracy: o.MinAccuracy = None,
    head: Annotated[
        Literal["logistic", "mean"], typer.Option(help="Logistic regression, or the nearest class mean.")
    ] = "logistic",
    balance: Annotated[
        Literal["none", "weights"], typer.Option(help="`weights` lets every class count the same, however rare.")
    ] = "none",
    views: Annotated[int, typer.Option(help="Views of each training image: 1, or more with augmented ones.")] = 1,
    crop_mode: o.CropMode = "squash",
    val: o.Val = 0.15,
    test: o.Test = 0.15,
    seed: o.Seed = 42,
    device: o.Device = "auto",
    json: o.Json = False,
) -> None:
    """Compare published nets on your images, with frozen weights: which one to start from, and by how much."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit

    arguments = {key: value for key, value in locals().items() if key in (pocketvision.choose.__kwdefaults__ or {})}
    result = pocketvision.choose(data, **arguments, progress=Terminal())
    emit(result) if json else _tell(result)


def _tell(result: "Comparison") -> None:
    from pocketvision.cli.terminal import table

    timed = any(start.latency for start in result.starts)
    columns = ["weights", "net", "params", "MACs", "file", *["file ms"] * timed, "ms", "val", "test"]
    table([*columns, "95% interval", "against the taken one"], [_row(start, timed) for start in result.starts])
    print(
        "\nval: share right on validation, by which was chosen; test: on images by which nothing was chosen, where "
        f"nets are also compared.\nms: an image through the net in PyTorch on this machine; file: {_said(timed)}."
    )
    if result.hint:
        print(f"\n{result.hint}")
    print(f"\n{result.sentence}\n{result.command}")


def _said(timed: bool) -> str:
    if not timed:
        return "as int8, estimated"
    return (
        "the faster of int8 and float, written with fresh weights; file ms: its median on one thread of this machine, "
        "which is no phone"
    )


def _row(start: "Compared", timed: bool) -> list[str]:
    val, test, ms = start.validation, start.test, start.latency
    return [
        Path(start.file).name,
        str(start.model),
        f"{start.params / 1e6:.2f}M",
        f"{start.macs / 1e6:,.0f}M",
        f"{start.size_bytes / 1e3:,.0f} KB {start.precision}",
        *[f"{ms.median_ms:.2f}" if ms else "-"] * timed,
        "-" if start.feature_ms is None else f"{start.feature_ms:.1f}",
        "-" if val is None else f"{val.value:.1%}",
        "-" if test is None else f"{test.value:.1%}",
        "-" if test is None else f"{test.low:.1%} to {test.high:.1%}",
        str(start.against_taken or (start.reason if start.status == "over budget" else start.status)),
    ]
