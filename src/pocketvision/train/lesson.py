"""Distillation: a small net learns what larger ones answer, not only what is right (Hinton et al., 2015)."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from pocketvision.data.arrays import prepared
from pocketvision.data.augment import Augment
from pocketvision.errors import UsageError
from pocketvision.files import read_json, write_json
from pocketvision.metrics.accuracy import accuracy
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress
from pocketvision.train.calibrate import fold_temperature, temperature
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.device import engine_for
from pocketvision.train.job import BEST, LAST, RECORD, Job, finite_kept, later_s, load_images, started_net
from pocketvision.train.logs import open_logs
from pocketvision.train.loop import Phase, run_phase
from pocketvision.train.losses import Batch, CrossEntropy, class_weights
from pocketvision.train.pace import Lecture, plan_of_lesson
from pocketvision.train.recipe import Recipe
from pocketvision.train.teacher import CHUNK, KEPT, Answers, Teacher, Views, answers, check_labels, pooled
from pocketvision.train.threads import threads_for
from pocketvision.train.transfer import TrainImages, Training, aims, logits, normalize, to_input, validation_of
from pocketvision.values import Plan, Trained
from pocketvision.values.ranges import check_ranges
from pocketvision.weights.safetensors import save

EPOCHS = 40
"""Of the whole net, unless said otherwise."""
_DETAIL = 1.25


@dataclass(frozen=True)
class Lesson:
    """How a teacher's word is weighed; docs/guide/distillation.md says what each does."""

    temperature: float = 2.0
    """Softens both nets' answers; at 1 they are as in the file."""
    trust: float = 0.9
    """Share of the loss that the teacher's answers make; the labels make the rest."""
    features: float = 1.0
    """Weight of the distance between the projected features and the teacher's; 0 for none."""
    views: int = 8
    """Random views of each image; the teacher answers once for each."""

    def __post_init__(self) -> None:
        check_ranges(asdict(self))


class Pupil(nn.Module):
    """A net with a linear layer from its features to the teachers', which is dropped after the lesson."""

    def __init__(self, net: Net, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = net
        self.projection = nn.Linear(inputs, outputs)
        self.projected: Tensor | None = None

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return logits [N, classes]; while training, keep the projected features for the loss."""
        seen = self.net.embed(batch_nchw)
        if self.training:
            self.projected = self.projection(pooled(seen))
        found: Tensor = self.net.classifier(seen)
        return found


@dataclass(frozen=True, eq=False)
class Taught:
    """The loss: the teachers' softened answers, the labels, and the angle between features."""

    pupil: Pupil
    said: Answers
    lesson: Lesson
    labels: CrossEntropy

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of logits [n, C]; the batch's places count through the images of all views."""
        lesson, heat = self.lesson, self.lesson.temperature
        shares = self.said.shares[batch.places].to(logits.device)
        # Times the square, since gradients of softened answers shrink with it (Hinton et al., section 2).
        soft = nn.functional.kl_div((logits / heat).log_softmax(1), shares, reduction="batchmean") * heat**2
        loss = lesson.trust * soft + (1 - lesson.trust) * self.labels(logits, batch)
        if lesson.features:
            assert self.pupil.projected is not None
            wanted = self.said.features[batch.places].to(logits.device)
            loss = loss + lesson.features * (1 - nn.functional.cosine_similarity(self.pupil.projected, wanted)).mean()
        return loss

    def weight(self, batch: Batch) -> float:
        """Return the number of examples; classes that count more do so in the labels' part alone."""
        return float(len(batch.targets))


@dataclass(frozen=True, eq=False)
class Ready:
    """A lesson that is about to begin."""

    job: Job
    lesson: Lesson
    task: Training
    lecture: Lecture
    plan: Plan

    @property
    def late_s(self) -> float:
        """By how many seconds the shortest lesson would be late; 0 where the time suffices, or it had begun before."""
        clock, begun = self.job.clock, Checkpoint(self.job.folder / "weights").phase() is not None
        if not clock.limited or begun:
            return 0.0
        return max(0.0, self.plan.asking_s + sum(self.plan.seconds) - clock.left())


def run_lesson(
    job: Job, teachers: Sequence[Teacher], lesson: Lesson, *, keep_head: bool = False, progress: Progress
) -> Trained:
    """Teach, calibrate and save; an unfinished lesson of the same folder goes on where it stopped.

    `job.weights` may be of a wider net: it is cut to the job's width. With `keep_head` its classifier is taken too.
    """
    if (job.folder / RECORD).exists():
        return read_json(Trained, job.folder / RECORD)
    return give(ready(job, teachers, lesson, keep_head=keep_head, progress=progress), progress=progress)


def ready(job: Job, teachers: Sequence[Teacher], lesson: Lesson, *, keep_head: bool, progress: Progress) -> Ready:
    """Load images and net, and settle how many views and epochs there will be."""
    for teacher in teachers:
        check_labels(teacher, job.data.dataset.labels)
        if teacher.trained.image.crop_mode != job.image.crop_mode:
            raise UsageError(
                f"the teacher {teacher.run} was trained with --crop-mode {teacher.trained.image.crop_mode}; "
                "give the same, so that both see the same part of an image"
            )
    engine = engine_for(job.device, job.precision)
    engine.say = progress.say
    images = _images(job, teachers, progress)
    torch.manual_seed(job.recipe.seed)
    net = started_net(job, images, engine.device, keep_head=keep_head, progress=progress)
    job.clock.reserve(later_s(job, net, images, engine.device))
    task = Training(net, images, job.image, job.folder, engine.device, clock=job.clock, engine=engine)
    views = Views(lesson.views, job.recipe.seed, Augment(flip=job.recipe.flip))
    lecture = Lecture(teachers, views, lesson.temperature)
    plan = plan_of_lesson(task, job.recipe, lecture, Checkpoint(job.folder / "weights"), progress=progress)
    lecture = replace(lecture, views=replace(views, count=plan.views or lesson.views))
    return Ready(job, lesson, task, lecture, plan)


def give(found: Ready, *, progress: Progress) -> Trained:
    """Give a lesson that is ready."""
    job, task, device = found.job, found.task, found.task.device
    pupil, said = _seated(job, task.net, task.images, found.lecture, device=device, progress=progress)
    taught = Taught(pupil, said, found.lesson, _labels_loss(job, task.images, device))
    epochs = _learned(job, task, pupil, taught, (found.plan, found.lecture.views), progress=progress)
    return _finished(job, task.net, task.images, epochs, found.plan)


def _seated(
    job: Job, net: Net, images: TrainImages, lecture: Lecture, *, device: torch.device, progress: Progress
) -> tuple[Pupil, Answers]:
    """Let the teachers answer, and give the net a layer towards their features."""
    said = answers(
        lecture.teachers,
        images.source,
        lecture.views,
        temperature=lecture.temperature,
        kept=job.folder / "weights" / KEPT,
        device=device,
        progress=progress,
    )
    with torch.no_grad():
        width = pooled(net.eval().embed(to_input(images.train[:1], job.image, device))).shape[1]
    torch.manual_seed(job.recipe.seed + 1)
    return Pupil(net, width, said.features.shape[1]).to(device), said


def _learned(
    job: Job, task: Training, pupil: Pupil, taught: Taught, course: tuple[Plan, Views], *, progress: Progress
) -> int:
    """Learn, leave the best weights in the pupil and store the last ones; return the number of epochs."""
    checkpoint = Checkpoint(job.folder / "weights")
    logs = open_logs(job.log, job.folder, asdict(job.recipe))
    try:
        phase = _phase(replace(task, logs=logs), job.recipe, pupil, taught, course)
        with finite_kept(job, pupil.net):
            standing = run_phase(phase, job.recipe, checkpoint, folder=job.folder, progress=progress)
    finally:
        logs.close()
    best = {name: tensor.clone() for name, tensor in pupil.state_dict().items()}
    pupil.load_state_dict(checkpoint.last())
    _save(job, pupil.net, LAST)
    pupil.load_state_dict(best)
    return len(standing.epochs)


def _labels_loss(job: Job, images: TrainImages, device: torch.device) -> CrossEntropy:
    """Return the labels' part of the loss; the teachers' answers are smooth already."""
    if job.recipe.balance == "none":
        return CrossEntropy()
    weights = class_weights(images.train_labels, job.spec.num_classes)
    return CrossEntropy(weights=torch.from_numpy(weights).to(device, torch.float32))


def _finished(job: Job, net: Net, images: TrainImages, epochs: int, plan: Plan) -> Trained:
    device = next(net.parameters()).device
    found = logits(net, images.val, job.image, device)
    value = temperature(found, images.val_labels)
    fold_temperature(net, value)
    _save(job, net, BEST)
    trained = Trained(
        spec=job.spec,
        image=job.image,
        start=job.start,
        epochs=epochs,
        validation=accuracy(found, images.val_labels),
        temperature=value,
        data_digest=job.data.health.digest,
        splits=job.splits,
        plan=plan,
        balance=job.recipe.balance,
    )
    write_json(job.folder / RECORD, trained)
    Checkpoint(job.folder / "weights").discard()
    (job.folder / "weights" / KEPT).unlink(missing_ok=True)
    return trained


def _save(job: Job, net: Net, name: str) -> None:
    save(net, job.spec, image=job.image, labels=job.data.dataset.labels, path=job.folder / name)


def _images(job: Job, teachers: Sequence[Teacher], progress: Progress) -> TrainImages:
    """Load the images, with as much detail as the teachers' resolution asks for and the files have."""
    images = load_images(job, progress)
    largest = max(teacher.trained.image.resolution for teacher in teachers)
    finer = min(round(largest * _DETAIL), job.data.health.median_short_side)
    if finer <= images.source.shape[1]:
        return images
    data = job.data
    train = data.dataset.of("train")
    source = prepared(
        data.dataset, train, replace(job.image, resolution=finer), decoded=data.decoded, progress=progress
    )
    return replace(images, source=source)


def _phase(task: Training, recipe: Recipe, pupil: Pupil, taught: Taught, course: tuple[Plan, Views]) -> Phase:
    images, image, (plan, views) = task.images, task.image, course
    count, together = len(images.source), max(1, recipe.batch_size // CHUNK)

    def batches(epoch: int) -> Iterator[Batch]:
        view = epoch % views.count
        chunks = views.chunks(count, view)
        for group in _groups(len(chunks), together, recipe.seed, epoch):
            shown = [views.pixels(images.source[chunks[c]], view, c, plan.resolutions[epoch]) for c in group]
            chosen = np.concatenate([chunks[c] for c in group])
            labels = torch.from_numpy(images.train_labels[chosen]).to(task.device)
            places = torch.from_numpy(chosen) + view * count
            yield Batch(normalize(torch.cat(shown).to(task.device), image), labels, places)

    return Phase(
        "all",
        pupil,
        len(plan.resolutions),
        recipe.learning_rate,
        len(_groups(len(views.chunks(count, 0)), together, recipe.seed, 0)),
        batches,
        validation_of(task),
        counts_start=False,
        objective=taught,
        weights=aims(task, recipe)[1],
        clock=task.clock,
        seconds=plan.seconds,
        engine=task.engine,
        logs=task.logs,
        threads=threads_for(task.device, alone=task.engine.alone),
    )


def _groups(chunks: int, together: int, seed: int, epoch: int) -> list[list[int]]:
    """Put chunks together to batches, in another order in each epoch."""
    order = np.random.default_rng([seed, epoch, chunks]).permutation(chunks).tolist()
    return [order[start : start + together] for start in range(0, chunks, together)]
