"""The verb `distill`: a small net is taught by larger trained ones, from the best start there is."""

from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.clock import Clock, seconds
from pocketvision.errors import PocketvisionError, UsageError
from pocketvision.models.catalogue import parse_name
from pocketvision.progress import Progress, Silent
from pocketvision.runs import finished, name_for, nothing_left_on, open_run, write_checksums
from pocketvision.train.checkpoint import BEST
from pocketvision.train.device import engine_for
from pocketvision.train.distillation import Distillation, check_splits, for_distillation, from_teacher, wider_teacher
from pocketvision.train.inputs import given_weights, load_data
from pocketvision.train.job import TrainOptions, make_job
from pocketvision.train.logs import require_logs
from pocketvision.train.memory import require_memory
from pocketvision.train.teacher import Teacher, check_labels, teachers_of
from pocketvision.train.trainer import run_job
from pocketvision.values import CropMode, ModelSpec, Score, Trained
from pocketvision.values.ranges import check_ranges
from pocketvision.weights.load import Weights


@dataclass(frozen=True)
class TaughtBy:
    """A teacher, and what it reached on its own validation images."""

    run: str
    spec: ModelSpec
    validation: Score


@dataclass(frozen=True)
class DistillResult:
    """What `distill` leaves."""

    run: str
    weights: str
    trained: Trained
    teachers: tuple[TaughtBy, ...]


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
    teachers = teachers_of(run)
    distillation = Distillation(teachers, temperature, trust, features, views)
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
        spec = student_spec(model, width, start, teachers[0])
        loaded = load_data(data, folder, val=val, test=test, seed=seed, progress=progress)
        for teacher in teachers:
            check_labels(teacher, loaded.dataset.labels, loaded.spec.name)
        check_splits(teachers, loaded, TrainOptions.of(settings))
        spec = replace(
            spec,
            resolution=resolution or teachers[0].trained.spec.resolution,
            num_classes=len(loaded.dataset.labels),
        )
        require_memory(loaded, spec, device)
        options = TrainOptions.of(settings)
        own = wider_teacher(spec.name, spec.width, teachers) if weights is None else None
        job = make_job(folder, loaded, spec, own.weights if own else start, options=options, progress=progress)
        job = for_distillation(from_teacher(job, teachers) or job if own else job, options)
    trained = run_job(replace(job, clock=clock), distillation=distillation, progress=progress)
    if not finished(folder):
        write_checksums(folder)
    told = tuple(TaughtBy(one.run.as_posix(), one.trained.spec, one.trained.validation) for one in teachers)
    return DistillResult(folder.as_posix(), (folder / BEST).as_posix(), trained, told)


def student_spec(model: str | None, width: float | None, start: Weights | None, teacher: Teacher) -> ModelSpec:
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
