"""Training from top to bottom: configuration, images, net, schedule, data and objective, loop, evaluation, closing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from pocketvision.clock import Clock
from pocketvision.data.tensors import eval_batch_size
from pocketvision.errors import Diverged, PocketvisionError, UsageError
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress, Silent
from pocketvision.runs import RunFolder
from pocketvision.tasks import learning, load
from pocketvision.train.batches import FixedFeatures, RandomViews, TrainImages
from pocketvision.train.checkpoint import Checkpoint, Position
from pocketvision.train.device import Engine, engine_for, threads_for
from pocketvision.train.distillation import Distillation, Student, TeacherViews
from pocketvision.train.evaluate import features, fold_temperature, logits
from pocketvision.train.job import Job, load_images, started_net
from pocketvision.train.logs import open_logs
from pocketvision.train.loop import Loop, Phase
from pocketvision.train.lower import upper_of
from pocketvision.train.maps import MapMaker, MapViews
from pocketvision.train.objective import Batch, Objective
from pocketvision.train.optimizer import LayerGroup, layer_groups, set_train_mode
from pocketvision.train.planning import Planner
from pocketvision.train.recipe import Recipe
from pocketvision.train.schedule import find_most
from pocketvision.values import Epoch, ImageSpec, Schedule, Score, Trained
from pocketvision.weights.safetensors import save

_CLOSING_S = 0.5
"""Writing the weights, beside evaluating them."""


def run_job(job: Job, *, distillation: Distillation | None = None, progress: Progress) -> Trained:
    """Train, calibrate and save; an unfinished job of the same folder goes on where it stopped.

    `job.weights` may be of a wider net: the job's is cut out of it. With `distillation` the net learns from its
    teachers.
    """
    run = RunFolder(job.folder)
    if run.trained.exists():
        return run.trained.read()
    return finish(job, trainer_for(job, distillation=distillation, progress=progress))


def trainer_for(job: Job, *, distillation: Distillation | None = None, progress: Progress) -> "Trainer":
    """Load the images and build the net: all that is needed before the first epoch."""
    if distillation is not None:
        distillation.check(job)
    engine = engine_for(job.device, job.precision)
    engine.say = progress.say
    if job.clock.limited and not engine.alone:
        raise UsageError("--time-limit works in one process only: several would not agree on the time; give --epochs")
    with engine.first_ahead():
        images = load_images(job, progress, teachers=distillation.resolution if distillation else 0)
    torch.manual_seed(job.recipe.seed)
    net = started_net(job, images, engine.device, progress=progress)
    job.clock.reserve(later_s(job, net, images, engine.device))
    return Trainer(
        net,
        images,
        job.image,
        job.recipe,
        job.folder,
        engine=engine,
        clock=job.clock,
        log=job.log,
        distillation=distillation,
        progress=progress,
    )


def later_s(job: Job, net: Net, images: TrainImages, device: torch.device) -> float:
    """Estimate the seconds from the last step to the end; nothing is timed where nothing is limited."""
    if not job.clock.limited:
        return 0.0
    some = images.val[: eval_batch_size(job.image.resolution, device)]
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        logits(net, some, job.image, device)
        taken.append(time.perf_counter() - started)
    each = min(taken) / len(some)
    counted = 2 * len(images.val)
    if not job.later_s:
        return _CLOSING_S + each * counted
    return _CLOSING_S + job.later_s + each * 2 * (counted + len(job.data.dataset.of("test")))


def finish(job: Job, trainer: "Trainer") -> Trained:
    """Train what was prepared, calibrate the probabilities, and write weights and record."""
    run = RunFolder(job.folder)
    with _last_kept(job, trainer), _memory_explained(job):
        epochs = trainer.train()
    with trainer.last_weights():
        _save(job, trainer.net, run.last)
    value, validation = _calibrated(job, trainer)
    _save(job, trainer.net, run.best)
    trained = Trained(
        spec=job.spec,
        image=job.image,
        start=job.start,
        epochs=sum(epoch.phase != "head" for epoch in epochs),
        validation=validation,
        temperature=value,
        data_digest=job.data.health.digest,
        splits=job.splits,
        schedule=trainer.schedule,
        balance=job.recipe.balance,
        task=trainer.images.spec.name,
    )
    # The record last: where it is, all the rest is.
    run.trained.write(trained)
    trainer.engine.wait()
    trainer.checkpoint.discard()
    trainer.teacher_outputs.unlink(missing_ok=True)
    return trained


def _calibrated(job: Job, trainer: "Trainer") -> tuple[float, Score]:
    """Fold the best temperature into the net; return it, and what the net is worth on the validation images."""
    images, task = trainer.images, load(trainer.images.spec.name)
    found = logits(trainer.net, images.val, job.image, trainer.engine.device)
    value = task.temperature(found, images.val_labels) if task.TEMPERED else 1.0
    if value != 1:
        fold_temperature(trainer.net, value)
    probabilities = task.probabilities(found / value, images.spec)
    spec = task.settle(probabilities, images.val_labels, images.spec)
    return value, task.score(probabilities, images.val_labels, spec)


@contextmanager
def _last_kept(job: Job, trainer: "Trainer") -> Iterator[None]:
    """Where the body diverges and the net holds the weights from before, save them as the last ones, and say so."""
    try:
        yield
    except Diverged as error:
        if error.kept:
            last = RunFolder(job.folder).last
            _save(job, trainer.net, last)
            error.args = (f"{error}. The best weights from before are in {last.as_posix()}",)
        raise


@contextmanager
def _memory_explained(job: Job) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise PocketvisionError(
            f"the device's memory cannot hold {job.spec} beside what else it holds; end other programs on it, or take "
            "a lower --resolution or --width"
        ) from error


def _save(job: Job, net: Net, path: Path) -> None:
    save(net, job.spec, image=job.image, labels=job.data.dataset.labels, path=path)


@dataclass(eq=False)
class Trainer:
    """Trains one net on prepared images: of given weights the head first, on features computed once; then all of it."""

    net: Net
    images: TrainImages
    image: ImageSpec
    recipe: Recipe
    folder: Path
    """The run's folder; checkpoints lie in its `weights`."""
    engine: Engine = field(default_factory=Engine)
    clock: Clock = field(default_factory=Clock)
    """The time that is left; a training without a limit has all."""
    log: str = "csv"
    """Where finished epochs are told, beside results.csv."""
    distillation: Distillation | None = None
    progress: Progress = Silent()

    def train(self) -> tuple[Epoch, ...]:
        """Train and leave the best weights in the net; goes on from a checkpoint if the folder holds one.

        Returns every epoch of both phases.
        """
        self.net.to(self.engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        schedule, position, begun = self.schedule, Position("all"), self.checkpoint.phase()
        if self.engine.device.type == "cuda" and self.checkpoint.phase() is None and self.engine.alone:
            find_most(self.net, self.views, self.engine)
        logs = open_logs(self.log if self.engine.rank == 0 else "csv", self.folder, asdict(self.recipe))
        try:
            loop = Loop(self.recipe, self.checkpoint, self.engine, self.clock, logs, self.progress)
            if schedule.head_epochs and begun in (None, "head"):
                position = loop.run(self.head())
            if schedule.upper_epochs and begun != "all":
                position = loop.run(self.upper())
            if schedule.resolutions:
                position = loop.run(self.whole())
        finally:
            logs.close()
        set_train_mode(self.net, frozen=0, fixed_norms=False)
        self.net.eval()
        return position.epochs

    # ------------------------------------------------------------ data, objective and checkpoint

    @cached_property
    def views(self) -> RandomViews:
        """Return the source of random views of the training images."""
        return RandomViews(self.images, self.image, self.recipe, self.num_classes, self.engine.device)

    @cached_property
    def num_classes(self) -> int:
        """Return the number of the net's outputs."""
        last = [module for module in self.net.classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
        return int(last.weight.shape[0])

    @cached_property
    def objective(self) -> tuple[Objective, np.ndarray[tuple[int], np.dtype[np.float64]] | None]:
        """Return the task's loss of labels, and what each label counts in validation, where they are balanced."""
        recipe, images = self.recipe, self.images
        make, smoothing = learning(images.spec.name).objective, recipe.label_smoothing
        found: tuple[Objective, np.ndarray[tuple[int], np.dtype[np.float64]] | None] = make(
            images.train_labels, self.num_classes, images.spec, balance=recipe.balance, smoothing=smoothing
        )
        return found

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint of the run."""
        return Checkpoint(RunFolder(self.folder).weights)

    @property
    def teacher_outputs(self) -> Path:
        """Return where the teachers' outputs lie until training is over."""
        return RunFolder(self.folder).weights / "teacher.npz"

    # ------------------------------------------------------------ schedule

    @cached_property
    def schedule(self) -> Schedule:
        """Settle what the epochs do: as the recipe says, or as fits the time; an interrupted run keeps its schedule."""
        planner = Planner(self.net, self.views, self.engine, self.clock, self.distillation, self.progress)
        if not self.clock.limited and self.recipe.fine_tune == "all":
            return planner.schedule()
        # Made by this machine's clock, or by the room on its disk: it would not be made twice the same.
        return self.checkpoint.schedule() or self.checkpoint.keep_schedule(planner.schedule())

    @property
    def late_s(self) -> float:
        """Return by how many seconds the schedule is late; 0 where the time suffices, or training had begun before."""
        if not self.clock.limited or self.checkpoint.phase() is not None:
            return 0.0
        return max(0.0, self.schedule.forecast_s - self.clock.left())

    # ------------------------------------------------------------ phases

    def head(self) -> Phase:
        """Return the phase of the classifier alone, on features of the images that are computed once."""
        recipe, images, few = self.recipe, self.images, self.schedule.head_images
        sides = [False, True] if recipe.flip and few is None else [False]
        shown = np.sort(np.random.default_rng(recipe.seed).permutation(len(images.train))[:few])
        train = images.train if few is None else images.train[shown]
        settings = {"image": self.image, "device": self.engine.device, "progress": self.progress}
        found = torch.cat([features(self.net, train, mirrored=side, **settings) for side in sides])  # type: ignore[arg-type]
        val_features = features(self.net, images.val, **settings)  # type: ignore[arg-type]
        val_labels = torch.from_numpy(images.val_labels).to(self.engine.device)

        def validation() -> Iterator[Batch]:
            yield Batch(val_features, val_labels, torch.arange(len(val_labels)))

        return Phase(
            "head",
            self.net.classifier,
            (LayerGroup(self.net.classifier),),
            FixedFeatures(found, np.concatenate([images.train_labels[shown]] * len(sides)), shown, recipe),
            validation,
            recipe.head_epochs,
            recipe.head_learning_rate,
            objective=self.objective[0],
            class_weights=self.objective[1],
            spec=images.spec,
            cuts=False,
        )

    def upper(self) -> Phase:
        """Return the phase of the layers above those that make maps of the images, once."""
        schedule, fixed = self.schedule, self.recipe.norms == "fixed"
        maker = MapMaker(self.net, schedule.map_layers, self.views, self.progress)
        maps = MapViews(self.views, tuple(map(maker.view, range(schedule.map_views))), maker.validation())
        module = upper_of(self.net, schedule.map_layers)
        plain = replace(
            self._of_net(),
            name="upper",
            module=module,
            groups=layer_groups(module, self.recipe.rate_decay),
            source=maps,
            validation=maps.validation,
            epochs=schedule.upper_epochs,
            prepare=lambda _: set_train_mode(self.net, frozen=schedule.map_layers, fixed_norms=fixed),
            resolutions=(),
            seconds=(schedule.upper_s,) * schedule.upper_epochs if schedule.upper_s else (),
            counts_start=False,
            uncut_epochs=1,
        )
        return plain if self.distillation is None else self._taught(plain, module, schedule.map_views)

    def _of_net(self) -> Phase:
        """Return the phase of the whole net, on random views of the images."""
        recipe, schedule, images = self.recipe, self.schedule, self.images

        def prepare(epoch: int) -> None:
            set_train_mode(self.net, frozen=schedule.frozen[epoch], fixed_norms=recipe.norms == "fixed")

        return Phase(
            "all",
            self.net,
            layer_groups(self.net, recipe.rate_decay),
            self.views,
            self.views.validation,
            len(schedule.resolutions),
            recipe.learning_rate,
            objective=self.objective[0],
            class_weights=self.objective[1],
            spec=images.spec,
            prepare=prepare,
            resolutions=schedule.resolutions,
            seconds=schedule.seconds,
            counts_start=schedule.head_epochs > 0,
            threads=threads_for(self.engine.device, alone=self.engine.alone),
        )

    def whole(self) -> Phase:
        """Return the phase of the whole net, or of a student of the teachers."""
        plain, schedule = self._of_net(), self.schedule
        if self.distillation is None:
            return plain
        if learning(self.images.spec.name).PLACED:
            beside, loss = self.distillation.beside(self.net, self.views, self.objective[0])
            return replace(plain, module=beside, groups=(LayerGroup(beside),), objective=loss)
        views = schedule.views or self.distillation.views
        return self._taught(replace(plain, source=TeacherViews(self.views, views)), self.net, views)

    def _taught(self, phase: Phase, part: Net, views: int) -> Phase:
        """Let the part of the net that learns in a phase learn from the teachers too."""
        assert self.distillation is not None
        student, objective = self.distillation.begin(
            self.net, part, self.views, views, kept=self.teacher_outputs, progress=self.progress
        )
        return replace(
            phase,
            module=student,
            groups=(LayerGroup(student),),
            objective=objective,
            objective_of=lambda module: replace(objective, student=cast(Student, module)),
        )

    @contextmanager
    def last_weights(self) -> Iterator[None]:
        """Let the net hold the averaged weights of the last epoch within the body, where all of it was trained."""
        if not (self.schedule.resolutions or self.schedule.upper_epochs):
            yield
            return
        best = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
        last = self.checkpoint.last()
        if self.distillation is not None:
            last = {name.removeprefix("net."): value for name, value in last.items() if name.startswith("net.")}
        self.net.load_state_dict({**best, **last})
        yield
        self.net.load_state_dict(best)
