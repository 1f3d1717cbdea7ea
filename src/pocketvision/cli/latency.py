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

    timed = any(line.measured for line in predicted)
    heads = ("net", "ms", "nine of ten are", *(("measured", "off") if timed else ()), "note")
    rows = []
    for line in predicted:
        times = [f"{line.median_ms:.3f}", f"{line.low_ms:.3f} to {line.high_ms:.3f}"]
        if line.measured:
            took = line.measured.median_ms
            times += [f"{took:.3f}", f"{100 * (line.median_ms / took - 1):+.1f}%"]
        rows.append((line.net, *times, line.note))
    table(heads, rows)
    places: dict[str, list[str]] = {}
    for line in predicted:
        place = f"{line.runtime}, {line.precision}, {line.threads} thread(s), {line.machine}"
        places.setdefault(place, []).append(line.net)
    for place, nets in places.items():
        print(place if len(places) == 1 else f"{', '.join(nets)}: {place}")
