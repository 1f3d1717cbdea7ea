"""What a training is made of: what was asked, what follows from it, the images, and the net with its first weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvision.clock import Clock, seconds
from pocketvision.compress.slim import sliced
from pocketvision.data.arrays import prepared_each
from pocketvision.data.tensors import to_input
from pocketvision.errors import UsageError
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build_spec, has_norms
from pocketvision.progress import Progress
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks import learning, load, of_kind, spec_for_net
from pocketvision.train.batches import TrainImages
from pocketvision.train.inputs import Loaded, image_spec, published_weights
from pocketvision.train.recipe import Recipe, balance_for, recipe_for
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights.load import Weights, load_into, without_predictors
from pocketvision.weights.norms import restore_batch_norms

DETAIL = 1.25
"""Training images are kept this much larger than the net's input where they have the detail, for crops."""
_NORM_IMAGES, _NORM_BATCH = 256, 32
_SLIM_IMAGES, _SLIM_BATCH = 256, 64


@dataclass(frozen=True)
class Job:
    """What is to be trained."""

    data: Loaded
    spec: ModelSpec
    image: ImageSpec
    recipe: Recipe
    weights: Weights | None
    """What the net begins with, of its width or wider; None from scratch."""
    start: str
    """Where the weights come from, in words."""
    splits: dict[str, float | int]
    device: str
    """As asked; so is the precision. `train.device.Engine` is what follows from both."""
    folder: Path
    keep_head: bool = False
    """Whether the classifier of the weights is taken too: of the same classes, it knows them already."""
    clock: Clock = field(default_factory=Clock)
    later_s: float = 0.0
    """Seconds that the stages after training take, beside the net's answers to validation and test images."""
    precision: str = "auto"
    log: str = "csv"


def make_job(
    folder: Path, loaded: Loaded, spec: ModelSpec, start: Weights | None, *, options: TrainConfig, progress: Progress
) -> Job:
    """Settle what is to be trained; without weights at hand, published ones are fetched if they can be reached.

    The time limit of the options counts from here on; `replace(job, clock=...)` for a clock that started earlier.
    """
    if not loaded.dataset.of("val"):
        raise UsageError("training stops and chooses by validation images, and there are none; give --val above 0")
    if options.crop_mode == "crop" and not load(loaded.spec.name).CROPS:
        raise UsageError("--crop-mode crop would cut things away at the sides; leave it away: boxes need whole images")
    origin = _named(options.weights)
    if start is None:
        start, origin = published_weights(spec, options.weights, progress, offline=options.offline)
    recipe = recipe_for(
        options,
        transfer=start is not None,
        examples=len(loaded.dataset.of("train")),
        norms=has_norms(spec.name),
        mirror=loaded.dataset.mirror_safe,
        balance=balance_for(options.balance, _class_counts(loaded)),
        defaults=learning(loaded.spec.name).DEFAULTS,
    )
    return Job(
        data=loaded,
        spec=replace(spec, padding=start.spec.padding) if start else spec,
        image=image_spec(spec.resolution, options.crop_mode, start),
        recipe=recipe,
        weights=start,
        start=origin,
        splits={"seed": options.seed, "val": options.val, "test": options.test},
        device=options.device,
        folder=folder,
        clock=Clock(seconds(options.time_limit)),
        precision=options.precision,
        log=options.log,
    )


def _named(weights: Sequence[str | Path] | str | Path | None) -> str:
    """Name the weights that were given."""
    given = [weights] if weights is None or isinstance(weights, str | Path) else weights
    return ", ".join(Path(str(one)).name for one in given)


def _class_counts(loaded: Loaded) -> list[int]:
    """Return the training images of each class; none where labels do not exclude each other, and nothing is uneven."""
    return [row["train"] for row in loaded.health.counts.values()] if loaded.dataset.kind == "classes" else []


def load_images(job: Job, progress: Progress, *, teachers: int = 0) -> TrainImages:
    """Prepare the training and validation images, every file decoded at most once more.

    Views are cropped from images with more detail than the net takes, where the files have it; with more still where
    `teachers`, the largest resolution of any, asks for it.
    """
    train, val = job.data.dataset.of("train"), job.data.dataset.of("val")
    load = {"decoded": job.data.decoded, "progress": progress}
    there, finer = job.data.health.median_short_side, round(job.image.resolution * DETAIL)
    own = finer if there >= finer else job.image.resolution
    side = max(own, min(round(teachers * DETAIL), there))
    specs = [job.image] if side == job.image.resolution else [job.image, replace(job.image, resolution=side)]
    plain, *others = prepared_each(job.data.dataset, train, specs, **load)  # type: ignore[arg-type]
    (validation,) = prepared_each(job.data.dataset, val, [job.image], **load)  # type: ignore[arg-type]
    source = others[0] if others else plain
    task = of_kind(job.data.dataset.kind)
    spec = spec_for_net(job.data.spec, job.spec)
    return TrainImages(source, plain, task.targets(train), validation, task.targets(val), spec)


def started_net(job: Job, images: TrainImages, device: torch.device, *, progress: Progress) -> Net:
    """Build the net and load its first weights, of a wider net those of the channels that matter most.

    Weights whose batch norms were folded get them back from training images.
    """
    net = build_spec(job.spec)
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not job.keep_head:
        learning(images.spec.name).start_head(net.classifier, images.train_labels)
    if job.weights is None:
        return net
    weights = job.weights
    if weights.spec.width != job.spec.width:
        drawn = _drawn(job, images, _SLIM_IMAGES, _SLIM_BATCH)
        shown = [to_input(images.train[np.sort(part)], job.image, torch.device("cpu")) for part in drawn]
        weights = sliced(without_predictors(weights), job.spec, shown, progress=progress)
    report = load_into(net, weights, keep_head=job.keep_head, labels=job.data.dataset.labels)
    if report.folded:
        drawn = _drawn(job, images, _NORM_IMAGES, _NORM_BATCH)
        batches = (to_input(images.train[part], job.image, device) for part in drawn)
        restore_batch_norms(net, batches, fresh=report.fresh)
    return net


def _drawn(job: Job, images: TrainImages, count: int, batch: int) -> list[NDArray[np.int64]]:
    order = np.random.default_rng(job.recipe.seed).permutation(len(images.train))[:count]
    return [order[start : start + batch] for start in range(0, len(order), batch)]
