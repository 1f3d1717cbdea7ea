"""Distillation: a small net learns what larger ones answer, not only what is right (Hinton et al., 2015).

It is an objective and a source of batches for the one loop of training; `Trainer` does all the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from pocketvision.data.tensors import normalize, to_input
from pocketvision.errors import UsageError
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import parse_name
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks import learning
from pocketvision.train.batches import RandomViews
from pocketvision.train.beside import Beside, BesideLoss
from pocketvision.train.inputs import Loaded, dialed, image_spec
from pocketvision.train.job import Job
from pocketvision.train.objective import Batch, Objective
from pocketvision.train.recipe import FineTune
from pocketvision.train.teacher import (
    Teacher,
    TeacherOutputs,
    ask,
    check_labels,
    parts_of,
    pooled,
    teacher_outputs,
)
from pocketvision.values import ModelSpec
from pocketvision.values.ranges import check_ranges
from pocketvision.weights.depth import reaches
from pocketvision.weights.load import Weights

EPOCHS = 40
"""Of the whole net, unless said otherwise."""


@dataclass(frozen=True, eq=False)
class Distillation:
    """Who teaches, and how that is weighed; docs/guide/distillation.md says what each does."""

    teachers: Sequence[Teacher] = ()
    temperature: float = 2.0
    """Softens both nets' outputs; at 1 they are as in the file."""
    alpha: float = 0.9
    """Share of the loss that the teachers' probabilities make; the labels make the rest."""
    features: float = 1.0
    """Weight of the distance between the projected features and the teachers'; 0 for none."""
    views: int = 8
    """Random views of each image; the teachers answer once for each."""

    def __post_init__(self) -> None:
        check_ranges({name: getattr(self, name) for name in ("temperature", "alpha", "features", "views")})

    @property
    def resolution(self) -> int:
        """Return the teachers' largest resolution."""
        return max(teacher.trained.image.resolution for teacher in self.teachers)

    def check(self, job: Job) -> None:
        """Raise DataError for teachers of other classes, UsageError for those that saw other parts of the images, and
        for detectors whose anchors are others than the student's."""
        for teacher in self.teachers:
            check_labels(teacher, job.data.dataset.labels, job.data.spec.name)
            if teacher.trained.image.crop_mode != job.image.crop_mode:
                raise UsageError(
                    f"the teacher {teacher.run} was trained with --crop-mode {teacher.trained.image.crop_mode}; "
                    "give the same, so that both see the same part of an image"
                )
            own, wanted = teacher.trained.spec, job.spec
            if (own.detector, own.detector and own.resolution) != (wanted.detector, own.detector and wanted.resolution):
                raise UsageError(
                    f"the teacher {teacher.run} has other anchors than the student: give --resolution "
                    f"{own.resolution}, or leave it away"
                )

    def beside(self, net: Net, views: RandomViews, labels: Objective) -> tuple[Beside, BesideLoss]:
        """Return module and objective of a student whose teachers answer each batch as it comes."""
        task = views.images.spec.name
        loss = BesideLoss(self.teachers, labels, views.image, task, self.alpha, self.temperature)
        return Beside(net), loss

    def trial(self, views: RandomViews) -> tuple[Callable[[], object], int]:
        """Return what asks the teachers once, and how often they are asked for one view of every image."""
        parts = parts_of(self.teachers, views)
        draw = partial(views.shown, 0, parts[0])
        return partial(ask, self.teachers, draw, temperature=self.temperature, device=views.device), len(parts)

    def begin(
        self, net: Net, part: Net, views: RandomViews, count: int, *, kept: Path, progress: Progress
    ) -> tuple["Student", "DistillationLoss"]:
        """Ask the teachers about so many views, or read from `kept` what they answered; return module and objective.

        `part` of `net` learns: its upper layers, or all of it.
        """
        images, recipe, device = views.images, views.recipe, views.device
        outputs = teacher_outputs(
            self.teachers, views, count, temperature=self.temperature, kept=kept, progress=progress
        )
        with torch.no_grad():
            width = pooled(net.eval().embed(to_input(images.train[:1], views.image, device))).shape[1]
        torch.manual_seed(recipe.seed + 1)
        student = Student(part, width, outputs.features.shape[1]).to(device)
        # Labels are not smoothed: the teachers' probabilities are smooth already.
        balance = "none" if recipe.balance == "none" else "weights"
        labels, _ = learning(images.spec.name).objective(
            images.train_labels, views.num_classes, images.spec, balance=balance, smoothing=0.0
        )
        return student, DistillationLoss(student, outputs, self, labels, images.spec.name)


class Student(nn.Module):
    """A net with a linear layer from its features to the teachers', which is dropped after training."""

    def __init__(self, net: Net, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = net
        self.projection = nn.Linear(inputs, outputs)
        self.projected: Tensor | None = None

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return logits [N, classes]; while training, keep the projected features for the loss."""
        features = self.net.embed(batch_nchw)
        if self.training:
            self.projected = self.projection(pooled(features))
        logits: Tensor = self.net.classifier(features)
        return logits


@dataclass(frozen=True, eq=False)
class DistillationLoss:
    """The objective: the teachers' softened probabilities, the labels, and the angle between features."""

    student: Student
    outputs: TeacherOutputs
    settings: Distillation
    labels: Objective
    task: str = "classify"

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of logits [n, C]; the batch's indices count through the images of all views."""
        settings, temperature = self.settings, self.settings.temperature
        targets = self.outputs.probabilities[batch.indices].to(logits.device)
        # Times the square, since gradients of softened outputs shrink with it (Hinton et al., section 2).
        soft = learning(self.task).imitation(logits, targets, temperature) * temperature**2
        loss: Tensor = settings.alpha * soft + (1 - settings.alpha) * self.labels(logits, batch)
        if settings.features:
            assert self.student.projected is not None
            wanted = self.outputs.features[batch.indices].to(logits.device)
            cosine = nn.functional.cosine_similarity(self.student.projected, wanted)
            loss = loss + settings.features * (1 - cosine).mean()
        return loss

    def weight(self, batch: Batch) -> float:
        """Return the number of examples; classes that count more do so in the labels' part alone."""
        return float(len(batch.targets))

    def right(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the number of right answers by the labels."""
        return self.labels.right(logits, batch)


@dataclass(frozen=True, eq=False)
class TeacherViews:
    """The views that the teachers have seen, one of each image in an epoch."""

    plain: RandomViews
    count: int

    @property
    def steps(self) -> int:
        """Return the number of batches of an epoch."""
        return self.plain.steps

    def batches(self, epoch: int, resolution: int) -> Iterator[Batch]:
        """Yield an epoch's batches; their indices are those of the teachers' outputs."""
        plain, view = self.plain, epoch % self.count
        for chosen in plain.orders(epoch):
            inputs = normalize(plain.shown(view, chosen, resolution), plain.image)
            labels = torch.from_numpy(plain.images.train_labels[chosen]).to(plain.device)
            yield Batch(inputs, labels, torch.from_numpy(chosen) + view * len(plain.images.source))


def for_distillation(job: Job, options: TrainConfig) -> Job:
    """Give a job the epochs of a distillation: none of the head alone, and no early stop unless asked for.

    A detector is trained as it is without a teacher.
    """
    if learning(job.data.spec.name).PLACED:
        return job
    if job.recipe.balance == "sampler":
        raise UsageError("distillation shows every image equally often; use --balance weights or none")
    total = options.epochs or EPOCHS
    recipe = replace(
        job.recipe,
        epochs=total,
        head_epochs=0,
        warmup_epochs=min(2.0, total / 5),
        patience=options.patience or total,
        progressive_start=1.0,
        progressive_epochs=0.0,
        fine_tune=_learning_part(job, options),
    )
    return replace(job, recipe=recipe)


def _learning_part(job: Job, options: TrainConfig) -> FineTune:
    """Settle what learns: all of a net whose channels were cut, since its lower layers lost some too."""
    cut = job.weights is not None and job.weights.spec.width != job.spec.width
    return "all" if cut and options.fine_tune == "auto" else job.recipe.fine_tune


def student_spec(options: TrainConfig, start: Weights | None, teacher: Teacher) -> ModelSpec:
    """Settle family, width and depth: as asked, else as the weights are, else the teacher's family at half its
    width."""
    own = teacher.trained.spec
    if options.model is not None:
        named = parse_name(options.model)
        if start is not None and start.spec.name != named.name:
            raise UsageError(f"the weights are of {start.spec.name}, not of {named.name}; give weights of {named.name}")
    elif start is not None:
        named = start.spec
    else:
        named = replace(own, width=own.width / 2)
    return dialed(named, options)


def wider_teacher(spec: ModelSpec, teachers: Sequence[Teacher]) -> Teacher | None:
    """Return the first teacher of the same family that is at least as wide and as deep; none for detectors, which begin
    with a classifier's weights."""
    if spec.detector is not None:
        return None
    found = (one for one in teachers if reaches(one.weights.spec, spec) and one.weights.spec.width >= spec.width)
    return next(found, None)


def from_teacher(job: Job, teachers: Sequence[Teacher]) -> Job | None:
    """Let a job start from the channels of a teacher of its family; None where there is none."""
    own = wider_teacher(job.spec, teachers)
    if own is None:
        return None
    return replace(
        job,
        spec=replace(job.spec, padding=own.weights.spec.padding),
        image=image_spec(job.spec.resolution, job.image.crop_mode, own.weights),
        weights=own.weights,
        start=RunFolder(own.run).best.relative_to(own.run.parent).as_posix(),
        keep_head=own.weights.spec.depth == job.spec.depth,
    )


def check_splits(teachers: Sequence[Teacher], loaded: Loaded, options: TrainConfig) -> None:
    """Raise UsageError where a teacher has learned from images that are kept apart here: figures would flatter."""
    splits = {"seed": options.seed, "val": options.val, "test": options.test}
    for teacher in teachers:
        if teacher.trained.data_digest == loaded.health.digest and teacher.trained.splits != splits:
            given = ", ".join(f"--{key} {value}" for key, value in teacher.trained.splits.items())
            raise UsageError(
                f"the teacher {teacher.run} learned from images that would be used for judging here; "
                f"split them as it did: {given}"
            )
