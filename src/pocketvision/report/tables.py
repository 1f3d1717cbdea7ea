"""The rows behind the page's tables: budget, classes, candidates, confusions."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pocketvision import words
from pocketvision.budget.limits import LIMITS, NOT_MEASURED
from pocketvision.budget.prediction import prediction_words
from pocketvision.metrics.accuracy import wilson
from pocketvision.metrics.confusion import Mistake, worst_confusions
from pocketvision.report.choice import ordered, rank
from pocketvision.report.words import bound, exact, kind_of, quantity, titled
from pocketvision.values import Answer, Candidate, Choice, Health, Proof, Score, Verdict

MATRIX_CLASSES = 20
"""More rows than this no longer fit a page."""
BACKGROUND = "background"
"""The row of found boxes where nothing is, and the column of things that were not found."""
HEAD_CANDIDATES = 12
THRESHOLDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)


# ---------------------------------------------------------------- budget


@dataclass(frozen=True)
class BudgetLine:
    """One limit with what was measured; `bar` and `mark` are shares of the gauge's length."""

    title: str
    at_most: bool
    allowed: str
    measured: str
    detail: str
    """All digits, the interval, or the p90."""
    passed: bool
    bar: float
    mark: float


def budget_lines(proof: Proof) -> tuple[BudgetLine, ...]:
    """Return the budget as judged on the delivered file."""
    return tuple(_budget_line(verdict, proof) for verdict in proof.verdicts)


def _budget_line(verdict: Verdict, proof: Proof) -> BudgetLine:
    limit = LIMITS[verdict.limit]
    kind = kind_of(limit)
    top = 1.0 if kind == "share" else max(verdict.allowed, verdict.measured, 1e-9) * 1.15
    known = verdict.measured != NOT_MEASURED
    title = titled(proof.accuracy.metric) if verdict.limit == "min_accuracy" else limit.title
    return BudgetLine(
        title=_title(title, verdict),
        at_most=limit.at_most,
        allowed=bound(verdict.allowed, kind),
        measured=quantity(verdict.measured, kind) if known else "not measured",
        detail=_detail(verdict, proof),
        passed=verdict.passed,
        bar=max(verdict.measured, 0.0) / top,
        mark=verdict.allowed / top,
    )


def _title(title: str, verdict: Verdict) -> str:
    if verdict.compressor:
        return f"{title} under {verdict.compressor}"
    return f"{title} on {verdict.predicted.device}" if verdict.predicted else title


def _detail(verdict: Verdict, proof: Proof) -> str:
    if verdict.limit == "min_accuracy":
        return f"95% interval {words.interval(proof.accuracy)}"
    if verdict.predicted:
        return prediction_words(verdict.predicted, verdict.allowed)
    if verdict.limit == "max_latency":
        return f"p90 {words.ms(proof.latency.p90_ms)}"
    return exact(verdict.measured, kind_of(LIMITS[verdict.limit]))


# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class ClassCount:
    """One class's images by split."""

    label: str
    train: int
    val: int
    test: int

    @property
    def total(self) -> int:
        """Return all images of the class."""
        return self.train + self.val + self.test


def class_counts(health: Health) -> tuple[ClassCount, ...]:
    """Return the images of each class, in the labels' order."""
    rows = ((label, health.counts.get(label, {})) for label in health.labels)
    return tuple(ClassCount(label, row.get("train", 0), row.get("val", 0), row.get("test", 0)) for label, row in rows)


# ---------------------------------------------------------------- candidates


def candidate_order(choice: Choice) -> tuple[Candidate, ...]:
    """Return all candidates, the highest accuracy first."""
    return ordered(choice.candidates)


def nearest_candidates(choice: Choice) -> tuple[Candidate, ...]:
    """Return the taken one with those nearest to it in accuracy, each way of losing among them."""
    others = [candidate for candidate in choice.candidates if candidate.status != "taken"]
    others.sort(key=lambda candidate: abs(rank(candidate) - rank(choice.taken)))
    room = HEAD_CANDIDATES - 1
    seen: Counter[str] = Counter()
    early: list[Candidate] = []
    late: list[Candidate] = []
    for candidate in others:
        (early if seen[candidate.status] < room // 3 else late).append(candidate)
        seen[candidate.status] += 1
    head = {id(candidate) for candidate in [*early, *late][:room]}
    return tuple(c for c in candidate_order(choice) if c.status == "taken" or id(c) in head)


# ---------------------------------------------------------------- answers


@dataclass(frozen=True)
class ClassResult:
    """How one class fared on the test images."""

    label: str
    total: int
    """Test images of the class."""
    recall: Score | None
    """None where the class has no test image."""
    answered: int
    """How often the file gave this answer."""
    precision: float | None
    """Share of those answers that were right; None when it was never given."""
    mistaken_for: str
    mistaken: int


def class_results(proof: Proof) -> tuple[ClassResult, ...]:
    """Return every class with its recall, the worst first; classes without test images last, none for boxes."""
    if not proof.confusion or proof.attributes:
        return ()
    columns = [sum(row[index] for row in proof.confusion) for index in range(len(proof.labels))]
    rows = [_class_result(proof, index, columns[index]) for index in range(len(proof.labels))]
    return tuple(sorted(rows, key=lambda row: (row.recall.value, row.recall.low) if row.recall else (2.0, 0.0)))


def _class_result(proof: Proof, index: int, answered: int) -> ClassResult:
    row = proof.confusion[index]
    wrong = [0 if column == index else value for column, value in enumerate(row)]
    worst = max(range(len(wrong)), key=wrong.__getitem__)
    return ClassResult(
        label=proof.labels[index],
        total=sum(row),
        recall=wilson(row[index], sum(row)) if sum(row) else None,
        answered=answered,
        precision=row[index] / answered if answered else None,
        mistaken_for=proof.labels[worst] if wrong[worst] else "",
        mistaken=wrong[worst],
    )


@dataclass(frozen=True)
class MatrixCell:
    """One field of the heat map; `share` of the row's images."""

    count: int
    share: float
    kind: Literal["right", "wrong", "rest"]
    answer: str


@dataclass(frozen=True)
class MatrixRow:
    """One true label."""

    label: str
    total: int
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix, or its worst part where there are many classes."""

    labels: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    of: int

    @property
    def whole(self) -> bool:
        """Whether every class is in it."""
        return len(self.labels) == self.of


def matrix(proof: Proof) -> Matrix:
    """Return the confusions, limited to the classes with most wrong answers in or out."""
    everything = range(len(proof.confusion))
    shown = list(everything)
    if len(shown) > MATRIX_CLASSES:
        answered = [sum(row[index] for row in proof.confusion) for index in everything]
        errors = [sum(proof.confusion[i]) + answered[i] - 2 * proof.confusion[i][i] for i in everything]
        shown = sorted(sorted(shown, key=lambda index: -errors[index])[:MATRIX_CLASSES])
    rows = tuple(_matrix_row(proof, index, shown) for index in shown)
    names = confused(proof)
    return Matrix(tuple(names[index] for index in shown), rows, len(names))


def confused(proof: Proof) -> tuple[str, ...]:
    """Return the names of the confusion matrix's rows and columns; boxes may be taken for the background too."""
    return proof.labels if len(proof.confusion) == len(proof.labels) else (*proof.labels, BACKGROUND)


def _matrix_row(proof: Proof, index: int, shown: list[int]) -> MatrixRow:
    counts = proof.confusion[index]
    total = sum(counts)

    def cell(value: int, kind: Literal["right", "wrong", "rest"], answer: str) -> MatrixCell:
        return MatrixCell(value, value / total if total else 0.0, kind, answer)

    names = confused(proof)
    cells = [cell(counts[i], "right" if i == index else "wrong", names[i]) for i in shown]
    if len(shown) < len(counts):
        cells.append(cell(total - sum(counts[i] for i in shown), "rest", "any other class"))
    return MatrixRow(names[index], total, tuple(cells))


def pairs(proof: Proof, most: int = 8) -> tuple[Mistake, ...]:
    """Return the most frequent confusions."""
    return worst_confusions(np.asarray(proof.confusion), confused(proof), count=most) if proof.confusion else ()


def worst_answers(proof: Proof, most: int = 12) -> tuple[Answer, ...]:
    """Return the wrong answers, the surest first."""
    wrong = [answer for answer in proof.answers if not answer.right]
    return tuple(sorted(wrong, key=lambda answer: (-answer.probability, answer.file))[:most])


@dataclass(frozen=True)
class ThresholdLine:
    """What happens when answers below `least` are not taken."""

    least: float
    kept: float
    """Share of the images still answered."""
    right: Score | None
    """Of those; None where none is left."""


def thresholds(proof: Proof) -> tuple[ThresholdLine, ...]:
    """Return what a least probability buys; empty where not every test answer was kept, or nothing is refused."""
    if len(proof.answers) != proof.accuracy.count or not proof.answers or proof.attributes:
        return ()
    rows = []
    for least in THRESHOLDS:
        kept = [answer for answer in proof.answers if answer.probability >= least]
        right = sum(answer.right for answer in kept)
        rows.append(ThresholdLine(least, len(kept) / len(proof.answers), wilson(right, len(kept)) if kept else None))
    return tuple(rows)
