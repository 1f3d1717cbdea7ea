"""The page: everything a run found, as one HTML file that opens without a network."""

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pocketvision import words
from pocketvision.data.splits import read_splits
from pocketvision.metrics.confusion import Mistake
from pocketvision.progress import Progress, Silent, track
from pocketvision.report import plots, tables
from pocketvision.report.boxes import BoxSection, box_section
from pocketvision.report.choice import Said, answers, known_ms, predicted, raced
from pocketvision.report.confidence import ConfidenceSection, confidence_section
from pocketvision.report.download import DownloadSection, download_section
from pocketvision.report.run import Run, contents
from pocketvision.report.thumbnails import thumbnail
from pocketvision.report.untested import Gap, untested
from pocketvision.report.words import budget, exact, titled
from pocketvision.values import Answer, Candidate, Split, Variant

if TYPE_CHECKING:
    from jinja2 import Template

MANY_CLASSES = 24
"""Above this the page shows the ends of a list of classes and folds the whole away."""
SHOWN_PROBLEMS = 15
RESIZERS = {
    "pillow": "Pillow, bilinear, as here",
    "opencv-linear": "OpenCV, INTER_LINEAR (its default)",
    "opencv-area": "OpenCV, INTER_AREA",
    "browser": "A browser's canvas: halved, then bilinear",
    "nearest": "The nearest pixel",
}
_COUNTED = (
    ("MACs", "Multiply-adds: one multiplication with one addition, the unit in which the work of a net is counted."),
    ("FLOPs", "Floating point operations: 2 × MACs. Tools differ by this factor of two, so this page gives MACs."),
)
_STORED = (
    ("p90", "Nine of ten runs were at least this fast. The median is the time that half of the runs kept."),
    (
        "int8",
        "Weights and activations stored as 8-bit integers: about a quarter of the size, often faster, sometimes a "
        "little less accurate. Float uses 32 bits.",
    ),
)
GLOSSARY = (
    *_COUNTED,
    (
        "Interval",
        "The 95% Wilson interval: the true accuracy on such images lies within it 19 times in 20. More test images "
        "make it narrower.",
    ),
    (
        "Calibration error",
        "How far the probability given and the share of right answers are apart, on average over answers of similar "
        "probability. With few images chance alone makes it larger than zero.",
    ),
    *_STORED,
)
GLOSSARY_OF_BOXES = (
    *_COUNTED,
    ("Overlap", "Intersection over union (IoU): the area that two boxes share, by the area that either covers."),
    (
        "AP50",
        "Average precision: the mean precision over all recalls, of boxes that overlap true ones by half or more, and "
        "the mean of that over the classes. COCO's rule, with 101 recalls and at most 100 boxes an image.",
    ),
    ("AP", "The mean of such figures at ten overlaps from .5 to .95: it also asks how exactly boxes fit."),
    (
        "Interval",
        "A 95% bootstrap interval: the test images are drawn anew a thousand times, each with all its boxes. More test "
        "images make it narrower.",
    ),
    *_STORED,
)


@dataclass(frozen=True)
class Mistaken:
    """A wrong answer with its image."""

    answer: Answer
    image: str
    """Data address, or '' for a grey tile."""


@dataclass(frozen=True)
class Whisker:
    """A precision's validation accuracy on a common scale; all in percent of its length."""

    variant: Variant
    low: float
    value: float
    high: float


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

    run: Run
    state: Literal["kept", "broken", "none", "failed"]
    budget: tuple[tables.BudgetLine, ...]
    asked: str
    images: tuple[int, ...]
    """In train, validation and test."""
    classes: tuple[tables.ClassCount, ...]
    fewest: tuple[tables.ClassCount, ...]
    nearest: tuple[Candidate, ...]
    candidates: tuple[Candidate, ...]
    raced: tuple[Candidate, ...]
    """The shortlist, with what its trainings reached; empty in older runs."""
    answers: tuple[Said, ...]
    """About the choice; empty in older runs."""
    candidate_chart: plots.Chart
    loss_chart: plots.Chart
    accuracy_chart: plots.Chart
    whiskers: tuple[Whisker, ...]
    scale: tuple[float, float]
    matrix: tables.Matrix
    results: tuple[tables.ClassResult, ...]
    pairs: tuple[Mistake, ...]
    mistakes: tuple[Mistaken, ...]
    thresholds: tuple[tables.ThresholdLine, ...]
    download: DownloadSection | None
    """None where no weights were chosen by their bytes."""
    confidence: ConfidenceSection | None
    """None where not every test answer was kept."""
    boxes: BoxSection | None
    """None for files that find no boxes."""
    untested: tuple[Gap, ...]
    files: dict[str, str]
    glossary: tuple[tuple[str, str], ...]
    resizers: dict[str, str]
    """What each resizer is called."""


def render(run: Run, *, progress: Progress = Silent()) -> str:
    """Return the page of a run; its images are read from the data set where it still lies."""
    return template("page.html").render(
        page=_page(run, progress), run=run, bundle=plots.bundle(), many=MANY_CLASSES, shown_problems=SHOWN_PROBLEMS
    )


@cache
def template(name: str) -> "Template":
    """Return a page's template, which escapes what it is given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for figure in ("size", "count", "ms", "percent", "gap", "seconds", "interval", "plural"):
        environment.filters[figure] = getattr(words, figure)
    environment.filters["exact"] = exact
    environment.filters["titled"] = titled
    environment.filters["csp"] = _csp
    environment.filters["known_ms"] = known_ms
    environment.filters["dashed"] = lambda value: "–" if value is None else words.percent(value)
    return environment.get_template(name)


def _page(run: Run, progress: Progress) -> Page:
    counts = tables.class_counts(run.health)
    many = len(counts) > MANY_CLASSES
    scale = _scale(run.compression.variants)
    return Page(
        run=run,
        state=_state(run),
        budget=tables.budget_lines(run.proof),
        asked=budget(run.choice.budget, run.metric),
        images=tuple(run.health.images_in(split) for split in get_args(Split)),
        classes=counts,
        fewest=tuple(sorted(counts, key=lambda row: row.total))[: MANY_CLASSES // 2] if many else counts,
        nearest=tables.nearest_candidates(run.choice),
        candidates=tables.candidate_order(run.choice),
        raced=raced(run.choice) if predicted(run.choice) else (),
        answers=answers(run.choice),
        candidate_chart=plots.candidates(run.choice, metric=run.metric),
        loss_chart=plots.loss_curve(run.epochs),
        accuracy_chart=plots.accuracy_curve(run.epochs, placed=run.placed),
        whiskers=tuple(_whisker(variant, scale) for variant in run.compression.variants),
        scale=scale,
        matrix=tables.matrix(run.proof),
        results=tables.class_results(run.proof),
        pairs=tables.pairs(run.proof),
        mistakes=() if run.placed else _mistakes(run, progress),
        thresholds=tables.thresholds(run.proof),
        download=download_section(run.compression, run.choice.budget.limits.get("max_download"), run.metric),
        confidence=confidence_section(run),
        boxes=box_section(run, progress),
        untested=untested(run),
        files=contents(run.files),
        glossary=GLOSSARY_OF_BOXES if run.placed else GLOSSARY,
        resizers=RESIZERS,
    )


def _state(run: Run) -> Literal["kept", "broken", "none", "failed"]:
    if run.failures:
        return "failed"
    if not run.proof.verdicts:
        return "none"
    return "kept" if all(verdict.passed for verdict in run.proof.verdicts) else "broken"


def _mistakes(run: Run, progress: Progress) -> tuple[Mistaken, ...]:
    worst = tables.worst_answers(run.proof)
    root = Path(run.health.root)
    tracked = track(worst, progress, "images", len(worst))
    contents = {row.file: row.sha256 for row in read_splits(run.files.splits.path)}
    return tuple(Mistaken(answer, thumbnail(root, answer.file, contents.get(answer.file))) for answer in tracked)


def _scale(variants: Sequence[Variant]) -> tuple[float, float]:
    """Return the ends of the scale on which all intervals fit, as shares on full twentieths."""
    low = min((variant.validation.low for variant in variants), default=0.0)
    high = max((variant.validation.high for variant in variants), default=1.0)
    return (math.floor(low * 20) / 20, math.ceil(high * 20) / 20)


def _whisker(variant: Variant, scale: tuple[float, float]) -> Whisker:
    def place(value: float) -> float:
        return 100 * (value - scale[0]) / max(scale[1] - scale[0], 1e-9)

    accuracy = variant.validation
    return Whisker(variant, place(accuracy.low), place(accuracy.value), place(accuracy.high))


def _csp(script: str) -> str:
    """Return the source expression that lets exactly this script run."""
    # A parser reads every line end as \n before it hashes.
    text = script.replace("\r\n", "\n").replace("\r", "\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
