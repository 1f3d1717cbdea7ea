"""What is needed to judge a delivered file by its budget: the counts beside it, words where they are missing."""

from pathlib import Path

from pocketvision.budget.limits import NOT_MEASURED
from pocketvision.budget.prediction import predicted_latency
from pocketvision.errors import DataError
from pocketvision.export.source import open_source
from pocketvision.progress import Silent
from pocketvision.runs import ExportFolder
from pocketvision.values import Budget, Cost, PredictedLatency, Verdict

READ_BACK = (".onnx", ".tflite")
"""Formats of delivered files that are read as graphs again."""


def unjudged(verdicts: tuple[Verdict, ...]) -> tuple[str, ...]:
    """Return a sentence for each limit that nothing could be measured for."""
    return tuple(
        f"{verdict.limit} cannot be judged: {_missing(verdict.limit)}"
        for verdict in verdicts
        if verdict.measured == NOT_MEASURED
    )


def _missing(limit: str) -> str:
    if limit == "max_latency":
        return "a profile's times are predicted of .onnx and .tflite files. Put the run's own one beside it."
    return "the file's counts are not known. Put the run's cost.json beside it."


def predicted_for(file: Path, budget: Budget) -> PredictedLatency | None:
    """Predict the time of a file on the budget's device; of one that is not read back, by its twin in another format.

    None where the budget names no device, or there is nothing to read.
    """
    if budget.profile is None:
        return None
    twins = [path for suffix in READ_BACK if (path := file.with_suffix(suffix)).is_file()]
    source = file if file.suffix.lower() in READ_BACK else next(iter(twins), None)
    if source is None:
        return None
    found = open_source(source, None, labels=None, progress=Silent())
    return predicted_latency(found.graph, budget, found.manifest.precision)


def read_cost(file: Path) -> Cost | None:
    """Return the counts that lie beside a delivered file, or None."""
    cost = ExportFolder(file.parent).cost
    if not cost.exists():
        return None
    try:
        return cost.read()
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{cost.path} does not hold a net's counts ({error}); take the one written by the run"
        ) from error
