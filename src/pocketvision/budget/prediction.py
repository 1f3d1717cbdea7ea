"""Time on another device, by the profile that a budget names: predicted, and said so."""

from pathlib import Path

from pocketvision.graph.graph import Graph
from pocketvision.latency.profile import read_profile
from pocketvision.values import Budget, Precision, PredictedLatency
from pocketvision.words import ms


def predicted_latency(graph: Graph, budget: Budget, precision: Precision) -> PredictedLatency | None:
    """Predict the time of a float graph, delivered at a precision, on the budget's device; None where it names none.

    A profile is of float or of int8 nets; what is predicted of the others is not covered. Raises DataError where the
    file is no profile.
    """
    if budget.profile is None:
        return None
    profile = read_profile(Path(budget.profile))
    found = profile.predict([graph])
    return PredictedLatency(
        device=profile.machine,
        runtime=profile.runtime_name,
        threads=profile.threads,
        median_ms=float(found.median_ms[0]),
        low_ms=float(found.low_ms[0]),
        high_ms=float(found.high_ms[0]),
        covered=bool(found.covered[0]) and profile.precision == ("int8" if precision == "int8" else "float"),
    )


def prediction_words(found: PredictedLatency, allowed: float) -> str:
    """Say for which device a time is predicted, between which ends, and whether a limit lies between them."""
    words = [f"predicted for {found.device}, {ms(found.low_ms)} to {ms(found.high_ms)}"]
    if found.low_ms <= allowed < found.high_ms:
        words.append("the limit lies in that interval, so only a measurement there can tell")
    if not found.covered:
        words.append("the profile has no nets of this kind, so the interval promises nothing")
    return "; ".join(words)
