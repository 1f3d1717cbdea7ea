"""What a proof comes to: a line per limit, and the error with its exit code."""

from collections.abc import Sequence

from pocketvision.budget.limits import LIMITS
from pocketvision.budget.prediction import prediction_words
from pocketvision.errors import BudgetMissed, DataError, VerificationFailed
from pocketvision.values import Confidence, Judged, Proof, Refusal, Score, Verdict
from pocketvision.verify.compare import FileComparison
from pocketvision.verify.predict import Prediction


def raise_for(proof: Proof) -> None:
    """Raise VerificationFailed where the file answers wrongly, else BudgetMissed where it breaks a limit."""
    if proof.failures:
        sentences = "\n".join(f"- {sentence}" for sentence in proof.failures)
        raise VerificationFailed(f"{proof.file} does not answer as the trained net does:\n{sentences}")
    if not all(verdict.passed for verdict in proof.verdicts):
        listed = "\n".join(verdict_lines(proof))
        raise BudgetMissed(
            f"{proof.file} breaks the budget:\n{listed}\nLoosen the limit, or run fit again with this budget."
        )


def raise_for_all(found: FileComparison) -> None:
    """Raise VerificationFailed where any file answers wrongly, else BudgetMissed where any breaks a limit."""
    wrong = [f"- {one.file}: {sentence}" for one in found.files for sentence in one.failures]
    if wrong:
        raise VerificationFailed("\n".join(["not every file answers as the trained net does:", *wrong]))
    for one in found.files:
        if one.proof is not None:
            raise_for(one.proof)


def judged_words(judged: Judged) -> str:
    """Return how many of the images given were judged, and what the net knows of them."""
    count = f"all {judged.given}" if judged.judged == judged.given else f"{judged.judged} of {judged.given}"
    seen = judged.trained_on + judged.chosen_on if judged.known and judged.split in (None, "test") else 0
    left_out = {
        "were trained or chosen on": seen,
        "are copies of others or given under two labels": judged.repeated,
        "cannot be read": judged.unreadable,
    }
    words = [f"{number} {what}" for what, number in left_out.items() if number]
    return "; ".join([f"{count} images in {judged.data}: {_origin(judged)}", *words])


def _origin(judged: Judged) -> str:
    if judged.split is not None:
        whose = "of the run" if judged.known else "by the run's rule (it is not known whether the run had these images)"
        return f"the {judged.split} split {whose}"
    if not judged.known:
        return "it is not known whether the net was trained on any of them"
    if judged.new == judged.judged:
        return "none of them is known to the run"
    mixed = judged.of_run < judged.judged
    words = ["the test split of the run" + (f" ({judged.of_run})" if mixed else "")] if judged.of_run else []
    words += [f"{judged.new} that the run did not have"] if judged.new else []
    words += [f"{judged.relabeled} with another label than in the run"] if judged.relabeled else []
    return ", ".join(words)


def raise_for_answers(answers: Sequence[Prediction]) -> None:
    """Raise DataError where not one of the images got an answer."""
    if answers and all(answer.error is not None for answer in answers):
        first = answers[0]
        raise DataError(f"none of {len(answers)} images could be answered, {first.file} first: {first.error}")


def verdict_lines(proof: Proof) -> list[str]:
    """Return one line per limit: PASS or FAIL, what was measured and what is allowed."""
    return [verdict_line(verdict, proof.accuracy) for verdict in proof.verdicts]


def verdict_line(verdict: Verdict, accuracy: Score | None = None) -> str:
    """Return PASS or FAIL, what was measured and what is allowed; `accuracy` adds the interval to its own line."""
    word, limit = "PASS" if verdict.passed else "FAIL", LIMITS[verdict.limit]
    measured = limit.exact(verdict.measured) if limit.at_most or accuracy is None else str(accuracy)
    line = f"{word} {verdict.limit}: {measured}, {limit.bound} {limit.exact(verdict.allowed)}"
    if verdict.compressor:
        line += f" (under {verdict.compressor})"
    return f"{line} ({prediction_words(verdict.predicted, verdict.allowed)})" if verdict.predicted else line


def confidence_line(confidence: Confidence) -> str:
    """Return the calibration error with its interval and what chance alone gives."""
    return (
        f"calibration error {confidence.ece:.1%} (95% interval {confidence.ece_low:.1%} to {confidence.ece_high:.1%}; "
        f"chance alone gives {confidence.ece_by_chance:.1%})"
    )


def box_lines(proof: Proof) -> list[str]:
    """Return the further figures of a detector: by overlap and size, and at the file's threshold."""
    others = proof.accuracy.others
    named = ", ".join(f"{name} {value:.1%}" for name, value in others.items() if name.startswith("AP "))
    lines = [f"AP         {others['AP']:.1%}, AP75 {others['AP75']:.1%}, {named}"] if "AP" in others else []
    if proof.attributes and "F1" in others:
        at = ", ".join(f"{name} {others[name]:.1%}" for name in ("precision", "recall", "F1"))
        lines.append(f"found      {at} from a score of {proof.attributes[0].threshold:.3g} on")
    return lines


def refusal_line(below: float | None, found: Refusal | None) -> str:
    """Return what the file refuses, and what is left."""
    if below is None or found is None:
        return "never refuses"
    text = f'below {below:.1%} it says "not sure": {found.coverage.value:.1%} answered'
    if found.right is None:
        return text
    low, high = 1 - found.right.high, 1 - found.right.low
    return f"{text}, of those {1 - found.right.value:.1%} wrong (95% interval {low:.1%} to {high:.1%})"
