"""What is needed to judge a delivered file by its budget: the counts beside it, words where they are missing."""

from pathlib import Path

from pocketvision.budget.limits import NOT_MEASURED
from pocketvision.errors import DataError
from pocketvision.runs import ExportFolder
from pocketvision.values import Cost, Verdict


def unjudged(verdicts: tuple[Verdict, ...]) -> tuple[str, ...]:
    """Return a sentence for each limit that nothing could be measured for."""
    return tuple(
        f"{verdict.limit} cannot be judged: the file's counts are not known. Put the run's cost.json beside it."
        for verdict in verdicts
        if verdict.measured == NOT_MEASURED
    )


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
