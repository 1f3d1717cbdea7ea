"""The verb `report`."""

from pathlib import Path

from pocketvision.report.report import write_report
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import ReportOptions


@verb(ReportOptions)
def report(options: ReportOptions) -> Path:
    """Write `report.html` and `model_card.md` of a finished run; return the page's path.

    They go into `output`, a folder, or into the run's own. Images of wrong answers come from the data set where it
    still lies. Raises UsageError where there is no run, DataError that names a missing or damaged file.
    """
    return write_report(Path(options.run), options.output, progress=options.progress)
