"""What is asked of a net: one folder a task, its name the task's name, with the same two files in each.

`answers.py` needs numpy alone: what a target is, how the graph ends, how outputs are decided, scored and compared.
`learning.py` needs torch: what training lowers, and what an epoch is worth. Both are modules of plain functions, as
`TaskAnswers` and `Learning` say, so that adding a task is adding a folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UnknownName, WeightsError
from pocketvision.graph.endings import Ends
from pocketvision.values import (
    AttributeScore,
    Confidence,
    Curve,
    Dataset,
    Example,
    FoundBox,
    Kind,
    Manifest,
    ModelSpec,
    Score,
    Target,
    TaskSpec,
)

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Decisions:
    """What outputs come to, image by image."""

    told: tuple[str, ...]
    """Of each image [N], in words."""
    probability: NDArray[np.float64]
    """Of what is told [N]; of several decisions, that of the least sure one."""
    choices: Integers
    """[N] or [N, decisions]: equal where two nets decide alike."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a net in training is worth on the validation images."""

    losses: NDArray[np.float64]
    """Cross-entropy of each image at the best temperature, times what its labels count [N]."""
    accuracy: float
    """Share of right decisions."""
    macro: float
    """The mean over the labels, each counting the same however rare."""

    @property
    def loss(self) -> float:
        """Return the mean over the images."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Judgment:
    """What answers are worth, as far as it means something for a task."""

    score: Score
    parts: tuple[AttributeScore, ...] = ()
    """Of each attribute, or of each class of boxes, by itself; empty where labels exclude each other."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """How often each label [rows] was answered as each [columns], of boxes the background as the last; empty where
    labels do not exclude others."""
    curves: tuple[Curve, ...] = ()
    """Precision against recall of each class of boxes; empty where answers are about the whole image."""


class TaskAnswers(Protocol):
    """What `tasks/<task>/answers.py` defines."""

    WORD: str
    """The task's name inside delivered files."""
    KIND: Kind
    """The data that it is learned from."""
    METRIC: str
    """What `score` measures."""
    WATCHED: str
    """What `Evaluation.accuracy` is called while a net learns."""
    TEMPERED: bool
    """Whether one temperature of all logits makes probabilities truer."""

    CROPS: bool
    """Whether the middle of an image may stand for all of it."""
    PREDICTED: bool
    """Whether published accuracies and frozen features predict the metric; else they only put nets in an order."""

    def resolution(self, short_side: int) -> int:
        """Return the pixels a side beyond which images of this median short side tell a net nothing more."""
        ...

    def fitted(self, model: ModelSpec, examples: Sequence[Example]) -> ModelSpec:
        """Return a net with what in it depends on the training examples."""
        ...

    def stand_in(self, spec: TaskSpec, images: int) -> tuple[NDArray[np.float32], Any]:
        """Return answers and targets that take as much room in a file as real ones."""
        ...

    def ending(self, spec: TaskSpec) -> Ends:
        """Return what makes the endings of a graph: they turn what the net gives into answers."""
        ...

    def read(self, text: str, labels: Sequence[str]) -> Target:
        """Return the target that `write` wrote; raises ValueError for any other text."""
        ...

    def write(self, target: Target, labels: Sequence[str]) -> str:
        """Return a target as a text on one line; two are equal where their texts are."""
        ...

    def contradict(self, one: str, other: str) -> bool:
        """Tell whether two texts that `write` wrote cannot both be true of one image."""
        ...

    def targets(self, examples: Sequence[Example]) -> Integers:
        """Return the targets as an array of one row an example: [N] or [N, labels]."""
        ...

    def probabilities(self, logits: Floats, spec: TaskSpec) -> NDArray[np.float32]:
        """Return the answers that the graph's endings make of logits [N, ...]."""
        ...

    def logits(self, probabilities: Floats) -> NDArray[np.float64]:
        """Return logits that have these probabilities."""
        ...

    def temperature(self, logits: Floats, targets: Integers) -> float:
        """Return what logits are best divided by."""
        ...

    def confidence(self, probabilities: Floats, targets: Integers) -> Confidence | None:
        """Return how far probabilities can be trusted; None where answers are more than probabilities."""
        ...

    def evaluate(self, logits: Floats, targets: Integers, weights: Floats | None, spec: TaskSpec) -> Evaluation:
        """Return what logits [N, labels] are worth; with `weights` [labels] each label counts by its own.

        The temperature is fitted because the file's will be too; without it, label smoothing, which makes a net ever
        less confident, would count against the later and better epochs.
        """
        ...

    def settle(self, probabilities: Floats, targets: Integers, spec: TaskSpec) -> TaskSpec:
        """Return the spec with what is settled on validation answers."""
        ...

    def rule(self, spec: TaskSpec) -> str:
        """Say from which probabilities on something counts as there; empty where nothing of the kind is settled."""
        ...

    def decide(self, probabilities: Floats, spec: TaskSpec) -> Decisions:
        """Return what probabilities [N, labels] come to."""
        ...

    def found(self, answer: Floats, spec: TaskSpec) -> tuple[FoundBox, ...]:
        """Return the boxes that one answer counts, best first, corners as shares of what the net saw of the image.

        Empty where answers are not about places.
        """
        ...

    def decided(self, targets: Integers, spec: TaskSpec) -> Integers:
        """Return the decisions that are right, shaped as `Decisions.choices`; of boxes how many there are of each."""
        ...

    def told(self, target: Target, spec: TaskSpec) -> str:
        """Return a target in the words of `Decisions.told`."""
        ...

    def wrong(self, choices: Integers, target: Target, spec: TaskSpec) -> tuple[str, ...] | None:
        """Return which of an image's decisions, one row of `Decisions.choices`, are wrong; None for a single one."""
        ...

    def score(self, probabilities: Floats, targets: Integers, spec: TaskSpec) -> Score:
        """Return what answers are worth by the task's metric."""
        ...

    def judge(self, probabilities: Floats, targets: Integers, spec: TaskSpec) -> Judgment:
        """Return what answers are worth in every respect."""
        ...

    def clearly_lost(self, ours: Floats, theirs: Floats, spec: TaskSpec, *, tie: float) -> NDArray[np.bool_]:
        """Tell which decisions of `ours` the other net is against by more than `tie`: shaped as `choices`."""
        ...

    def gaps(self, ours: Floats, theirs: Floats) -> NDArray[np.float64]:
        """Return the largest difference between two nets' answers to each image [N], 0..1."""
        ...

    def below(self, measured: Score, stated: Score) -> bool:
        """Tell whether a figure is below the one stated for the same images by more than chance explains."""
        ...


class Targeted(Protocol):
    """A batch as losses need it: `targets` are a tensor, [n] or [n, labels]."""

    @property
    def targets(self) -> Any:
        """Return the targets."""
        ...


@dataclass(frozen=True)
class TrainDefaults:
    """How a task is trained where the user says nothing; docs/measurements has the figures behind each."""

    transfer_epochs: int = 6
    """From given weights."""
    scratch_epochs: int = 40
    head_epochs: int = 20
    """From given weights, of the head alone on features that are computed once."""
    upper: bool = True
    """Whether it does to train the upper layers of given weights on the maps of a few views."""
    progressive: bool = True
    """Whether early epochs from given weights may see smaller images."""
    momentum: bool = True
    """Whether a net with batch norms is trained by SGD with momentum from scratch; else by AdamW."""
    picked: int = 4
    """Different nets that are trained for a few epochs, where there are weights to start from."""
    finalists: int = 2
    """Nets of those that are trained to the end."""


class Learning(Protocol):
    """What `tasks/<task>/learning.py` defines; its types are torch's, which nothing here loads."""

    DEFAULTS: TrainDefaults
    PLACED: bool
    """Whether targets say where things are, so that they move with what a random view shows of the image."""

    def objective(self, targets: Integers, outputs: int, spec: TaskSpec, *, balance: str, smoothing: float) -> Any:
        """Return what training lowers (`train.objective.Objective`), and what each label counts in validation."""
        ...

    def soften(self, logits: Any, temperature: float) -> Any:
        """Return the probabilities of logits [n, labels] at a temperature: what a teacher's answers are kept as."""
        ...

    def imitation(self, logits: Any, wanted: Any, temperature: float) -> Any:
        """Return how far logits [n, labels] at a temperature are from softened answers, a scalar with its gradient."""
        ...

    def start_head(self, classifier: Any, targets: Integers) -> None:
        """Give a fresh classifier (`nn.Module`) what is known of the answers before training."""
        ...


def names() -> tuple[str, ...]:
    """Return the names of all tasks."""
    return tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/answers.py")))


def load(name: str) -> TaskAnswers:
    """Return a task's numpy half by its name; raises UnknownName for a task that does not exist."""
    return cast(TaskAnswers, _module(name, "answers"))


def learning(name: str) -> Learning:
    """Return a task's torch half."""
    return cast(Learning, _module(name, "learning"))


def name_for(kind: Kind) -> str | None:
    """Return the task that is learned from data of a kind; None where there is none yet."""
    return next((name for name in names() if kind == load(name).KIND), None)


def of_kind(kind: Kind) -> TaskAnswers:
    """Return the task that is learned from data of a kind."""
    name = name_for(kind)
    assert name is not None, f"no task learns from {kind}"
    return load(name)


def spec_for(dataset: Dataset) -> TaskSpec:
    """Return what is asked of a net that learns from a data set, with nothing settled yet."""
    name = name_for(dataset.kind)
    assert name is not None, f"no task learns from {dataset.kind}"
    return TaskSpec(name, dataset.labels)


def spec_for_net(spec: TaskSpec, model: ModelSpec) -> TaskSpec:
    """Return what is asked of a net, with where its outputs stand in the image."""
    if model.detector is None:
        return spec
    return replace(spec, maps=model.detector.maps, resolution=model.resolution)


def ending_of(model: ModelSpec, labels: Sequence[str] = ()) -> Ends:
    """Return what makes the endings of a net's graph by what the net is alone: of a detector boxes, else one class."""
    task = of_kind("classes" if model.detector is None else "boxes")
    return task.ending(spec_for_net(TaskSpec(task.WORD, tuple(labels)), model))


def spec_of(manifest: Manifest) -> TaskSpec:
    """Return what a delivered file was made for; raises WeightsError for a task that this version does not know."""
    words = {word: name for name in names() for word in (name, load(name).WORD)}
    if manifest.task not in words:
        raise WeightsError(
            f"the file is for the task '{manifest.task}', and this version knows {', '.join(sorted(words))}: use a "
            "newer version"
        )
    return spec_for_net(TaskSpec(words[manifest.task], manifest.labels, manifest.thresholds), manifest.model)


def _module(name: str, half: str) -> object:
    if name not in names():
        raise UnknownName("task", name, names())
    return import_module(f"pocketvision.tasks.{name}.{half}")
