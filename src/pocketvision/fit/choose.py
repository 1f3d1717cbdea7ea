"""Which published net to start from, judged with frozen weights on the user's own images."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.limits import LIMITS, budget_of
from pocketvision.data.check import load_dataset
from pocketvision.data.decoded import DecodedCache
from pocketvision.data.digits import resolve
from pocketvision.errors import BudgetMissed, PocketvisionError, UsageError
from pocketvision.fit.limits import Outlook, file_of, outlook, outlook_told
from pocketvision.fit.options import command
from pocketvision.fit.starts import StartCandidate, Wish, find_starts
from pocketvision.fit.timing import Timer
from pocketvision.metrics.accuracy import accuracy
from pocketvision.metrics.paired import Paired, paired
from pocketvision.probe.features import Backbone, Features, ProbeImages, ProbeViews, extract
from pocketvision.probe.heads import Balance, Head, LabeledFeatures, best_logistic, class_means
from pocketvision.progress import Progress, track
from pocketvision.settings.verbs import FitOptions, ProbeOptions
from pocketvision.tasks.classify.answers import targets as labels_of
from pocketvision.train.device import device_for
from pocketvision.train.memory import shortage
from pocketvision.values import Budget, Dataset, Latency, ModelSpec, Precision, PredictedLatency, Score, TaskSpec
from pocketvision.values.records import UNSAID

HeadKind = Literal["logistic", "mean"]
WORTH_A_WORD = 1.5
"""A net that is not measurably worse is named where it takes so many times fewer multiply-adds."""
_PASSED_ON = ("data", *LIMITS, "crop_mode", "val", "test", "seed", "device")
"""Options that mean the same to `fit`."""

Right = NDArray[np.bool_]


@dataclass(frozen=True)
class ProbedStart:
    """One start, and how well a head on its frozen features does."""

    file: str
    """Path of the weights."""
    model: ModelSpec
    """The net with your classes."""
    status: Literal["taken", "not taken", "over budget"]
    """Whether it was taken."""
    reason: str
    """Why, in words."""
    params: int
    """Learned values."""
    macs: int
    """Multiply-adds of one image."""
    size_bytes: int
    """Of the int8 file, estimated from the count; of the file that was timed, as written."""
    peak_bytes: int
    """Of activations in 8 bit; of the file that was timed, at its precision."""
    validation: Score | None = None
    """None where it breaks the budget, which is known without looking at an image."""
    test: Score | None = None
    """On the test images, by which nothing was chosen."""
    against_taken: Paired | None = None
    """This one less the taken one, on the test images, by which nothing was chosen."""
    against_taken_on_validation: Paired | None = None
    """The same on the validation images."""
    strength: float | None = None
    """Of the squared weights of the head, chosen on validation; None for class means."""
    feature_ms: float | None = None
    """Wall time of one image through the net when its features were computed, in PyTorch on this machine."""
    computed: int = 0
    """Images that were run through the net now; the features of the others were kept from before."""
    precision: Precision = "int8"
    """Of the file that size and latency are of."""
    latency: Latency | None = None
    """Of the file with fresh weights, in the runtime, on this machine; None without --max-latency, and where counts
    alone break the limits."""
    predicted: PredictedLatency | None = field(default=None, metadata=UNSAID)
    """The same on the device whose profile the budget names."""
    outlook: Outlook | None = None
    """Whether frozen weights reach the accuracy asked for on validation; None where none was."""


@dataclass(frozen=True)
class Comparison:
    """What `probe` found: the starts, best on validation first."""

    starts: tuple[ProbedStart, ...]
    """The one that was taken first, then by validation accuracy, those over the budget last."""
    sentence: str
    """Which to take, in words."""
    command: str
    """Trains and delivers the one that was taken."""
    hint: str | None
    """The cheapest start that is not measurably worse on validation, and the cheapest that reaches the accuracy asked
    for, where they are worth a word."""
    data_digest: str
    """SHA-256 that names the images with their labels."""
    seconds: dict[str, float]
    """Wall time of each stage."""


def compare(options: ProbeOptions) -> Comparison:
    """Compare starts as `probe` says."""
    budget, progress = budget_of(options), options.progress
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    place = resolve(options.data, progress)
    dataset, health, decoded = load_dataset(
        place, val=options.val, test=options.test, seed=options.seed, progress=progress
    )
    _must_be_judged(dataset)
    seconds["check"], started = _since(started)
    wish = Wish(tuple(options.resolution or ()), options.crop_mode, len(dataset.labels))
    kept, out = _within(
        _that_fit(find_starts(options.weights, wish, progress, offline=options.offline), options.device, progress),
        budget,
        dataset.labels,
        progress,
    )
    seconds["starts"], started = _since(started)
    shown, backbones = ProbeViews(options.views, options.seed), [start.backbone for start in kept]
    seen = _seen(backbones, (dataset, decoded), shown, device=options.device, progress=progress)
    seconds["features"], started = _since(started)
    heads = track(list(zip(kept, seen, strict=True)), progress, "heads", len(kept))
    tried = [_tried(start, one, dataset, head=options.head, balance=options.balance) for start, one in heads]
    seconds["heads"], _ = _since(started)
    result = _compared(sorted(tried, key=_rank), out, options, digest=health.digest, seconds=seconds)
    least = budget.limits.get("min_accuracy")
    return result if least is None else _with_outlook(result, least)


def _must_be_judged(dataset: Dataset) -> None:
    if dataset.kind != "classes":
        raise UsageError("probe compares nets on images of one class each; here they have attributes or boxes")
    if not dataset.of("val"):
        raise UsageError("nets are chosen by validation images, and there are none; give --val above 0")


def _since(started: float) -> tuple[float, float]:
    now = time.perf_counter()
    return round(now - started, 2), now


def _that_fit(starts: list[StartCandidate], device: str, progress: Progress) -> list[StartCandidate]:
    """Leave out, with a word, what memory cannot show an image to; PocketvisionError where nothing is left."""
    kept = []
    for start in starts:
        if lack := shortage(start.plain.cost, device):
            progress.say(f"left out: {start.file.name} at {start.spec.resolution} pixels: {lack}")
        else:
            kept.append(start)
    if not kept:
        raise PocketvisionError(f"{lack}; take a lower --resolution, other --weights, or end other programs")
    return kept


def _within(
    starts: list[StartCandidate], budget: Budget, labels: tuple[str, ...], progress: Progress
) -> tuple[list[StartCandidate], list[ProbedStart]]:
    """Part those that keep the limits, but for the accuracy, from those that do not."""
    kept, out, spec = [], [], TaskSpec("classify", labels)
    scale = None if "max_latency" not in budget.limits else Timer(spec, starts[0].backbone.image, budget)
    for start in track(starts, progress, "timing", len(starts)) if scale else starts:
        file, fault = file_of(start, budget, scale)
        judged = replace(start, candidate=file)
        if fault:
            out.append(_record(judged, "over budget", fault))
        else:
            kept.append(judged)
    if not kept:
        nearest = min(out, key=lambda item: item.macs)
        raise BudgetMissed(f"no start keeps the budget. The smallest is {nearest.model}: {nearest.reason}")
    return kept, out


# ---------------------------------------------------------------- features and heads


@dataclass(frozen=True, eq=False)
class _Seen:
    """Features for learning, several views of each image, and for judging, one."""

    train: Features
    rest: Features

    @property
    def image_ms(self) -> float:
        """Return the wall time of one image."""
        return self.train.stored.image_ms

    @property
    def computed(self) -> int:
        """Return how many images were run through the net now."""
        return self.train.computed + (self.rest.computed if self.rest is not self.train else 0)


def _seen(
    backbones: list[Backbone],
    data: tuple[Dataset, DecodedCache],
    views: ProbeViews,
    *,
    device: str,
    progress: Progress,
) -> list[_Seen]:
    dataset, decoded = data
    place = device_for(device)
    if views.count == 1:
        every = extract(backbones, ProbeImages(dataset, dataset.examples, decoded), device=place, progress=progress)
        return [_Seen(one, one) for one in every]
    train = ProbeImages(dataset, dataset.of("train"), decoded)
    rest = ProbeImages(dataset, dataset.of("val") + dataset.of("test"), decoded)
    both = (
        extract(backbones, train, views=views, device=place, progress=progress),
        extract(backbones, rest, device=place, progress=progress),
    )
    return [_Seen(*pair) for pair in zip(*both, strict=True)]


@dataclass(frozen=True, eq=False)
class _Tried:
    """One start with its head, and which images it answers rightly."""

    start: StartCandidate
    head: Head
    seen: _Seen
    validation: Score
    test: Score | None
    right: dict[str, Right]


def _tried(start: StartCandidate, seen: _Seen, dataset: Dataset, *, head: HeadKind, balance: Balance) -> _Tried:
    train, val, test = (dataset.of(split) for split in ("train", "val", "test"))
    count = seen.train.stored.rows.shape[1]
    features = np.concatenate([seen.train.of(train, view) for view in range(count)])
    learned = LabeledFeatures(features, np.tile(labels_of(train), count), len(dataset.labels), balance)
    val_features, val_labels = seen.rest.of(val), labels_of(val)
    fitted = class_means(learned) if head == "mean" else best_logistic(learned, val_features, val_labels)
    logits = fitted.logits(val_features)
    test_logits, test_labels = fitted.logits(seen.rest.of(test)), labels_of(test)
    right = {
        "val": logits.argmax(axis=1) == val_labels,
        "test": test_logits.argmax(axis=1) == test_labels,
    }
    tested = accuracy(test_logits, test_labels) if test else None
    return _Tried(start, fitted, seen, accuracy(logits, val_labels), tested, right)


def _rank(tried: _Tried) -> tuple[float, int, str]:
    """Best on validation first; of equal ones the cheaper. Test images have no say."""
    return -tried.validation.value, tried.start.candidate.cost.macs, tried.start.file.name


# ---------------------------------------------------------------- the result


def _compared(
    tried: list[_Tried], out: list[ProbedStart], options: ProbeOptions, *, digest: str, seconds: dict[str, float]
) -> Comparison:
    best = tried[0]
    starts = [_judged(best, best, "taken", "best on validation"), *(_judged(one, best) for one in tried[1:])]
    spec = best.start.spec
    shared = {name: getattr(options, name) for name in _PASSED_ON}
    wanted = FitOptions(weights=best.start.file.as_posix(), resolution=spec.resolution, **shared)
    if options.balance != "none":
        wanted = replace(wanted, balance=options.balance)
    told = f" and {best.test.value:.1%} on test images" if best.test else ""
    sentence = (
        f"Take {best.start.file.name} ({spec}): with frozen weights {best.validation.value:.1%} on validation{told}. "
        "Training all of it usually does better still:"
    )
    return Comparison(tuple(starts + out), sentence, command("fit", wanted), hint_for(starts), digest, seconds)


def _with_outlook(result: Comparison, asked: float) -> Comparison:
    """Add what frozen weights say of the accuracy asked for, and the cheapest start that reaches it."""
    starts = tuple(
        replace(one, outlook=outlook(one.validation, asked)) if one.validation else one for one in result.starts
    )
    taken = starts[0]
    assert taken.validation is not None
    cheapest = min((one for one in starts if one.outlook == "reached"), key=lambda one: one.macs, default=taken)
    hints = [result.hint] if result.hint else []
    if taken.macs >= WORTH_A_WORD * cheapest.macs:
        hints.append(
            f"{Path(cheapest.file).name} ({cheapest.model}) reaches the {asked:.1%} asked for too, with "
            f"{taken.macs / cheapest.macs:.1f} times fewer multiply-adds."
        )
    sentence = f"{outlook_told(taken.validation, asked)}\n{result.sentence}"
    return replace(result, starts=starts, sentence=sentence, hint=" ".join(hints) or None)


def _judged(
    one: _Tried, best: _Tried, status: Literal["taken", "not taken"] = "not taken", reason: str = ""
) -> ProbedStart:
    other = None if one is best else best
    on_test = paired(one.right["test"], other.right["test"]) if other and one.test else None
    on_validation = paired(one.right["val"], other.right["val"]) if other else None
    return replace(
        _record(one.start, status, reason or f"on validation {on_validation}"),
        validation=one.validation,
        test=one.test,
        against_taken=on_test,
        against_taken_on_validation=on_validation,
        strength=one.head.strength or None,
        feature_ms=round(one.seen.image_ms, 3),
        computed=one.seen.computed,
    )


def _record(start: StartCandidate, status: Literal["taken", "not taken", "over budget"], reason: str) -> ProbedStart:
    cost = start.candidate.cost
    return ProbedStart(
        file=start.file.as_posix(),
        model=start.spec,
        status=status,
        reason=reason,
        params=cost.params,
        macs=cost.macs,
        size_bytes=start.candidate.size_bytes,
        peak_bytes=cost.peak_activation_bytes,
        precision=start.candidate.precision,
        latency=start.candidate.latency,
        predicted=start.candidate.predicted,
    )


def hint_for(starts: Sequence[ProbedStart]) -> str | None:
    """Name the cheapest net that validation cannot tell from the taken one, if it is much cheaper."""
    taken, *others = starts
    equal = [one for one in others if one.against_taken_on_validation and one.against_taken_on_validation.noise]
    cheapest = min(equal, key=lambda one: one.macs, default=taken)
    factor, paired_with = taken.macs / cheapest.macs, cheapest.against_taken_on_validation
    if factor < WORTH_A_WORD or paired_with is None:
        return None
    return (
        f"{Path(cheapest.file).name} ({cheapest.model}) takes {factor:.1f} times fewer multiply-adds, and on "
        f"validation {paired_with}; it may cost up to {-100 * paired_with.low:.1f} points."
    )
