"""Where batches come from: random views of the training images, or features of a frozen net; made ahead by a thread."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.data.arrays import Prepared
from pocketvision.data.augment import Augment, augment, seed_of, seeds_of, turns_of
from pocketvision.data.augment_boxes import AugmentBoxes, augment_boxes
from pocketvision.data.tensors import eval_batches, normalize, to_input
from pocketvision.tasks import learning
from pocketvision.train.objective import Batch
from pocketvision.train.recipe import Recipe
from pocketvision.values import ImageSpec, TaskSpec
from pocketvision.values.nets import CLASSES

T = TypeVar("T")
Labels = NDArray[np.int64]
DEPTH = 2
"""Batches that are made before they are asked for."""


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
    spec: TaskSpec = CLASSES
    """What the labels are for."""


class BatchSource(Protocol):
    """Batches to learn from; all randomness follows from the epoch's number, so that a repeated epoch is the same."""

    @property
    def steps(self) -> int:
        """Return the number of batches of an epoch."""
        ...

    def batches(self, epoch: int, resolution: int) -> Iterator[Batch]:
        """Yield an epoch's batches, of images of this side."""
        ...


@dataclass(frozen=True, eq=False)
class RandomViews:
    """Random views of the training images, another one of each image in every epoch."""

    images: TrainImages
    image: ImageSpec
    recipe: Recipe
    num_classes: int
    device: torch.device

    @cached_property
    def steps(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.orders(0))

    def batches(self, epoch: int, resolution: int) -> Iterator[Batch]:
        """Yield an epoch's batches; the same for the same seed, epoch and resolution."""
        images, recipe = self.images, self.recipe
        orders = self.orders(epoch)
        turns = np.split(turns_of(np.concatenate(orders)), np.cumsum([len(chosen) for chosen in orders])[:-1])
        for place, (chosen, turn) in enumerate(zip(orders, turns, strict=True)):
            labels = torch.from_numpy(images.train_labels[chosen]).to(self.device)
            if learning(images.spec.name).PLACED:
                pixels, seeds = self._pixels(chosen), seeds_of(recipe.seed, epoch, chosen, turn)
                boxes = AugmentBoxes(flip=recipe.flip)
                views, labels = augment_boxes(pixels, labels, resolution, boxes, seeds=seeds)
            else:
                views = self.shown(epoch, chosen, resolution, turn)
            batch = Batch(normalize(views, self.image), labels, torch.from_numpy(chosen))
            if recipe.mixup:
                seed = seed_of(recipe.seed, epoch, place)
                yield mixed(batch, self.num_classes, alpha=recipe.mixup, seed=seed)
            else:
                yield batch

    def shown(
        self, view: int, chosen: NDArray[np.int64], resolution: int, turns: NDArray[np.int64] | None = None
    ) -> Tensor:
        """Return some training images as a view shows them, float [n, 3, R, R] in 0..1: the same crop at any R.

        `turns` is as in `seeds_of`.
        """
        settings, seeds = Augment(flip=self.recipe.flip), seeds_of(self.recipe.seed, view, chosen, turns)
        return augment(self._pixels(chosen), resolution, settings, seeds=seeds)

    def _pixels(self, chosen: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.images.source[chosen])).to(self.device)

    def validation(self) -> Iterator[Batch]:
        """Yield the validation images as evaluation sees them, as many at once as the device takes fastest."""
        images = self.images
        for part in eval_batches(len(images.val), self.image.resolution, self.device):
            labels = torch.from_numpy(images.val_labels[part]).to(self.device)
            yield Batch(to_input(images.val[part], self.image, self.device), labels, torch.arange(len(labels)))

    def orders(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return which images the batches of an epoch hold."""
        recipe, drawn = self.recipe, self.images.train_labels if self.recipe.balance == "sampler" else None
        return shuffled(len(self.images.source), recipe.batch_size, recipe.seed, epoch, balanced=drawn)


@dataclass(frozen=True, eq=False)
class FixedFeatures:
    """Features of a frozen net, for its head: there is nothing to augment, and a resolution means nothing."""

    features: Tensor
    """[views * images, ...]"""
    labels: Labels
    """[views * images]"""
    indices: Labels
    """Which training examples these are [images]."""
    recipe: Recipe

    @cached_property
    def steps(self) -> int:
        """Return the number of batches of an epoch."""
        return len(shuffled(len(self.features), self.recipe.batch_size, self.recipe.seed, 0))

    @cached_property
    def _targets(self) -> Tensor:
        return torch.from_numpy(self.labels).to(self.features.device)

    def batches(self, epoch: int, resolution: int) -> Iterator[Batch]:  # noqa: ARG002  features have none
        """Yield an epoch's batches."""
        recipe, balanced = self.recipe, self.labels if self.recipe.balance == "sampler" else None
        for chosen in shuffled(len(self.features), recipe.batch_size, recipe.seed, epoch, balanced=balanced):
            indices = torch.from_numpy(self.indices[chosen % len(self.indices)])
            yield Batch(self.features[chosen], self._targets[chosen], indices)


def shuffled(
    count: int, batch_size: int, seed: int, epoch: int, *, balanced: Labels | None = None
) -> list[NDArray[np.int64]]:
    """Split a seeded order of `count` examples into batches.

    A last batch of one joins its neighbor, since a batch norm cannot be estimated from it. With `balanced` labels
    examples are drawn with replacement, so that every class comes equally often.
    """
    rng = np.random.default_rng([seed, epoch])
    if balanced is None:
        order = rng.permutation(count)
    else:
        chances = 1 / np.bincount(balanced)[balanced]
        order = rng.choice(count, count, p=chances / chances.sum())
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def mixed(batch: Batch, num_classes: int, *, alpha: float, seed: int) -> Batch:
    """Blend every image with another of its batch by one random weight (mixup, Zhang et al., 2018)."""
    rng = np.random.default_rng(seed)
    weight = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(batch.targets))).to(batch.inputs.device)
    hot = nn.functional.one_hot(batch.targets, num_classes).to(batch.inputs.dtype)
    inputs = batch.inputs.lerp(batch.inputs[order], 1 - weight)
    return Batch(inputs, hot.lerp(hot[order], 1 - weight), batch.indices)


def prefetch(items: Iterator[T], depth: int = DEPTH) -> Iterator[T]:
    """Yield the same items in the same order; up to `depth` of them are made before they are asked for."""
    # One thread of its own kind: a team of them beside the training's would outnumber the cores.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        coming: deque[Future[tuple[T] | None]] = deque(pool.submit(_next, items) for _ in range(depth))
        try:
            while (found := coming.popleft().result()) is not None:
                coming.append(pool.submit(_next, items))
                yield found[0]
        finally:
            for future in coming:
                future.cancel()


def _next(items: Iterator[T]) -> tuple[T] | None:
    for item in items:
        return (item,)
    return None
