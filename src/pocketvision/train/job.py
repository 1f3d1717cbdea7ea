"""One training from a data set to saved weights: what the verbs `train` and `fit` share."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketvision.data.arrays import labels_of, prepared
from pocketvision.errors import UsageError
from pocketvision.files import read_json, write_json
from pocketvision.metrics.accuracy import accuracy
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build_spec, has_norms
from pocketvision.progress import Progress
from pocketvision.train.calibrate import fold_temperature, temperature
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.device import accelerator
from pocketvision.train.recipe import Recipe, recipe_for
from pocketvision.train.start import Loaded, image_spec, published_weights
from pocketvision.train.transfer import Pictures, Training, logits, to_input, train_net
from pocketvision.values import CropMode, ImageSpec, ModelSpec, Trained
from pocketvision.weights.load import Weights, load_into, read
from pocketvision.weights.norms import restore_batch_norms
from pocketvision.weights.safetensors import save

BEST, LAST = "weights/best.safetensors", "weights/last.safetensors"
RECORD = "train.json"
_DETAIL = 1.25
"""Training pictures are kept this much larger than the net's input where they have the detail, for crops."""
_NORM_PICTURES = 256


@dataclass(frozen=True)
class TrainOptions:
    """What a user may say of a training, as given; None leaves it to the defaults."""

    weights: str | Path | None
    epochs: int | None
    batch_size: int | None
    lr: float | None
    optimizer: str
    patience: int | None
    flip: bool | None
    crop_mode: CropMode
    val: float
    test: float
    seed: int
    device: str

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "TrainOptions":
        """Pick the fields out of a verb's settings."""
        return cls(**{item.name: settings[item.name] for item in fields(cls)})


@dataclass(frozen=True)
class Job:
    """What is to be trained."""

    data: Loaded
    spec: ModelSpec
    image: ImageSpec
    recipe: Recipe
    weights: Weights | None
    start: str
    splits: dict[str, float | int]
    device: str
    folder: Path


def make_job(
    folder: Path, loaded: Loaded, spec: ModelSpec, start: Weights | None, *, options: TrainOptions, progress: Progress
) -> Job:
    """Settle what is to be trained; without weights at hand, published ones are fetched if they can be reached."""
    origin = Path(str(options.weights)).name
    if start is None:
        start, origin = published_weights(spec, options.weights, progress)
    recipe = recipe_for(
        transfer=start is not None,
        examples=len(loaded.dataset.of("train")),
        norms=has_norms(spec.name),
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.lr,
        optimizer=options.optimizer,
        patience=options.patience,
        flip=loaded.dataset.mirror_safe if options.flip is None else options.flip,
        seed=options.seed,
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
    )


def run_job(job: Job, *, progress: Progress) -> Trained:
    """Train, calibrate and save; an unfinished job of the same folder goes on where it stopped."""
    if (job.folder / RECORD).exists():
        return read_json(Trained, job.folder / RECORD)
    device = accelerator(job.device).device
    pictures = load_pictures(job, progress)
    torch.manual_seed(job.recipe.seed)
    net = started_net(job, pictures, device)
    task = Training(net, pictures, job.image, job.folder, device)
    epochs = train_net(task, job.recipe, progress=progress)
    checkpoint = Checkpoint(job.folder / "weights")
    _save_last(job, net, checkpoint)
    found = logits(net, pictures.val, job.image, device)
    value = temperature(found, pictures.val_labels)
    fold_temperature(net, value)
    _save(job, net, BEST)
    trained = Trained(
        spec=job.spec,
        image=job.image,
        start=job.start,
        epochs=sum(epoch.phase == "all" for epoch in epochs),
        validation=accuracy(found, pictures.val_labels),
        temperature=value,
        data_digest=job.data.health.digest,
        splits=job.splits,
    )
    write_json(job.folder / RECORD, trained)
    checkpoint.discard()
    return trained


def load_pictures(job: Job, progress: Progress) -> Pictures:
    """Prepare the training and validation pictures, every file decoded at most once more."""
    train, val = job.data.dataset.of("train"), job.data.dataset.of("val")
    if not val:
        raise UsageError("training stops and chooses by validation images, and there are none; give --val above 0")
    load = {"decoded": job.data.decoded, "progress": progress}
    plain = prepared(job.data.dataset, train, job.image, **load)  # type: ignore[arg-type]
    finer = round(job.image.resolution * _DETAIL)
    source = plain
    if job.data.health.median_short_side >= finer:
        source = prepared(job.data.dataset, train, replace(job.image, resolution=finer), **load)  # type: ignore[arg-type]
    validation = prepared(job.data.dataset, val, job.image, **load)  # type: ignore[arg-type]
    return Pictures(source, plain, labels_of(train), validation, labels_of(val))


def started_net(job: Job, pictures: Pictures, device: torch.device) -> Net:
    """Build the net and load its starting weights; folded ones get their batch norms back from training pictures."""
    spec = job.spec
    net = build_spec(spec)
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if job.weights is None:
        return net
    report = load_into(net, job.weights, keep_head=False)
    if report.folded:
        order = np.random.default_rng(job.recipe.seed).permutation(len(pictures.train))[:_NORM_PICTURES]
        parts = (order[start : start + 32] for start in range(0, len(order), 32))
        restore_batch_norms(net, (to_input(pictures.train[part], job.image, device) for part in parts))
    return net


def trained_net(folder: Path) -> tuple[Net, Trained]:
    """Load the best weights of a training's folder, in eval mode."""
    if not (folder / RECORD).exists():
        raise UsageError(f"{folder} holds no finished training; start one with `pocketvision train` or `fit`")
    trained = read_json(Trained, folder / RECORD)
    spec = trained.spec
    net = build_spec(spec)
    load_into(net, read(folder / BEST), keep_head=True)
    return net.eval(), trained


def _save_last(job: Job, net: Net, checkpoint: Checkpoint) -> None:
    best = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.load_state_dict(checkpoint.last())
    _save(job, net, LAST)
    net.load_state_dict(best)


def _save(job: Job, net: Net, name: str) -> None:
    save(net, job.spec, image=job.image, labels=job.data.dataset.labels, path=job.folder / name)
