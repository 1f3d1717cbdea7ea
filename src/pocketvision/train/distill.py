"""The verb `distill`: a small net is taught by larger trained ones, from the best start there is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.errors import PocketvisionError, UsageError
from pocketvision.models.catalogue import parse_name
from pocketvision.progress import Progress, Silent
from pocketvision.runs import finished, name_for, nothing_left_on, open_run, write_checksums
from pocketvision.train.clock import Clock, seconds
from pocketvision.train.device import engine_for
from pocketvision.train.job import BEST, Job, TrainOptions, make_job
from pocketvision.train.lesson import EPOCHS, Lesson, run_lesson
from pocketvision.train.logs import require_logs
from pocketvision.train.memory import require_memory
from pocketvision.train.start import Loaded, given_weights, image_spec, load_data
from pocketvision.train.teacher import Teacher, check_labels, teachers_of
from pocketvision.values import Accuracy, CropMode, ModelSpec, Trained
from pocketvision.values.ranges import check_ranges
from pocketvision.weights.load import Weights


@dataclass(frozen=True)
class TaughtBy:
    """A teacher, and what it reached on its own validation images."""

    run: str
    """Path of its run's folder."""
    spec: ModelSpec
    """Its net."""
    validation: Accuracy
    """As its own training recorded it."""


@dataclass(frozen=True)
class DistillResult:
    """What `distill` leaves."""

    run: str
    """Path of the run's folder."""
    weights: str
    """Path of the best weights."""
    trained: Trained
    """What training recorded."""
    teachers: tuple[TaughtBy, ...]
    """In the order given."""


def distill(  # noqa: PLR0913  each is an option of the command line
    run: str | Path,
    data: str | Path,
    *,
    model: str | None = None,
    width: float | None = None,
    resolution: int | None = None,
    weights: str | Path | None = None,
    temperature: float = 2.0,
    trust: float = 0.9,
    features: float = 1.0,
    views: int = 8,
    epochs: int | None = None,
    batch_size: int | str = "auto",
    lr: float | None = None,
    optimizer: str = "auto",
    patience: int | None = None,
    flip: bool | None = None,
    balance: str = "auto",
    time_limit: str | None = None,
    crop_mode: CropMode = "squash",
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 42,
    device: str = "auto",
    precision: str = "auto",
    log: str = "csv",
    output: str | Path = "runs",
    name: str | None = None,
    resume: bool = False,
    exist_ok: bool = False,
    progress: Progress = Silent(),
) -> DistillResult:
    """Train a small net on the answers of the trained net in the folder `run`, or of several with commas between.

    Without `model` it is of the teacher's family; `width` defaults to half the teacher's, `resolution` to the
    teacher's. Without `weights` it starts from channels of the teacher itself where they are of one family, else from
    published weights. `temperature` softens the answers, `trust` is their share of the loss beside the labels,
    `features` the weight of the teacher's features, `views` how many random views of each image it answers to.
    `time_limit`, such as '10m', fits views and epochs to this machine's speed; the other options are those of `train`.
    """
    check_ranges(locals())
    clock = Clock(seconds(time_limit))
    settings = {key: value for key, value in locals().items() if key not in ("progress", "clock")}
    require_logs(log)
    engine_for(device, precision)
    lesson = Lesson(temperature, trust, features, views)
    teachers = teachers_of(run)
    folder = open_run(
        output,
        "distill",
        name or name_for(data),
        settings=settings,
        resume=resume,
        exist_ok=exist_ok,
        named=name is not None,
    )
    with nothing_left_on(PocketvisionError, run=folder):
        start = given_weights(weights, progress)
        spec = pupil_spec(model, width, start, teachers[0])
        loaded = load_data(data, folder, val=val, test=test, seed=seed, progress=progress)
        for teacher in teachers:
            check_labels(teacher, loaded.dataset.labels)
        check_splits(teachers, loaded, TrainOptions.of(settings))
        spec = replace(
            spec,
            resolution=resolution or teachers[0].trained.spec.resolution,
            num_classes=len(loaded.dataset.labels),
        )
        require_memory(loaded, spec, device)
        options = TrainOptions.of(settings)
        own = wider(spec, teachers) if weights is None else None
        job = make_job(folder, loaded, spec, own.weights if own else start, options=options, progress=progress)
        job = for_lesson(from_teacher(job, teachers) or job if own else job, options)
    trained = run_lesson(replace(job, clock=clock), teachers, lesson, keep_head=own is not None, progress=progress)
    if not finished(folder):
        write_checksums(folder)
    told = tuple(TaughtBy(one.run.as_posix(), one.trained.spec, one.trained.validation) for one in teachers)
    return DistillResult(folder.as_posix(), (folder / BEST).as_posix(), trained, told)


def pupil_spec(model: str | None, width: float | None, start: Weights | None, teacher: Teacher) -> ModelSpec:
    """Settle family and width: as asked, else as the weights are, else the teacher's family at half its width."""
    own = teacher.trained.spec
    if model is not None:
        named = parse_name(model)
        if start is not None and start.spec.name != named.name:
            raise UsageError(f"the weights are of {start.spec.name}, not of {named.name}; give weights of {named.name}")
    elif start is not None:
        named = start.spec
    else:
        named = replace(own, width=own.width / 2)
    return replace(named, width=width) if width is not None else named


def wider(spec: ModelSpec, teachers: Sequence[Teacher]) -> Teacher | None:
    """Return the first teacher of the same family that is at least as wide."""
    found = (one for one in teachers if one.weights.spec.name == spec.name and one.weights.spec.width >= spec.width)
    return next(found, None)


def from_teacher(job: Job, teachers: Sequence[Teacher]) -> Job | None:
    """Let a job start from the channels of a teacher of its family; None where there is none."""
    own = wider(job.spec, teachers)
    if own is None:
        return None
    return replace(
        job,
        spec=replace(job.spec, padding=own.weights.spec.padding),
        image=image_spec(job.spec.resolution, job.image.crop_mode, own.weights),
        weights=own.weights,
        start=f"{own.run.name}/{BEST}",
    )


def for_lesson(job: Job, options: TrainOptions) -> Job:
    """Give a job the epochs of a lesson, which has no phase of the head alone and never stops early by itself."""
    if job.recipe.balance == "sampler":
        raise UsageError("a lesson shows every image equally often; use --balance weights or none")
    total = options.epochs or EPOCHS
    recipe = replace(
        job.recipe,
        epochs=total,
        head_epochs=0,
        warmup_epochs=min(2.0, total / 5),
        patience=options.patience or total,
        smallest=1.0,
        rising=0.0,
    )
    return replace(job, recipe=recipe)


def check_splits(teachers: Sequence[Teacher], loaded: Loaded, options: TrainOptions) -> None:
    """Raise UsageError where a teacher has learned from images that are kept apart here: figures would flatter."""
    splits = {"seed": options.seed, "val": options.val, "test": options.test}
    for teacher in teachers:
        if teacher.trained.data_digest == loaded.health.digest and teacher.trained.splits != splits:
            said = ", ".join(f"--{key} {value}" for key, value in teacher.trained.splits.items())
            raise UsageError(
                f"the teacher {teacher.run} learned from images that would be used for judging here; "
                f"split them as it did: {said}"
            )
