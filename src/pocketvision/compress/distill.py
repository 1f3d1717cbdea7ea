"""A graph learns what another one answers: on unlabeled images, in random views, and never further than is told.

The targets are the other net's softened probabilities (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.augment import Augment, augment, seeds_of
from pocketvision.errors import GraphError
from pocketvision.graph.autograd import Passed, Sums, said, sums_of
from pocketvision.graph.graph import Conv, Graph, Input, Linear, Node, Sigmoid, Softmax, Suppress
from pocketvision.graph.run import Images
from pocketvision.progress import Progress, Silent, track
from pocketvision.tasks import learning

BATCH = 32
JUDGED = 256
"""Images by which it is told how near the answers have come."""
LOOKED = 50
"""Steps between two such looks."""
EPS = 1e-12
"""Far below the gradients, which are as small as the nets are sure."""
_MEAN, _SQUARES = 0.9, 0.999
"""How slowly Adam forgets gradients and their squares."""
_TIMED = 3
"""Steps that are timed where there is a limit; they teach nothing."""
_WARMUP = 0.1
"""Share of the steps in which the rate rises."""


_TASKS: Mapping[type[Node], str] = {Softmax: "classify", Sigmoid: "attributes", Suppress: "detect"}
"""By what a graph ends with."""


class StudentGraph(Protocol):
    """A graph whose weights are tensors that learn."""

    @property
    def graph(self) -> Graph:
        """Return the float graph whose kernels it runs."""

    def values(self) -> Sequence[Tensor]:
        """Return what learns, each with a unit of its own."""

    def sums(self, node: Conv | Linear, x: Tensor) -> Tensor:
        """Run a layer with weights."""

    def passed(self, node: Node, value: Tensor) -> Tensor:
        """Return what goes on of a node's value."""


@dataclass(frozen=True)
class Course:
    """How long and how fast a graph learns."""

    steps: int = 300
    """Batches of 32 images."""
    rate: float = 0.03
    """Of the values' units a step, for a gradient of the usual size."""
    temperature: float = 4.0
    """Softens both nets' answers: those of nets of few classes are so sure that they tell little."""
    seed: int = 0
    """Of the images' order and views."""
    within_s: float = math.inf
    """Seconds; the steps are fewer where they would take longer."""


class SharedAdam(torch.optim.Optimizer):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980) with one second moment for each tensor.

    Weights that the answer hardly depends on then hardly move. With a second moment for each weight every one moves as
    far, and integers all change their levels within the same few steps. Zhang et al. 2024
    (https://arxiv.org/abs/2406.16793) share it within blocks to save memory.
    """

    def __init__(self, values: Sequence[Tensor], lr: float = 1e-3, eps: float = EPS) -> None:
        super().__init__(values, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move all values against their gradients."""
        for group in self.param_groups:
            for value in group["params"]:
                state = self.state[value]
                if not state:
                    state |= {"count": 0, "mean": torch.zeros_like(value), "square": torch.zeros(())}
                state["count"] += 1
                state["mean"].lerp_(value.grad, 1 - _MEAN)
                state["square"].lerp_(value.grad.square().mean(), 1 - _SQUARES)
                warm, full = 1 - _MEAN ** state["count"], 1 - _SQUARES ** state["count"]
                spread = (state["square"] / full).sqrt() + group["eps"]
                value.sub_(state["mean"] * (group["lr"] / warm) / spread)


class Lesson:
    """The images, what the teacher answers to them, and how far a student is from it."""

    def __init__(self, teacher: Graph, images: Images, course: Course) -> None:
        """Take a float graph without Affines; raises GraphError where it gives no classes, attributes or boxes."""
        ending = type(teacher.nodes[-1])
        if ending not in _TASKS:
            raise GraphError("answers are learned of nets of classes, attributes or boxes; this one gives none")
        self._teacher, self._images, self._course = teacher, images, course
        self._weights, self._task = layer_weights(teacher), learning(_TASKS[ending])
        # That nothing is there is sure nearly everywhere, and softened it would outweigh the boxes.
        self._heat = 1.0 if ending is Suppress else course.temperature

    def loss(self, student: StudentGraph, images: Images) -> Tensor:
        """Return how far a student is from the teacher over images [n, R, R, C]; its gradients are as large as at
        temperature 1."""
        answers = _answers(student.graph, images, student.sums, student.passed)
        wanted = self._task.soften(self.taught(images), self._heat)
        loss: Tensor = self._heat**2 * self._task.imitation(answers, wanted, self._heat)
        return loss

    @torch.no_grad()
    def taught(self, images: Images) -> Tensor:
        """Return the teacher's answers, as the task's loss takes them."""
        return _answers(self._teacher, images, fixed(self._teacher, self._weights), lambda _, x: x)

    @torch.no_grad()
    def judged(self, student: StudentGraph) -> float:
        """Return the mean divergence over some of the images, as they are."""
        chosen = self._images[:: max(1, -(-len(self._images) // JUDGED))]
        parts = [chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH)]
        return sum(float(self.loss(student, part)) * len(part) for part in parts) / len(chosen)

    def view(self, step: int) -> Images:
        """Return random views of some images, the same ones for the same step and seed."""
        seed, count = self._course.seed, len(self._images)
        rng = np.random.default_rng([seed, step])
        chosen = rng.choice(count, min(BATCH, count), replace=False)
        pixels = torch.from_numpy(np.ascontiguousarray(self._images[chosen]))
        views = augment(pixels, pixels.shape[1], VIEWS, seeds=seeds_of(seed, step, chosen))
        shown: NDArray[np.uint8] = (255 * views).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        return shown


def _answers(graph: Graph, images: Images, sums: Sums, passed: Passed) -> Tensor:
    """Return logits [N, C], of a detector codes and logits of each anchor [N, L, 4 + K]."""
    codes, logits = said(graph, images, sums, _channels_last(passed))
    return logits if codes is None else torch.cat([codes, logits], 1).transpose(1, 2)


VIEWS = Augment()


def learn(
    student: StudentGraph,
    teacher: Graph,
    images: Images,
    course: Course,
    *,
    optimizer: type[SharedAdam | torch.optim.Adam],
    progress: Progress = Silent(),
) -> bool:
    """Let a student learn what a float graph answers to images [N, R, R, C]; tell whether it came nearer.

    It is left as it was when it was nearest. Raises GraphError for a teacher that answers with no classes,
    attributes or boxes.
    """
    started = time.monotonic()
    lesson, values = Lesson(teacher, images, course), student.values()
    nearest, least = [value.detach().clone() for value in values], lesson.judged(student)
    course, better = _shortened(course, student, lesson, started), False
    adam = optimizer([value for value in values if value.numel()], lr=course.rate, eps=EPS)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: share_at(course, step))
    for step in track(range(course.steps), progress, "learn from the float net", course.steps):
        lesson.loss(student, lesson.view(step)).backward()  # type: ignore[no-untyped-call]
        adam.step()
        adam.zero_grad()
        schedule.step()
        if (step + 1) % LOOKED == 0 or step + 1 == course.steps:
            loss = lesson.judged(student)
            if loss < least:
                nearest, least, better = [value.detach().clone() for value in values], loss, True
    with torch.no_grad():
        for value, kept in zip(values, nearest, strict=True):
            value.copy_(kept)
    return better


def _shortened(course: Course, student: StudentGraph, lesson: Lesson, started: float) -> Course:
    """Leave as many steps as the time allows, after the judging before and with that to come."""
    if math.isinf(course.within_s):
        return course
    judging, started_trial = time.monotonic() - started, time.monotonic()
    for step in range(_TIMED):
        lesson.loss(student, lesson.view(step)).backward()  # type: ignore[no-untyped-call]
    for value in student.values():
        value.grad = None
    each = (time.monotonic() - started_trial) / _TIMED
    left = course.within_s - (time.monotonic() - started) - judging
    return replace(course, steps=max(0, min(course.steps, int(left / each))))


def share_at(course: Course, step: int) -> float:
    """Return the share of the rate in a step: it rises at first, and falls along a cosine to nothing."""
    rising = min(1.0, (step + 1) / max(1.0, _WARMUP * course.steps))
    return rising * (1 + math.cos(math.pi * step / max(1, course.steps))) / 2


Weights = Mapping[str, tuple[Tensor, Tensor]]
"""Weight and bias by the layer's name."""


def layer_weights(graph: Graph) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the weights of a float graph as tensors."""
    return {
        node.name: (torch.from_numpy(node.weight.copy()), torch.from_numpy(node.bias.copy()))
        for node in graph.nodes
        if isinstance(node, Conv | Linear)
    }


def fixed(graph: Graph, weights: Weights) -> Sums:
    """Return what runs the layers of a graph under these weights."""
    return lambda node, x: sums_of(graph, node, x, *weights[node.name])


def _channels_last(passed: Passed) -> Passed:
    """Lay the image out with channels last, as all that follows then is: in training a fifth faster on two cores."""

    def laid_out(node: Node, value: Tensor) -> Tensor:
        if isinstance(node, Input):
            return value.contiguous(memory_format=torch.channels_last)
        return passed(node, value)

    return laid_out
