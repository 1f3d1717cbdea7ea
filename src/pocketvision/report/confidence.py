"""What the page says of probabilities: whether they mean what they say, and what refusing the unsure answers gains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision import words
from pocketvision.metrics.calibration import reliability
from pocketvision.metrics.refusal import risk_coverage
from pocketvision.report import plots
from pocketvision.report.run import Run
from pocketvision.values import Confidence, Proof, Score

CURVE_POINTS = 300
"""More would only make the page heavier."""


@dataclass(frozen=True)
class ConfidenceRow:
    """One line of the calibration table."""

    who: str
    images: str
    found: Confidence
    taken: bool = False


@dataclass(frozen=True)
class ConfidenceSection:
    """Everything the section shows."""

    rows: tuple[ConfidenceRow, ...]
    calibration: str
    """A sentence on the delivered file's calibration error; empty in older runs."""
    refusal: str
    """A sentence on what is refused."""
    reason: str
    """Why this threshold; empty in older runs."""
    reliability: plots.Chart | None
    """None, as the other chart, where an image has several answers."""
    risk: plots.Chart | None


def confidence_section(run: Run) -> ConfidenceSection | None:
    """Return the section's content; None where not every test answer was kept."""
    proof = run.proof
    if len(proof.answers) != proof.accuracy.count or not proof.answers or run.placed:
        return None
    if proof.attributes:
        return ConfidenceSection(_rows(run), _calibration(proof.confidence), "", run.compression.abstain, None, None)
    confidence, right = _answers(proof)
    points = risk_coverage(confidence, right)
    if len(points) > CURVE_POINTS:
        kept = np.unique(np.linspace(0, len(points) - 1, CURVE_POINTS).round().astype(int))
        points = tuple(points[place] for place in kept)
    return ConfidenceSection(
        rows=_rows(run),
        calibration=_calibration(proof.confidence),
        refusal=refusal_words(proof),
        reason=run.compression.abstain,
        reliability=plots.reliability(reliability(confidence, right)),
        risk=plots.risk_coverage(points, proof.abstain_below, proof.refusal),
    )


def refusal_words(proof: Proof) -> str:
    """Say what the file refuses of the test images, and how often it is wrong on the others."""
    if proof.attributes:
        return "It never refuses: each attribute counts as there from its own probability on."
    if proof.abstain_below is None or proof.refusal is None:
        return "It never refuses: every image gets one of the labels."
    least, kept = words.percent(proof.abstain_below), proof.refusal.coverage
    text = f"Below {least} it answers “not sure”. It then answers {words.percent(kept.value)} of the test images"
    if proof.refusal.right is None:
        return f"{text}."
    wrong, plain = 1 - proof.refusal.right.value, 1 - proof.accuracy.value
    return (
        f"{text} ({words.interval(kept)}), of which {words.percent(wrong)} wrongly ({_errors(proof.refusal.right)}), "
        f"instead of {words.percent(plain)} of all."
    )


def _errors(right: Score) -> str:
    return f"{words.percent(1 - right.high)} to {words.percent(1 - right.low)}"


def _answers(proof: Proof) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    confidence = np.array([answer.probability for answer in proof.answers])
    return confidence, np.array([answer.right for answer in proof.answers])


def _calibration(found: Confidence | None) -> str:
    if found is None:
        return ""
    return (
        f"On the test images probability and truth are {words.percent(found.ece)} apart on average "
        f"({words.percent(found.ece_low)} to {words.percent(found.ece_high)}). "
        f"By chance, a file without fault shows {words.percent(found.ece_by_chance)} on as many images."
    )


def _rows(run: Run) -> tuple[ConfidenceRow, ...]:
    record = run.compression
    variants = {variant.precision: variant for variant in record.variants}
    rows: list[tuple[str, Confidence | None]] = [("Trained net, without its temperature", record.untempered)]
    if plain := variants.get("float"):
        rows.append((f"Trained net, temperature {record.temperature:.2f}", plain.confidence))
    if record.taken == "int8" and (small := variants.get("int8")):
        rows.append(("Rounded to int8", small.as_rounded or small.confidence))
        if small.as_rounded is not None:
            rows.append((f"int8 with its own temperature, {small.temperature:.2f} more", small.confidence))
    found = [ConfidenceRow(who, "validation", it) for who, it in rows if it is not None]
    if run.proof.confidence is not None:
        found.append(ConfidenceRow(f"Delivered file, {record.taken}", "test", run.proof.confidence, taken=True))
    return tuple(found)
