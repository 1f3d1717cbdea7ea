"""Time on another device, by the profile that a budget names: predicted, and said so."""

from pathlib import Path

from pocketvision.graph.graph import Graph
from pocketvision.values import Budget, PredictedLatency
from pocketvision.words import ms


def predicted_latency(graph: Graph, budget: Budget) -> PredictedLatency | None:
    """Predict the time of a graph, as it is delivered, on the budget's device; None where it names none.

    Raises DataError where the file is no profile.
    """
    if budget.profile is None:
        return None
    from pocketvision.latency.profile import read_profile  # type: ignore[import-not-found]

    profile = read_profile(Path(budget.profile))
    found = profile.predict([graph])
    return PredictedLatency(
        device=profile.device,
        runtime=profile.runtime,
        threads=profile.threads,
        median_ms=float(found.median_ms[0]),
        low_ms=float(found.low_ms[0]),
        high_ms=float(found.high_ms[0]),
        covered=bool(found.covered[0]),
    )


def prediction_words(found: PredictedLatency, allowed: float) -> str:
    """Say for which device a time is predicted, between which ends, and whether a limit lies between them."""
    words = [f"predicted for {found.device}, {ms(found.low_ms)} to {ms(found.high_ms)}"]
    if found.low_ms <= allowed < found.high_ms:
        words.append("the limit lies in that interval, so only a measurement there can tell")
    if not found.covered:
        words.append("the profile has no nets of this kind")
    return "; ".join(words)
