"""The stage `train` with a teacher: plain training and distillation on the same images; the better one is delivered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pocketvision.files import write_bytes, write_json
from pocketvision.fit.racing import learned
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.settings.groups import TrainConfig
from pocketvision.train.distillation import Distillation, check_splits, for_distillation, from_teacher
from pocketvision.train.inputs import Loaded
from pocketvision.train.job import Job
from pocketvision.train.teacher import Teacher, check_labels, teachers_of
from pocketvision.train.trainer import finish, run_job, trainer_for
from pocketvision.values import Score, Trained

TEACHING, LESSON = "teaching.json", "lesson"


PLAIN_SHARE = 1 / 3
"""Share of the time left that plain training may take; it seldom needs that, and distillation has many more epochs."""


@dataclass(frozen=True)
class Teaching:
    """What plain training and distillation reached on the validation images."""

    plain: Score
    taught: Score | None
    """None where the time limit left no time for distillation."""
    taken: Literal["plain", "taught"]


def teachers_for(runs: str | None, loaded: Loaded, options: TrainConfig) -> tuple[Teacher, ...]:
    """Load the teachers, if any; raises where they have other classes, or learned from images kept apart here."""
    found = teachers_of(runs) if runs else ()
    for teacher in found:
        check_labels(teacher, loaded.dataset.labels, loaded.spec.name)
    check_splits(found, loaded, options)
    return found


def train_or_teach(job: Job, teachers: Sequence[Teacher], options: TrainConfig, *, progress: Progress) -> Trained:
    """Train; with teachers, distill as well, and keep the result with the higher validation accuracy, plain in a tie.

    Where the time is limited, plain training ends early enough for distillation, which gets all that is left then.
    """
    plain = replace(job, later_s=job.later_s + distillation_s(job)) if teachers else job
    trained = run_job(plain, progress=progress)
    if not teachers or (job.folder / TEACHING).exists():
        return trained
    taught = _taught(job, teachers, options, progress=progress)
    better = taught is not None and taught.validation.value > trained.validation.value
    if better:
        for target, source in zip(learned(job.folder), learned(job.folder / LESSON), strict=True):
            write_bytes(target, source.read_bytes())
    reached = taught.validation if taught else None
    write_json(job.folder / TEACHING, Teaching(trained.validation, reached, "taught" if better else "plain"))
    if reached:
        told = "the taught net is taken" if better else "the plain one is taken"
        progress.say(f"plain {trained.validation.value:.1%}, taught {reached.value:.1%}: {told}")
    return RunFolder(job.folder).trained.read()


def distillation_s(job: Job) -> float:
    """Return the seconds that plain training leaves to distillation; 0 without a limit."""
    if not job.clock.limited:
        return 0.0
    return (1 - PLAIN_SHARE) * max(0.0, job.clock.limit_s - job.clock.spent() - job.later_s)


def _taught(job: Job, teachers: Sequence[Teacher], options: TrainConfig, *, progress: Progress) -> Trained | None:
    """Teach from the start that the plain training had, or from a teacher's channels; None where the time is over."""
    own = from_teacher(job, teachers) if options.weights is None else None
    planned = replace(for_distillation(own or job, options), folder=job.folder / LESSON)
    record = RunFolder(planned.folder).trained
    if record.exists():
        return record.read()
    job.clock.reserve(job.later_s)
    found = None
    if job.clock.left() > 0:
        found = trainer_for(planned, distillation=Distillation(teachers), progress=progress)
    if found is None or found.late_s > 0:
        progress.say(
            "time limit: not enough time is left for distillation, so the plain net is taken; allow more time, or "
            "leave --teacher away"
        )
        return None
    return finish(planned, found)
