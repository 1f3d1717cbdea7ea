"""The verb `distill`."""

from dataclasses import dataclass, replace

from pocketvision.clock import Clock, seconds
from pocketvision.errors import PocketvisionError
from pocketvision.runs import RunFolder, finished, name_for, nothing_left_on, run_for, write_checksums
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import DistillOptions
from pocketvision.train.device import engine_for
from pocketvision.train.distillation import (
    Distillation,
    check_splits,
    for_distillation,
    from_teacher,
    student_spec,
    wider_teacher,
)
from pocketvision.train.inputs import given_weights, load_data
from pocketvision.train.job import make_job
from pocketvision.train.logs import require_logs
from pocketvision.train.memory import require_memory
from pocketvision.train.teacher import check_labels, teachers_of
from pocketvision.train.trainer import run_job
from pocketvision.values import ModelSpec, Score, Trained


@dataclass(frozen=True)
class TaughtBy:
    """A teacher, and what it reached on its own validation images."""

    run: str
    """Path of its run's folder."""
    spec: ModelSpec
    """Its net."""
    validation: Score
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


@verb(DistillOptions)
def distill(options: DistillOptions) -> DistillResult:
    """Train a small net on the answers of the trained net in the folder `run`, or of several with commas between.

    Without `model` it is of the teacher's family; `width` defaults to half the teacher's, `resolution` to the
    teacher's. Without `weights` it starts from channels of the teacher itself where they are of one family, else from
    published weights; a detector, which has its teacher's anchors, from a classifier's. `temperature` softens the
    answers, `alpha` is their share of the loss beside the labels, `features` the weight of the teacher's features,
    `views` how many random views of each image it answers to. `time_limit`, such as '10m', fits views and epochs to
    this machine's speed; the other options are those of `train`.
    """
    clock, progress = Clock(seconds(options.time_limit)), options.progress
    require_logs(options.log)
    engine_for(options.device, options.precision)
    teachers = teachers_of(options.run)
    distillation = Distillation(teachers, options.temperature, options.alpha, options.features, options.views)
    folder = run_for("distill", options, name_for(options.data))
    with nothing_left_on(PocketvisionError, run=folder):
        start = given_weights(options.weights, progress, offline=options.offline)
        spec = student_spec(options, start, teachers[0])
        loaded = load_data(
            options.data, folder, val=options.val, test=options.test, seed=options.seed, progress=progress
        )
        for teacher in teachers:
            check_labels(teacher, loaded.dataset.labels, loaded.spec.name)
        check_splits(teachers, loaded, options)
        taught = teachers[0].trained.spec
        spec = replace(
            spec,
            resolution=options.resolution or taught.resolution,
            num_classes=len(loaded.dataset.labels),
            detector=taught.detector,
        )
        require_memory(loaded, spec, options.device)
        own = wider_teacher(spec, teachers) if options.weights is None else None
        job = make_job(folder, loaded, spec, own.weights if own else start, options=options, progress=progress)
        job = for_distillation(from_teacher(job, teachers) or job if own else job, options)
    trained = run_job(replace(job, clock=clock), distillation=distillation, progress=progress)
    if not finished(folder):
        write_checksums(folder)
    told = tuple(TaughtBy(one.run.as_posix(), one.trained.spec, one.trained.validation) for one in teachers)
    return DistillResult(folder.as_posix(), RunFolder(folder).best.as_posix(), trained, told)
