"""When an answer counts as wrong: the tolerances, their reasons, and the sentences that say so."""

from dataclasses import dataclass

from pocketvision.graph.storage import STORAGES, Floats, Integers, Palette
from pocketvision.metrics.accuracy import wilson
from pocketvision.tasks import load, spec_of
from pocketvision.values import Manifest, Precision, Score
from pocketvision.verify.agreement import Agreed
from pocketvision.verify.inference import Answers


@dataclass(frozen=True)
class Tolerance:
    """How far a delivered file may be from the trained net."""

    same_answer: float
    """Smallest share of images with the same label, ties left out. The upper end of the share's 95% interval is held
    against it, so that one flip among few images raises no alarm."""
    tie: float
    """Labels that the trained net holds this close together, in probability, are as good as each other: a net that is
    unsure of most images flips many labels without answering any worse."""
    probe_gap: float
    """Largest difference of a probability on the file's own probes."""


FLOAT = Tolerance(same_answer=0.99, tie=1e-3, probe_gap=1e-3)
"""The same arithmetic in another order: two float runtimes were seen to differ by at most 2.4e-5 in a probability over
400 images, so 1e-3 leaves room for other machines."""

HALF = Tolerance(same_answer=0.99, tie=1e-2, probe_gap=1e-3)
"""Weights with 11 bits move probabilities in the third digit; the probes were computed with the same weights."""

NARROW = Tolerance(same_answer=0.99, tie=0.02, probe_gap=0.02)
"""Activations in float16, too: over published nets a probability moved by up to 0.004 on photographs."""

INT8 = Tolerance(same_answer=0.95, tie=0.1, probe_gap=0.1)
"""8 bits move the top label of about 1 to 3 images in 100 when all is well; a broken layer moves most. The probes
were computed with the same integers, which runtimes round one or two output steps apart, about 0.05 in a probability
near the boundary of two classes; wrong weights or a wrong normalization differ by several tenths."""

PALETTE = Tolerance(same_answer=0.95, tie=0.1, probe_gap=0.02)
"""Shared weights change answers as int8 does, a file with too few of them fails; the probes were computed with them."""

FIGURES = {"test": "test", "val": "validation"}
"""Under which name the manifest holds the trained net's accuracy on a split."""


def tolerance(precision: Precision, *, narrow: bool = False) -> Tolerance:
    """Return how far a file of this precision may be from the trained net; `narrow` computes in float16."""
    match STORAGES[precision]:
        case Integers():
            return INT8
        case Palette():
            return PALETTE
        case Floats(bits=16) if not narrow:
            return HALF
    return NARROW if narrow else FLOAT


def failures(
    manifest: Manifest,
    answers: Answers,
    *,
    compared: Agreed | None,
    gap: float,
    label_fault: str | None,
    narrow: bool = False,
) -> tuple[str, ...]:
    """Return a sentence for each way in which the file does not answer as the trained net does."""
    allowed = tolerance(manifest.precision, narrow=narrow)
    found = [
        label_fault,
        _nan(answers),
        _probes(manifest, gap, allowed),
        _disagreement(compared, allowed),
        None
        if manifest.probes or compared
        else "nothing to compare with: the file holds no probes, and the trained "
        "net's outputs on these images were not given.",
    ]
    return tuple(sentence for sentence in found if sentence)


def accuracy_fault(manifest: Manifest, split: str, measured: Score) -> str | None:
    """Return a sentence where the measured accuracy is below the manifest's by more than chance explains.

    Only of use on the images that figure was measured on, of which some may be gone: they count as right. It finds what
    the probes cannot: labels in a wrong order.
    """
    stated = manifest.figures.get(FIGURES.get(split, ""))
    if stated is None:
        return None
    if not load(spec_of(manifest).name).below(measured, stated):
        return None
    name = "accuracy is " if measured.metric == "accuracy" else ""
    return (
        f"{name}{measured}, but the trained net had {stated} on the same images. "
        "Where nothing else is wrong, the labels stand in a wrong order."
    )


def _nan(answers: Answers) -> str | None:
    if not answers.nan_files:
        return None
    return f"the file answers NaN for {len(answers.nan_files)} images, the first is {answers.nan_files[0]}."


def _probes(manifest: Manifest, gap: float, allowed: Tolerance) -> str | None:
    if gap <= allowed.probe_gap:
        return None
    return (
        f"the file's answers to its own {len(manifest.probes)} probes differ from the stored ones by {gap:.3g}; "
        f"{allowed.probe_gap:g} is allowed for {manifest.precision}. Weights, normalization or runtime are not those "
        "it was made with."
    )


def _disagreement(compared: Agreed | None, allowed: Tolerance) -> str | None:
    if compared is None:
        return None
    count, flips = compared.decisions, compared.clear_flips
    if wilson(count - flips, count).high >= allowed.same_answer:
        return None
    what = "another label" if count == compared.agreement.count else "other attributes"
    of = "images" if count == compared.agreement.count else "decisions"
    return (
        f"the file gives {what} than the trained net for {flips} of {count} {of}, near ties left out; the "
        f"same one is asked for {allowed.same_answer:.0%}. The largest gap of a probability is "
        f"{compared.agreement.largest_gap:.3g}."
    )
