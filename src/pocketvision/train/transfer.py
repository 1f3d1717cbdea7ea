"""From given weights: the head first, on features computed once, then the whole net. From scratch: the whole net."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.data.augment import Augment, augment, seed_of
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress, Silent, track
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.loop import Batch, Phase, run_phase
from pocketvision.train.recipe import Recipe
from pocketvision.values import Epoch, ImageSpec

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
EVAL_BATCH = 64


@dataclass(frozen=True)
class Pictures:
    """The pictures of a training, in memory as uint8 [N, S, S, 3]."""

    source: Pixels
    """Training pictures that augmentation crops from; may be larger than the net's resolution."""
    train: Pixels
    """The same pictures as the net sees them without augmentation."""
    train_labels: Labels
    val: Pixels
    val_labels: Labels


def to_input(pixels: Pixels | Tensor, image: ImageSpec, device: torch.device) -> Tensor:
    """Turn uint8 [N, R, R, 3] into normalised float [N, 3, R, R]."""
    batch = torch.as_tensor(pixels).to(device).permute(0, 3, 1, 2).float().div_(255)
    return normalise(batch, image)


def normalise(batch_nchw: Tensor, image: ImageSpec) -> Tensor:
    """Apply (x - mean) / std to values in 0..1, channels last in memory."""
    mean = torch.tensor(image.mean, device=batch_nchw.device).view(1, 3, 1, 1)
    std = torch.tensor(image.std, device=batch_nchw.device).view(1, 3, 1, 1)
    return ((batch_nchw - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Training:
    """One training of one net: what `train_net` needs besides the recipe."""

    net: Net
    pictures: Pictures
    image: ImageSpec
    folder: Path
    """The run's folder; checkpoints lie in its `weights`."""
    device: torch.device


def train_net(task: Training, recipe: Recipe, *, progress: Progress = Silent()) -> tuple[Epoch, ...]:
    """Train and leave the best weights in the net; goes on from a checkpoint if the run's folder holds one.

    With `recipe.head_epochs` the classifier is trained alone first. Returns every epoch of both phases.
    """
    checkpoint = Checkpoint(task.folder / "weights")
    task.net.to(task.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = {"folder": task.folder, "progress": progress}
    if recipe.head_epochs and checkpoint.phase() != "all":
        run_phase(_head(task, recipe, progress), recipe, checkpoint, **settings)  # type: ignore[arg-type]
    standing = run_phase(_whole(task, recipe), recipe, checkpoint, **settings)  # type: ignore[arg-type]
    task.net.eval()
    return standing.epochs


def _whole(task: Training, recipe: Recipe) -> Phase:
    pictures = task.pictures
    settings = Augment(flip=recipe.flip)

    def batches(epoch: int) -> Iterator[Batch]:
        for place, chosen in enumerate(shuffled(len(pictures.source), recipe.batch_size, recipe.seed, epoch)):
            pixels = torch.from_numpy(pictures.source[chosen]).to(task.device)
            seed = seed_of(recipe.seed, epoch, place)
            batch = augment(pixels, task.image.resolution, settings, seed=seed)
            yield normalise(batch, task.image), torch.from_numpy(pictures.train_labels[chosen]).to(task.device)

    steps = len(shuffled(len(pictures.source), recipe.batch_size, recipe.seed, 0))
    return Phase(
        "all",
        task.net,
        recipe.epochs,
        recipe.learning_rate,
        steps,
        batches,
        _validation(task),
        counts_start=recipe.head_epochs > 0,
    )


def _validation(task: Training) -> Callable[[], Iterator[Batch]]:
    def batches() -> Iterator[Batch]:
        for start in range(0, len(task.pictures.val), EVAL_BATCH):
            part = slice(start, start + EVAL_BATCH)
            labels = torch.from_numpy(task.pictures.val_labels[part]).to(task.device)
            yield to_input(task.pictures.val[part], task.image, task.device), labels

    return batches


def _head(task: Training, recipe: Recipe, progress: Progress) -> Phase:
    pictures = task.pictures
    views = [pictures.train, pictures.train[:, :, ::-1]] if recipe.flip else [pictures.train]
    features = torch.cat([_features(task, np.ascontiguousarray(view), progress) for view in views])
    labels = torch.from_numpy(np.tile(pictures.train_labels, len(views))).to(task.device)
    val_features = _features(task, pictures.val, progress)
    val_labels = torch.from_numpy(pictures.val_labels).to(task.device)

    def batches(epoch: int) -> Iterator[Batch]:
        for chosen in shuffled(len(features), recipe.batch_size, recipe.seed, epoch):
            yield features[chosen], labels[chosen]

    def validation() -> Iterator[Batch]:
        yield val_features, val_labels

    steps = len(shuffled(len(features), recipe.batch_size, recipe.seed, 0))
    return Phase(
        "head",
        task.net.classifier,
        recipe.head_epochs,
        recipe.head_learning_rate,
        steps,
        batches,
        validation,
        counts_start=False,
    )


@torch.no_grad()
def _features(task: Training, pixels: Pixels, progress: Progress) -> Tensor:
    task.net.eval()
    starts = range(0, len(pixels), EVAL_BATCH)
    return torch.cat(
        [
            task.net.embed(to_input(pixels[start : start + EVAL_BATCH], task.image, task.device))
            for start in track(starts, progress, "features", len(starts))
        ]
    )


def shuffled(count: int, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Split a seeded order of `count` examples into batches; a last batch of one joins its neighbour, since a batch
    norm cannot be estimated from it."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


@torch.no_grad()
def logits(net: nn.Module, pixels: Pixels, image: ImageSpec, device: torch.device) -> NDArray[np.float32]:
    """Return the net's logits [N, classes] for prepared uint8 pictures [N, R, R, 3]."""
    net.eval()
    starts = range(0, len(pixels), EVAL_BATCH)
    return torch.cat([net(to_input(pixels[s : s + EVAL_BATCH], image, device)).cpu() for s in starts]).numpy()
