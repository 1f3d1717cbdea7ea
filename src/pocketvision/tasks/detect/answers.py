"""Boxes with a class and a score each: anchors decoded, overlapping ones left out, average precision from overlaps.

Targets are float32 [N, G, 7]: label (-1 behind the last), y1, x1, y2, x2 as shares of the image, area in pixels, and 1
for difficult or 2 for crowds. Logits are [N, A, 4 + K]: codes, then classes. Answers are [N, M, 6]: y1, x1, y2, x2,
class, score, best first, zeros behind the last.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph import boxes
from pocketvision.graph.endings import Ends
from pocketvision.graph.graph import Ending, Sigmoid, Suppress
from pocketvision.graph.real import sigmoid
from pocketvision.metrics import detection
from pocketvision.metrics.box_matches import CROWD, DIFFICULT, ClassMatches
from pocketvision.tasks import Decisions, Evaluation, Floats, Integers, Judgment
from pocketvision.tasks.detect.anchors import coverage, fitted_maps, plain_boxes
from pocketvision.tasks.detect.text import boxes_of, read, write
from pocketvision.values import (
    AttributeScore,
    Box,
    Confidence,
    Curve,
    CurvePoint,
    DetectorSpec,
    Example,
    FoundBox,
    Kind,
    ModelSpec,
    Score,
    Target,
    TaskSpec,
)

__all__ = ["read", "write"]
WORD = "detection"
KIND: Kind = "boxes"
METRIC = "AP50"
WATCHED = "AP50"
TEMPERED = False
CROPS = False
PREDICTED = False
LEAST_SCORE, MOST_OVERLAP, MOST = 0.05, 0.5, 100
"""What a file gives at all: boxes from this score on, no two of a class that overlap more, so many an image."""
REACHED = 0.9
"""Share of each class's boxes that a net's own anchors are to reach, so that none are fitted anew."""
USUAL, SMALLEST, STEP = 320, 128, 32
"""Resolution that the papers' detectors take, the smallest, and what all are multiples of: the coarsest stride."""
NONE = "(none)"
"""What is told of an image in which nothing is found."""
_SEEN, _SAME, _ALIKE = 0.2, 0.5, 0.45
"""From which score on a box is compared with another net's, from which overlap on two are the same, and from which on
one may have suppressed the other, rounding included."""


def resolution(short_side: int) -> int:
    """Return the papers' 320 pixels, or fewer where the images have no more."""
    return max(SMALLEST, min(USUAL, short_side // STEP * STEP))


def fitted(model: ModelSpec, examples: Sequence[Example]) -> ModelSpec:
    """Return the net with maps and anchors for the things in these examples, or with its own where these reach them."""
    things, labels = plain_boxes(targets(examples))
    if model.detector is not None and len(things):
        reached = coverage(things, labels, model.detector.maps, model.resolution, num_classes=model.num_classes)
        if np.nanmin(reached) >= REACHED:
            return model
    return replace(model, detector=DetectorSpec(fitted_maps(things, model.resolution, labels=labels)))


def stand_in(spec: TaskSpec, images: int) -> tuple[NDArray[np.float32], Floats]:
    """Return one box of each class in every image, and the same boxes as targets."""
    sides = np.arange(1, 1 + len(spec.labels))[:, None] / (2 + len(spec.labels)) * [0.5, 0.25, 1, 0.75]
    labels = np.arange(len(spec.labels))[:, None]
    rows = np.concatenate([sides, labels, np.full(labels.shape, 0.123456)], axis=1)[:MOST]
    answers = np.zeros((images, MOST, 6), np.float32)
    answers[:, : len(rows)] = rows
    truth = np.concatenate([labels, sides, np.full(labels.shape, 4000.0), np.zeros(labels.shape)], axis=1)
    return answers, np.repeat(truth[None].astype(np.float32), images, axis=0)


def ending(spec: TaskSpec) -> Ends:
    """Return what makes boxes of the codes and logits of a net whose maps the spec names."""
    anchors = boxes.anchors(spec.maps, spec.resolution)

    def ends(outputs: tuple[str, ...]) -> tuple[Ending, ...]:
        codes, logits = outputs
        suppress = Suppress("detections", (codes, "scores"), anchors, LEAST_SCORE, MOST_OVERLAP, MOST)
        return Sigmoid("scores", (logits,)), suppress

    return ends


def contradict(one: str, other: str) -> bool:
    """Tell whether two texts name other boxes."""
    return one != other


def targets(examples: Sequence[Example]) -> NDArray[np.float32]:
    """Return the examples' boxes [N, G, 7]; G is the most of any image, and 1 at least."""
    rows = [[_row(box) for box in boxes_of(example.target)] for example in examples]
    found = np.zeros((len(rows), max([1, *map(len, rows)]), 7), np.float32)
    found[..., 0] = -1
    for place, row in enumerate(rows):
        if row:
            found[place, : len(row)] = row
    return found


def _row(box: Box) -> tuple[float, ...]:
    flag = CROWD if box.crowd else DIFFICULT if box.difficult else 0
    return box.label, box.y1, box.x1, box.y2, box.x2, box.area or 0.0, flag


def probabilities(logits: Floats, spec: TaskSpec) -> NDArray[np.float32]:
    """Return the boxes that logits come to [N, M, 6]."""
    anchors = boxes.anchors(spec.maps, spec.resolution)
    found = np.zeros((len(logits), MOST, 6), np.float32)
    for place, row in enumerate(logits):
        scores = sigmoid(row[:, 4:].astype(np.float32))
        near = np.flatnonzero(scores.max(axis=1) >= LEAST_SCORE)
        decoded = boxes.decode(row[near, :4].astype(np.float32), anchors[near])
        found[place] = boxes.suppress(
            decoded, scores[near], score_threshold=LEAST_SCORE, iou_threshold=MOST_OVERLAP, most=MOST
        )
    return found


def logits(probabilities: Floats) -> NDArray[np.float64]:
    """Return nothing: boxes are no logits any more."""
    raise AssertionError("boxes have no logits")


def temperature(logits: Floats, targets: Floats) -> float:
    """Return 1: scores are compared with one threshold, and no temperature changes what is above it."""
    return 1.0


def confidence(probabilities: Floats, targets: Floats) -> Confidence | None:
    """Return None: a score says how sure a box is, not how probable."""
    return None


def evaluate(logits: Floats, targets: Floats, weights: Floats | None, spec: TaskSpec) -> Evaluation:
    """Return 1 less the average precision of each image by itself, AP50 of all as accuracy, and AP as its macro.

    An image's own is the mean over the overlaps from .5 to .95 and over the classes that it shows; where it shows none
    it is 1 less the best score.
    """
    found = probabilities(logits, spec)
    matches = detection.match(targets, found, len(spec.labels))
    every = detection.figures(matches)
    return Evaluation(1 - _of_each(matches, found), every.get("AP50", 0.0), every.get("AP", 0.0))


def _of_each(matches: detection.Matches, found: Floats) -> NDArray[np.float64]:
    """Return the average precision of each image by itself [N]."""
    total, shown = np.zeros(matches.images), np.zeros(matches.images)
    for one in matches.classes:
        there = one.there[:, 0]
        order = np.lexsort((one.rank, one.image))
        image, hit = one.image[order], one.hit[order, 0].astype(np.float64)
        counts = (~one.ignored[order, 0]).astype(np.float64)
        first = np.searchsorted(image, image)
        hits, said = (np.cumsum(part, axis=0) - (np.cumsum(part, axis=0) - part)[first] for part in (hit, counts))
        steps = (hit * hits / np.maximum(said, 1)).mean(axis=1)
        total += np.bincount(image, steps, matches.images) / np.maximum(there, 1)
        shown += there > 0
    empty = 1 - found[:, 0, 5].astype(np.float64)
    return np.where(shown > 0, total / np.maximum(shown, 1), empty)


def settle(probabilities: Floats, targets: Floats, spec: TaskSpec) -> TaskSpec:
    """Choose the one score from which on boxes count, by F1 on validation answers; without images 1/2."""
    matches = detection.match(targets, probabilities, len(spec.labels)) if len(targets) else None
    score = 0.5 if matches is None else detection.best_threshold(matches)
    return replace(spec, thresholds=(float(f"{score:.3g}"),) * len(spec.labels))


def rule(spec: TaskSpec) -> str:
    """Say the one threshold of all boxes."""
    return f"a box counts from a score of {spec.thresholds[0]:.3g} on, that of the best F1 on validation images"


def decide(probabilities: Floats, spec: TaskSpec) -> Decisions:
    """Count the boxes of each class from its score on; the probability is the score of the least sure one of them."""
    labels, there = _counted(probabilities, spec)
    counts = np.stack([((labels == place) & there).sum(axis=1) for place in range(len(spec.labels))], axis=1)
    least = np.where(there, probabilities[..., 5], 1.0).min(axis=1, initial=1.0)
    told = tuple(_told(Counter(dict(zip(spec.labels, row.tolist(), strict=True)))) for row in counts)
    return Decisions(told, least.astype(np.float64), counts.astype(np.int64))


def _counted(probabilities: Floats, spec: TaskSpec) -> tuple[Integers, NDArray[np.bool_]]:
    """Return each row's class, and whether its score reaches the class's threshold."""
    labels = probabilities[..., 4].astype(np.int64)
    thresholds = np.asarray(spec.thresholds or (0.5,) * len(spec.labels))
    return labels, (probabilities[..., 5] >= thresholds[labels]) & (probabilities[..., 5] > 0)


def found(answer: Floats, spec: TaskSpec) -> tuple[FoundBox, ...]:
    """Return the boxes from the threshold on, best first."""
    labels, there = _counted(answer, spec)
    return tuple(
        FoundBox(spec.labels[label], int(label), round(float(row[5]), 6), *(float(row[side]) for side in (1, 0, 3, 2)))
        for label, row in zip(labels[there], answer[there], strict=True)
    )


def decided(targets: Floats, spec: TaskSpec) -> Integers:
    """Return how many boxes of each class there are in each image [N, K], crowds and difficult ones left out."""
    plain = np.where(targets[..., 6] == 0, targets[..., 0], -1)
    return np.stack([(plain == place).sum(axis=1) for place in range(len(spec.labels))], axis=1).astype(np.int64)


def told(target: Target, spec: TaskSpec) -> str:
    """Return how many there are of each class."""
    return _told(Counter(spec.labels[box.label] for box in boxes_of(target)), spec.labels)


def _told(counts: Counter[str], order: Sequence[str] = ()) -> str:
    names = order or tuple(counts)
    return ", ".join(f"{counts[name]} {name}" for name in names if counts[name]) or NONE


def wrong(choices: Integers, target: Target, spec: TaskSpec) -> tuple[str, ...] | None:
    """Return the classes of which not as many are found as there are."""
    there = Counter(box.label for box in boxes_of(target))
    return tuple(label for place, label in enumerate(spec.labels) if int(choices[place]) != there[place])


def score(probabilities: Floats, targets: Floats, spec: TaskSpec) -> Score:
    """Return AP50 with a bootstrap interval over images; `others` has COCO's and VOC's figures and those at the
    threshold."""
    return judge(probabilities, targets, spec).score


def judge(probabilities: Floats, targets: Floats, spec: TaskSpec) -> Judgment:
    """Return the score, what each class is worth, which is taken for which, and precision against recall.

    Truth and answers are matched once.
    """
    matches = detection.match(targets, probabilities, len(spec.labels))
    precision, threshold = detection.average_precision(matches), spec.thresholds[0] if spec.thresholds else 0.5
    others = {name: figure for name, figure in detection.figures(matches).items() if name != METRIC}
    voc = detection.voc_average_precision(targets, probabilities, len(spec.labels))
    if not np.isnan(voc).all():
        others["VOC AP"] = float(np.nanmean(voc))
    counts = detection.counted(matches, threshold)
    if spec.thresholds:
        others |= dict(zip(("precision", "recall", "F1"), counts.overall, strict=True))
    matrix = detection.confusion(matches, targets, probabilities, threshold)
    ends = precision.value, precision.low, precision.high
    return Judgment(
        Score(*ends, len(targets), metric=METRIC, others=others),
        tuple(_part(name, place, precision, counts, threshold=threshold) for place, name in enumerate(spec.labels)),
        tuple(tuple(int(cell) for cell in row) for row in matrix),
        tuple(_curve(name, one) for name, one in zip(spec.labels, matches.classes, strict=True)),
    )


def _part(
    name: str, place: int, value: detection.AveragePrecision, at: detection.BoxCounts, *, threshold: float
) -> AttributeScore:
    there, known = int(at.there[place]), not np.isnan(value.classes[place])
    low, high = (float(value.class_low[place]), float(value.class_high[place])) if known else (0.0, 1.0)
    ap, *shares = (_or_none(part[place]) for part in (value.classes, at.precision, at.recall, at.f1))
    return AttributeScore(name, there, there, ap, low, high, threshold, *shares)


def _curve(name: str, one: ClassMatches) -> Curve:
    return Curve(name, tuple(CurvePoint(*(round(value, 5) for value in point)) for point in detection.curve(one)))


def _or_none(figure: float) -> float | None:
    return None if np.isnan(figure) else float(figure)


def clearly_lost(ours: Floats, theirs: Floats, spec: TaskSpec, *, tie: float) -> NDArray[np.bool_]:
    """Tell of which classes a box that one net gives, `tie` above the threshold, is none of the other's [N, K]."""
    lost = np.zeros((len(ours), len(spec.labels)), bool)
    for place, pair in enumerate(zip(ours, theirs, strict=True)):
        for one, other in (pair, pair[::-1]):
            for label, score, overlap in _beside(one, other):
                threshold = spec.thresholds[label] if spec.thresholds else 0.5
                lost[place, label] |= score >= threshold + tie and overlap < _SAME
    return lost


def _beside(one: Floats, other: Floats) -> list[tuple[int, float, float]]:
    """Return class and score of each box, and its largest overlap with one of the other's of its class."""
    one, other = (rows[rows[:, 5] > 0] for rows in (one, other))
    overlaps = boxes.iou(one[:, :4], other[:, :4]) * (one[:, None, 4] == other[None, :, 4])
    best = overlaps.max(axis=1, initial=0.0)
    return [(int(row[4]), float(row[5]), float(overlap)) for row, overlap in zip(one, best, strict=True)]


def gaps(ours: Floats, theirs: Floats) -> NDArray[np.float64]:
    """Return the largest amount by which a score is above that of like boxes of the other net [N].

    Boxes of one class that overlap by about half are alike; one without a counterpart differs by its whole score. A
    better counterpart is no difference: which of two boxes that overlap by just so much is kept is chance, and a wrong
    score shows on the other side. Those below a score of 0.2 are left out, for the same reason.
    """
    return np.array([max(_gap(*pair), _gap(*pair[::-1])) for pair in zip(ours, theirs, strict=True)])


def _gap(one: Floats, other: Floats) -> float:
    one, other = one[one[:, 5] >= _SEEN], other[other[:, 5] > 0]
    overlaps = boxes.iou(one[:, :4], other[:, :4]) * (one[:, None, 4] == other[None, :, 4])
    above = np.where(overlaps >= _ALIKE, np.maximum(one[:, None, 5] - other[None, :, 5], 0), one[:, None, 5])
    return float(above.min(axis=1, initial=1.0).clip(max=one[:, 5]).max(initial=0.0))


def below(measured: Score, stated: Score) -> bool:
    """Compare by the intervals."""
    return measured.high < stated.low
