"""How a small net is taught by larger trained ones, from the best start there is."""

from collections.abc import Sequence
from dataclasses import replace

from pocketvision.errors import UsageError
from pocketvision.models.catalogue import parse_name
from pocketvision.train.job import BEST, Job, TrainOptions
from pocketvision.train.lesson import EPOCHS
from pocketvision.train.start import Loaded, image_spec
from pocketvision.train.teacher import Teacher
from pocketvision.values import ModelSpec
from pocketvision.weights.load import Weights


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
