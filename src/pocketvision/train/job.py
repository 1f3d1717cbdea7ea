"""One training from a data set to saved weights: what the verbs `train` and `fit` share."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvision.clock import Clock, seconds
from pocketvision.compress.slim import sliced
from pocketvision.data.arrays import labels_of, prepared_each
from pocketvision.data.tensors import eval_batch_size, to_input
from pocketvision.errors import Diverged, PocketvisionError, UsageError
from pocketvision.files import read_json, write_json
from pocketvision.metrics.accuracy import accuracy
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build_spec, has_norms
from pocketvision.progress import Progress
from pocketvision.train.calibrate import fold_temperature, temperature
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.device import Engine, engine_for
from pocketvision.train.inputs import Loaded, image_spec, published_weights
from pocketvision.train.logs import open_logs
from pocketvision.train.recipe import Recipe, balance_for, recipe_for
from pocketvision.train.transfer import TrainImages, Training, logits, schedule_of, train_net
from pocketvision.values import CropMode, Epoch, ImageSpec, ModelSpec, Schedule, Trained
from pocketvision.weights.load import Weights, load_into, read
from pocketvision.weights.norms import restore_batch_norms
from pocketvision.weights.safetensors import save

BEST, LAST = "weights/best.safetensors", "weights/last.safetensors"
RECORD = "train.json"
_DETAIL = 1.25
"""Training images are kept this much larger than the net's input where they have the detail, for crops."""
_NORM_IMAGES = 256
_CLOSING_S = 0.5
"""Writing the weights, beside judging them."""
_CUT_IMAGES, _CUT_BATCH = 256, 64


@dataclass(frozen=True)
class TrainOptions:
    """What a user may say of a training, as given; None leaves it to the defaults."""

    weights: str | Path | None
    epochs: int | None
    batch_size: int | str
    lr: float | None
    optimizer: str
    patience: int | None
    flip: bool | None
    crop_mode: CropMode
    val: float
    test: float
    seed: int
    device: str
    balance: str = "auto"
    time_limit: str | None = None
    precision: str = "auto"
    log: str = "csv"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "TrainOptions":
        """Pick the fields out of a verb's settings; those that the verb does not ask for are left to the defaults."""
        return cls(**{item.name: settings[item.name] for item in fields(cls) if item.name in settings})


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
    clock: Clock = field(default_factory=Clock)
    later_s: float = 0.0
    """Seconds that the stages after training take, beside the net's answers to validation and test images."""
    precision: str = "auto"
    log: str = "csv"


def make_job(
    folder: Path, loaded: Loaded, spec: ModelSpec, start: Weights | None, *, options: TrainOptions, progress: Progress
) -> Job:
    """Settle what is to be trained; without weights at hand, published ones are fetched if they can be reached.

    The time limit of the options counts from here on; `replace(job, clock=...)` for a clock that started earlier.
    """
    if not loaded.dataset.of("val"):
        raise UsageError("training stops and chooses by validation images, and there are none; give --val above 0")
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
        balance=balance_for(options.balance, [row["train"] for row in loaded.health.counts.values()]),
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


def run_job(job: Job, *, progress: Progress) -> Trained:
    """Train, calibrate and save; an unfinished job of the same folder goes on where it stopped."""
    if (job.folder / RECORD).exists():
        return read_json(Trained, job.folder / RECORD)
    engine = engine_for(job.device, job.precision)
    engine.say = progress.say
    with engine.first_ahead():
        images = load_images(job, progress)
    torch.manual_seed(job.recipe.seed)
    net = started_net(job, images, engine.device, progress=progress)
    checkpoint = Checkpoint(job.folder / "weights")
    schedule, epochs = _learn(job, net, images, engine, progress)
    if schedule.resolutions:
        _save_last(job, net, checkpoint)
    else:
        _save(job, net, LAST)
    found = logits(net, images.val, job.image, engine.device)
    value = temperature(found, images.val_labels)
    fold_temperature(net, value)
    _save(job, net, BEST)
    trained = Trained(
        spec=job.spec,
        image=job.image,
        start=job.start,
        epochs=sum(epoch.phase == "all" for epoch in epochs),
        validation=accuracy(found, images.val_labels),
        temperature=value,
        data_digest=job.data.health.digest,
        splits=job.splits,
        schedule=schedule,
        balance=job.recipe.balance,
    )
    write_json(job.folder / RECORD, trained)
    engine.wait()
    checkpoint.discard()
    return trained


def _learn(
    job: Job, net: Net, images: TrainImages, engine: Engine, progress: Progress
) -> tuple[Schedule, tuple[Epoch, ...]]:
    if job.clock.limited and not engine.alone:
        raise UsageError("--time-limit works in one process only: several would not agree on the time; give --epochs")
    logs = open_logs(job.log if engine.place == 0 else "csv", job.folder, asdict(job.recipe))
    try:
        job.clock.reserve(later_s(job, net, images, engine.device))
        task = Training(net, images, job.image, job.folder, engine.device, clock=job.clock, engine=engine, logs=logs)
        schedule = schedule_of(task, job.recipe, Checkpoint(job.folder / "weights"), progress)
        with finite_kept(job, net):
            return schedule, train_net(task, job.recipe, progress=progress)
    except torch.OutOfMemoryError as error:
        raise PocketvisionError(
            f"the device's memory cannot hold {job.spec} beside what else it holds; end other programs on it, or take "
            "a lower --resolution or --width"
        ) from error
    finally:
        logs.close()


def later_s(job: Job, net: Net, images: TrainImages, device: torch.device) -> float:
    """Estimate the seconds from the last step to the end; nothing is timed where nothing is limited."""
    if not job.clock.limited:
        return 0.0
    some = images.val[: eval_batch_size(job.image.resolution, device)]
    took = []
    for _ in range(2):
        started = time.perf_counter()
        logits(net, some, job.image, device)
        took.append(time.perf_counter() - started)
    answer = min(took) / len(some)
    counted = 2 * len(images.val)
    if not job.later_s:
        return _CLOSING_S + answer * counted
    return _CLOSING_S + job.later_s + answer * 2 * (counted + len(job.data.dataset.of("test")))


def load_images(job: Job, progress: Progress) -> TrainImages:
    """Prepare the training and validation images, every file decoded at most once more."""
    train, val = job.data.dataset.of("train"), job.data.dataset.of("val")
    load = {"decoded": job.data.decoded, "progress": progress}
    finer = round(job.image.resolution * _DETAIL)
    specs = [job.image]
    if job.data.health.median_short_side >= finer:
        specs.append(replace(job.image, resolution=finer))
    plain, *others = prepared_each(job.data.dataset, train, specs, **load)  # type: ignore[arg-type]
    (validation,) = prepared_each(job.data.dataset, val, [job.image], **load)  # type: ignore[arg-type]
    source = others[0] if others else plain
    return TrainImages(source, plain, labels_of(train), validation, labels_of(val))


def started_net(
    job: Job, images: TrainImages, device: torch.device, *, keep_head: bool = False, progress: Progress
) -> Net:
    """Build the net and load its starting weights, of a wider net those of some channels; with `keep_head` its
    classifier too. Folded weights get their batch norms back from training images."""
    net = build_spec(job.spec)
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if job.weights is None:
        return net
    cut = job.weights
    if cut.spec.width != job.spec.width:
        parts = _drawn(job, images, _CUT_IMAGES, _CUT_BATCH)
        cpu = torch.device("cpu")
        shown = [to_input(images.train[np.sort(part)], job.image, cpu) for part in parts]
        cut = sliced(cut, job.spec, shown, progress=progress)
    report = load_into(net, cut, keep_head=keep_head)
    if report.folded:
        parts = _drawn(job, images, _NORM_IMAGES, 32)
        restore_batch_norms(net, (to_input(images.train[part], job.image, device) for part in parts))
    return net


def _drawn(job: Job, images: TrainImages, count: int, batch: int) -> list[NDArray[np.int64]]:
    order = np.random.default_rng(job.recipe.seed).permutation(len(images.train))[:count]
    return [order[start : start + batch] for start in range(0, len(order), batch)]


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


@contextmanager
def finite_kept(job: Job, net: Net) -> Iterator[None]:
    """Where the body diverges and the net holds the weights from before, save them as the last ones, and say so."""
    try:
        yield
    except Diverged as error:
        if error.kept:
            _save(job, net, LAST)
            error.args = (f"{error}. The best weights from before are in {(job.folder / LAST).as_posix()}",)
        raise


def _save(job: Job, net: Net, name: str) -> None:
    save(net, job.spec, image=job.image, labels=job.data.dataset.labels, path=job.folder / name)
