"""The stage `train` with a teacher: plain training and a lesson from the same pictures; the better one is delivered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pocketvision.errors import UsageError
from pocketvision.files import read_json, write_bytes, write_json
from pocketvision.progress import Progress
from pocketvision.train.distill import check_splits, for_lesson, from_teacher
from pocketvision.train.job import BEST, LAST, RECORD, Job, TrainOptions, run_job
from pocketvision.train.lesson import Lesson, run_lesson
from pocketvision.train.start import Loaded
from pocketvision.train.teacher import Teacher, check_labels, teachers_of
from pocketvision.values import Accuracy, Trained

TEACHING, LESSON = "teaching.json", "lesson"


@dataclass(frozen=True)
class Teaching:
    """What plain training and the lesson reached on the validation pictures."""

    plain: Accuracy
    taught: Accuracy
    taken: Literal["plain", "taught"]


def teachers_for(runs: str | None, loaded: Loaded, options: TrainOptions) -> tuple[Teacher, ...]:
    """Load the teachers, if any; raises where they have other classes, or learned from pictures kept apart here."""
    if runs and options.time_limit:
        raise UsageError("--time-limit does not cover a lesson; with --teacher say how long by --epochs")
    found = teachers_of(runs) if runs else ()
    for teacher in found:
        check_labels(teacher, loaded.dataset.labels)
    check_splits(found, loaded, options)
    return found


def train_or_teach(job: Job, teachers: Sequence[Teacher], options: TrainOptions, *, progress: Progress) -> Trained:
    """Train; with teachers, teach as well, and keep the result with the higher validation accuracy, plain in a tie."""
    trained = run_job(job, progress=progress)
    if not teachers or (job.folder / TEACHING).exists():
        return trained
    lesson = replace(for_lesson(job, options), folder=job.folder / LESSON)
    own = from_teacher(lesson, teachers) if options.weights is None else None
    taught = run_lesson(own or lesson, teachers, Lesson(), keep_head=own is not None, progress=progress)
    better = taught.validation.value > trained.validation.value
    if better:
        for name in (BEST, LAST, "results.csv", RECORD):  # the record last: what it says is then there
            write_bytes(job.folder / name, (job.folder / LESSON / name).read_bytes())
    write_json(job.folder / TEACHING, Teaching(trained.validation, taught.validation, "taught" if better else "plain"))
    told = "the taught net is taken" if better else "the plain one is taken"
    progress.say(f"plain {trained.validation.value:.1%}, taught {taught.validation.value:.1%}: {told}")
    return read_json(Trained, job.folder / RECORD)
