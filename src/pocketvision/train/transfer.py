"""From given weights: the head first, on features computed once, then the whole net. From scratch: the whole net."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.clock import Clock
from pocketvision.data.arrays import Prepared
from pocketvision.data.augment import Augment, augment, seed_of, seeds_of, turns_of
from pocketvision.data.tensors import eval_batches, normalize, to_input
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress, Silent, track
from pocketvision.train.checkpoint import Checkpoint, Position
from pocketvision.train.device import Engine
from pocketvision.train.logs import Logs
from pocketvision.train.loop import Phase, run_phase
from pocketvision.train.modes import layer_groups, set_train_mode
from pocketvision.train.objective import Batch, CrossEntropy, Objective, class_weights, mixed
from pocketvision.train.recipe import Recipe
from pocketvision.train.schedule import FEWEST, fitted, head_images, scheduled
from pocketvision.train.threads import threads_for
from pocketvision.values import Epoch, ImageSpec, Schedule

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class TrainImages:
    """The images of a training as uint8 [N, S, S, 3], in memory or mapped from files."""

    source: Prepared
    """Training images that augmentation crops from; may be larger than the net's resolution."""
    train: Prepared
    """The same images as the net sees them without augmentation."""
    train_labels: Labels
    val: Prepared
    val_labels: Labels


@dataclass(frozen=True)
class Training:
    """One training of one net: what `train_net` needs besides the recipe."""

    net: Net
    images: TrainImages
    image: ImageSpec
    folder: Path
    """The run's folder; checkpoints lie in its `weights`."""
    device: torch.device
    objective: Objective | None = None
    """What the whole net is trained for instead of cross-entropy, such as a teacher's answers; the head is not."""
    clock: Clock = field(default_factory=Clock)
    """The time that is left; a training without a limit has all."""
    engine: Engine = field(default_factory=Engine)
    logs: Logs | None = None
    """Where finished epochs are told; without it, results.csv alone."""


def train_net(task: Training, recipe: Recipe, *, progress: Progress = Silent()) -> tuple[Epoch, ...]:
    """Train and leave the best weights in the net; goes on from a checkpoint if the run's folder holds one.

    With `recipe.head_epochs` the classifier is trained alone first. Returns every epoch of both phases.
    """
    checkpoint = Checkpoint(task.folder / "weights")
    task.net.to(task.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    schedule = schedule_of(task, recipe, checkpoint, progress)
    settings = {"folder": task.folder, "progress": progress}
    position = Position("all")
    if task.device.type == "cuda" and checkpoint.phase() is None and task.engine.alone:
        from pocketvision.train.speed import probe

        probe(task, recipe)
    if schedule.head_epochs and checkpoint.phase() != "all":
        position = run_phase(_head(task, recipe, schedule, progress), recipe, checkpoint, **settings)  # type: ignore[arg-type]
    if schedule.resolutions:
        position = run_phase(_whole(task, recipe, schedule), recipe, checkpoint, **settings)  # type: ignore[arg-type]
    set_train_mode(task.net, frozen=0, fixed_norms=False)
    task.net.eval()
    return position.epochs


def schedule_of(task: Training, recipe: Recipe, checkpoint: Checkpoint, progress: Progress) -> Schedule:
    """Settle what the epochs do: as the recipe says, or as fits the time; an interrupted run keeps its plan."""

    def of(epochs: int) -> Schedule:
        return scheduled(replace(recipe, epochs=epochs), task.image.resolution, len(task.net.features))

    if not task.clock.limited:
        return of(recipe.epochs)
    stored = checkpoint.schedule()
    if stored is not None:
        return stored
    if task.clock.left() <= 0 and recipe.head_epochs:
        progress.say("time limit: over already; the head alone is trained, on few images")
        return checkpoint.keep_schedule(Schedule(recipe.head_epochs, (), (), head_images=FEWEST))
    return checkpoint.keep_schedule(_timed_schedule(task, recipe, of, progress))


def _timed_schedule(task: Training, recipe: Recipe, of: Callable[[int], Schedule], progress: Progress) -> Schedule:
    from pocketvision.train.speed import measured

    steps = len(_orders(task.images, recipe, 0))
    speed = measured(task, recipe)
    left = max(0.0, task.clock.left())
    count, features_s = head_images(len(task.images.train), speed, mirrored=recipe.flip, left_s=left)
    head_s = features_s + 2 * speed.validation if recipe.head_epochs else 0.0
    schedule = fitted(of, speed, steps=steps, most=recipe.epochs, left_s=max(0.0, left - head_s))
    late = head_s - task.clock.left()
    if late > 0:
        progress.say(
            f"time limit: too short for this data and machine; the head alone is trained, about {late:.0f} s late"
        )
    else:
        told = (
            f"{len(schedule.resolutions)} of up to {recipe.epochs} epochs, about {sum(schedule.seconds) + head_s:.0f} s"
        )
        progress.say(f"time limit: {told} of the {left:.0f} s left")
    return replace(schedule, head_images=count if recipe.head_epochs else None)


def _orders(images: TrainImages, recipe: Recipe, epoch: int) -> list[NDArray[np.int64]]:
    drawn = images.train_labels if recipe.balance == "sampler" else None
    return shuffled(len(images.source), recipe.batch_size, recipe.seed, epoch, balanced=drawn)


def view_batches(task: Training, recipe: Recipe, epoch: int, resolution: int) -> Iterator[Batch]:
    """Yield an epoch's batches of random views; the same for the same seed, epoch and resolution."""
    images, settings = task.images, Augment(flip=recipe.flip)
    orders = _orders(images, recipe, epoch)
    turns = np.split(turns_of(np.concatenate(orders)), np.cumsum([len(chosen) for chosen in orders])[:-1])
    for place, (chosen, turn) in enumerate(zip(orders, turns, strict=True)):
        pixels = torch.from_numpy(np.ascontiguousarray(images.source[chosen])).to(task.device)
        seeds = seeds_of(recipe.seed, epoch, chosen, turn)
        views = normalize(augment(pixels, resolution, settings, seeds=seeds), task.image)
        labels = torch.from_numpy(images.train_labels[chosen]).to(task.device)
        batch = Batch(views, labels, torch.from_numpy(chosen))
        if recipe.mixup:
            yield mixed(batch, classes_of(task.net), alpha=recipe.mixup, seed=seed_of(recipe.seed, epoch, place))
        else:
            yield batch


def classes_of(net: Net) -> int:
    """Return the number of the net's outputs."""
    last = [module for module in net.classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    return int(last.weight.shape[0])


def _whole(task: Training, recipe: Recipe, schedule: Schedule) -> Phase:
    def prepare(epoch: int) -> int:
        set_train_mode(task.net, frozen=schedule.frozen[epoch], fixed_norms=recipe.norms == "fixed")
        return schedule.resolutions[epoch]

    plain, weights = label_objective(task, recipe)
    return Phase(
        "all",
        task.net,
        len(schedule.resolutions),
        recipe.learning_rate,
        len(_orders(task.images, recipe, 0)),
        lambda epoch: view_batches(task, recipe, epoch, schedule.resolutions[epoch]),
        validation_of(task),
        counts_start=schedule.head_epochs > 0,
        objective=task.objective or plain,
        weights=weights,
        layers=layer_groups(task.net, recipe.rate_decay),
        prepare=prepare,
        clock=task.clock,
        seconds=schedule.seconds,
        engine=task.engine,
        logs=task.logs,
        threads=threads_for(task.device, alone=task.engine.alone),
    )


def label_objective(task: Training, recipe: Recipe) -> tuple[CrossEntropy, NDArray[np.float64] | None]:
    """Return the loss, and what each class counts in the validation loss where classes are balanced."""
    if recipe.balance == "none":
        return CrossEntropy(recipe.label_smoothing), None
    weights = class_weights(task.images.train_labels, classes_of(task.net))
    learned = torch.from_numpy(weights).to(task.device, torch.float32) if recipe.balance == "weights" else None
    return CrossEntropy(recipe.label_smoothing, learned), weights


def validation_of(task: Training) -> Callable[[], Iterator[Batch]]:
    """Return what yields the validation images, as many at once as the device takes fastest."""

    def batches() -> Iterator[Batch]:
        for part in eval_batches(len(task.images.val), task.image.resolution, task.device):
            labels = torch.from_numpy(task.images.val_labels[part]).to(task.device)
            yield Batch(to_input(task.images.val[part], task.image, task.device), labels, torch.arange(len(labels)))

    return batches


def _head(task: Training, recipe: Recipe, schedule: Schedule, progress: Progress) -> Phase:
    images, few = task.images, schedule.head_images
    views = [slice(None), slice(None, None, -1)] if recipe.flip and few is None else [slice(None)]
    shown = np.sort(np.random.default_rng(recipe.seed).permutation(len(images.train))[:few])
    train = images.train if few is None else images.train[shown]
    features = torch.cat([_features(task, train, progress, columns=view) for view in views])
    labels = np.tile(images.train_labels[shown], len(views))
    val_features = _features(task, images.val, progress)
    balanced = labels if recipe.balance == "sampler" else None
    targets, val_labels = (torch.from_numpy(item).to(task.device) for item in (labels, images.val_labels))

    def batches(epoch: int) -> Iterator[Batch]:
        for chosen in shuffled(len(features), recipe.batch_size, recipe.seed, epoch, balanced=balanced):
            places = torch.from_numpy(shown[chosen % len(shown)])
            yield Batch(features[chosen], targets[chosen], places)

    def validation() -> Iterator[Batch]:
        yield Batch(val_features, val_labels, torch.arange(len(val_labels)))

    plain, weights = label_objective(task, recipe)
    return Phase(
        "head",
        task.net.classifier,
        recipe.head_epochs,
        recipe.head_learning_rate,
        len(shuffled(len(features), recipe.batch_size, recipe.seed, 0)),
        batches,
        validation,
        counts_start=False,
        objective=plain,
        weights=weights,
        clock=task.clock,
        cuts=False,
        engine=task.engine,
        logs=task.logs,
    )


@torch.no_grad()
def _features(task: Training, pixels: Prepared, progress: Progress, *, columns: slice = slice(None)) -> Tensor:
    task.net.eval()
    parts = list(eval_batches(len(pixels), task.image.resolution, task.device))
    return torch.cat(
        [
            task.net.embed(to_input(np.ascontiguousarray(pixels[part][:, :, columns]), task.image, task.device))
            for part in track(parts, progress, "features", len(parts))
        ]
    )


def shuffled(
    count: int, batch_size: int, seed: int, epoch: int, *, balanced: Labels | None = None
) -> list[NDArray[np.int64]]:
    """Split a seeded order of `count` examples into batches; a last batch of one joins its neighbor, since a batch
    norm cannot be estimated from it.

    With `balanced` labels examples are drawn with replacement, so that every class comes equally often.
    """
    rng = np.random.default_rng([seed, epoch])
    if balanced is None:
        order = rng.permutation(count)
    else:
        share = 1 / np.bincount(balanced)[balanced]
        order = rng.choice(count, count, p=share / share.sum())
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


@torch.no_grad()
def logits(net: nn.Module, pixels: Prepared, image: ImageSpec, device: torch.device) -> NDArray[np.float32]:
    """Return the net's logits [N, classes] for prepared uint8 images [N, R, R, 3]."""
    net.eval()
    parts = eval_batches(len(pixels), image.resolution, device)
    return torch.cat([net(to_input(pixels[part], image, device)).cpu() for part in parts]).numpy()
