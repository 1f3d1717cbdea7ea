"""How results of the verbs of `latency` are shown: calibrate, predict, fit."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.latency.emitted import Emitted
    from pocketvision.verbs.latency import Calibrated, Predicted

VERBS = ("calibrate", "predict", "fit")
HELP = "Time of nets that were never timed, predicted from some hundred that were."


def show_calibrate(made: "Calibrated | Emitted") -> None:
    """Print what `latency calibrate` returns."""
    from pocketvision.latency.emitted import Emitted

    if isinstance(made, Emitted):
        print(f"{len(made.nets)} files for {made.runtime}, {made.precision}. {made.what_to_do}")
    else:
        show_fit(made)


def show_fit(made: "Calibrated") -> None:
    """Print what `latency fit` returns."""
    print(f"{made.runtime}, {made.precision}, {made.threads} thread(s), {made.machine}")
    print(f"{made.nets} nets timed, {made.clean_share:.0%} of the calls undisturbed")
    print(f"median error on nets left out: {made.median_error:.1%}; nine of ten are within {made.margin:.1%}")
    print(made.path)


def show_predict(predicted: "list[Predicted]") -> None:
    """Print what `latency predict` returns."""
    from pocketvision.cli.terminal import table

    rows = [
        (
            line.net,
            f"{line.median_ms:.3f}",
            f"{line.low_ms:.3f} to {line.high_ms:.3f}",
            "" if line.covered else "no such net was timed",
        )
        for line in predicted
    ]
    table(("net", "ms", "nine of ten are", "note"), rows)
    first = predicted[0]
    print(f"{first.runtime}, {first.precision}, {first.threads} thread(s), {first.machine}")
