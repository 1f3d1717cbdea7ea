"""How the result of `probe` is shown."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.fit.choose import Comparison, ProbedStart


def show(result: "Comparison") -> None:
    """Print every start with its figures, and which one to take."""
    _tell(result)


def _tell(result: "Comparison") -> None:
    from pocketvision.cli.terminal import table

    timed = any(start.latency or start.predicted for start in result.starts)
    device = next((start.predicted.device for start in result.starts if start.predicted), None)
    columns = ["weights", "net", "params", "MACs", "file", *["file ms"] * timed, "ms", "val", "test"]
    table([*columns, "95% interval", "against the taken one"], [_row(start, timed) for start in result.starts])
    print(
        "\nval: share right on validation, by which was chosen; test: on images by which nothing was chosen, where "
        "nets are also compared.\nms: an image through the net in PyTorch on this machine; "
        f"file: {_said(timed, device)}."
    )
    if result.hint:
        print(f"\n{result.hint}")
    print(f"\n{result.sentence}\n{result.command}")


def _said(timed: bool, device: str | None) -> str:
    if not timed:
        return "as int8, estimated"
    where = f"predicted for {device}" if device else "on one thread of this machine, which is no phone"
    return f"the faster of int8 and float, written with fresh weights; file ms: its median {where}"


def _row(start: "ProbedStart", timed: bool) -> list[str]:
    val, test, ms = start.validation, start.test, start.predicted or start.latency
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
