"""Feature maps: what the lower layers make of every training view, computed once, which the upper layers learn from.

They lie in the cache, under what decides them: the lower layers' weights, the image rule, the view and the pixels. So
another training of the same start on the same images finds them, whatever its upper layers and its recipe are.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision import cache
from pocketvision.data.arrays import IN_MEMORY_BYTES, Prepared
from pocketvision.data.augment import Augment, seed_of
from pocketvision.data.feature_files import FeatureWriter, data_key, feature_folder, make_room, read_features
from pocketvision.data.parallel import in_order
from pocketvision.data.tensors import eval_batch_size, normalize, to_input
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress
from pocketvision.train.batches import RandomViews, mixed
from pocketvision.train.lower import Lower
from pocketvision.train.objective import Batch
from pocketvision.values import to_json

LIMIT_BYTES = 8_000_000_000
"""Of all maps in the cache; those used longest ago go first. Maps of one training that take more are not made."""
_VERSION = 1
"""Of the way maps are made; a change of it makes every kept map absent."""
_BATCH_PIXELS = 224 * 224 * 8
"""Of one batch on a processor that computes in bfloat16, in which it takes half the memory."""

Rows = NDArray[np.float16]
Maps = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class MapMaker:
    """Makes the maps of a training, or finds them in the cache."""

    net: Net
    layers: int
    """How many of the net's layers make the maps."""
    views: RandomViews
    progress: Progress

    @cached_property
    def lower(self) -> Lower:
        """Return the layers that make the maps."""
        return Lower(self.net, self.layers, self.views.device)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Return height, width and channels of a map."""
        side = self.views.image.resolution
        height, width, channels = self.lower(torch.zeros(1, 3, side, side, device=self.views.device)).shape[1:]
        return height, width, channels

    def bytes_of(self, views: int) -> int:
        """Return what so many views of the training images, and the validation images, take."""
        images = self.views.images
        return 2 * math.prod(self.shape) * (views * len(images.train) + len(images.val))

    def refused(self, views: int) -> str:
        """Say why maps of so many views cannot be kept, on disk or in memory; empty where they can."""
        needed = self.bytes_of(views)
        if needed > LIMIT_BYTES:
            return f"they take {needed / 1e9:.1f} GB, more than the {LIMIT_BYTES / 1e9:g} GB for maps"
        return "" if needed <= IN_MEMORY_BYTES else _disk_refuses(needed)

    def view(self, number: int) -> Maps:
        """Return the maps [images, H, W, C] of one random view of every training image."""
        said = [to_json(Augment(flip=self.views.recipe.flip)), self.views.recipe.seed, number]
        return self._kept(lambda: self.made(number), self._contents, said)

    def validation(self) -> Maps:
        """Return the maps [images, H, W, C] of the validation images as evaluation sees them."""
        val, image, device = self.views.images.val, self.views.image, self.views.device

        def make() -> Iterator[Rows]:
            return self._made(lambda part: to_input(val[part], image, device), len(val), "maps for validation")

        return self._kept(make, tuple(_contents(val)), ["plain"])

    def made(self, number: int) -> Iterator[Rows]:
        """Yield the maps of one random view of every training image, some images at a time."""
        title = f"maps of view {number + 1}"
        return self._made(lambda part: self._drawn(number, part), len(self.views.images.source), title)

    def image_s(self) -> float:
        """Return the seconds that one image's view takes, the median of three batches after one that warms up."""
        part = slice(0, min(self._batch, len(self.views.images.source)))
        taken = []
        for _ in range(4):
            started = time.perf_counter()
            self.lower(self._drawn(0, part))
            taken.append((time.perf_counter() - started) / part.stop)
        return sorted(taken[1:])[1]

    def _drawn(self, number: int, part: slice) -> Tensor:
        """Return one view of some training images, each of a seed of its own."""
        image = self.views.image
        return normalize(self.views.shown(number, np.arange(part.start, part.stop), image.resolution), image)

    @cached_property
    def _contents(self) -> tuple[str, ...]:
        """Return a name for each training image."""
        return tuple(_contents(self.views.images.source))

    @property
    def _batch(self) -> int:
        side, device = self.views.image.resolution, self.views.device
        if device.type != "cpu" or self.lower.dtype == torch.float32:
            return eval_batch_size(side, device)
        return max(1, min(32, _BATCH_PIXELS // side**2))

    @cached_property
    def _digest(self) -> str:
        """Return the SHA-256 of the lower layers' weights and layout."""
        digest = hashlib.sha256(f"{self.lower}|{self.lower.dtype}".encode())
        for name, tensor in self.net.features[: self.layers].state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _kept(self, make: Callable[[], Iterator[Rows]], contents: tuple[str, ...], said: list[Any]) -> Maps:
        """Return maps from the cache; else make them, in memory where they cannot be kept."""
        rule = [_VERSION, self._digest, to_json(self.views.image), said]
        key = hashlib.sha256(json.dumps(rule).encode()).hexdigest()[:24]
        path = feature_folder(key, "maps") / f"{data_key(contents)}.npy"
        stored = read_features(path)
        if stored is not None:
            return stored.rows
        try:
            if refused := _disk_refuses(2 * math.prod(self.shape) * len(contents)):
                raise OSError(refused)
            return self._written(path, contents, make())
        except OSError as error:
            self.progress.say(f"feature maps stay in memory, since they cannot be kept in {path.parent}: {error}")
            return np.concatenate(list(make()))

    def _written(self, path: Path, contents: tuple[str, ...], parts: Iterator[Rows]) -> Maps:
        writer = FeatureWriter(path, contents)
        try:
            for rows in parts:
                writer.add(rows)
            stored = writer.finish(0.0)
        finally:
            writer.discard()
        make_room(path, LIMIT_BYTES)
        return stored.rows

    def _made(self, draw: Callable[[slice], Tensor], count: int, title: str) -> Iterator[Rows]:
        size, threads = self._batch, torch.get_num_threads() if self.views.device.type == "cpu" else 1
        parts = (slice(start, min(count, start + size)) for start in range(0, count, size))
        # A batch for each thread, so that none waits for another at the end of every layer.
        made = in_order(lambda part: self.lower(draw(part)).cpu().numpy(), parts, threads=threads, begin=_one_thread)
        try:
            with self.progress.bar(title, count) as bar:
                for rows in made:
                    yield rows
                    bar.advance(len(rows))
        finally:
            torch.set_num_threads(threads)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _contents(pixels: Prepared) -> Iterator[str]:
    """Yield a name for each image, by its pixels."""
    for start in range(0, len(pixels), 64):
        for row in np.ascontiguousarray(pixels[start : start + 64]):
            yield hashlib.sha256(row.tobytes()).hexdigest()


def _disk_refuses(size_bytes: int) -> str:
    """Say why so many bytes cannot go into the cache; empty where they can."""
    folder = cache.root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return error.strerror or str(error)
    lacks = free < cache.SPARE_BYTES + size_bytes
    return f"less than {cache.SPARE_BYTES / 1e9:g} GB would stay free on the disk" if lacks else ""


@dataclass(frozen=True, eq=False)
class MapViews:
    """Batches of maps: of one view of every image in an epoch, of the next view in the next."""

    plain: RandomViews
    maps: tuple[Maps, ...]
    """Of each view."""
    val: Maps

    @property
    def steps(self) -> int:
        """Return the number of batches of an epoch."""
        return self.plain.steps

    def batches(self, epoch: int, resolution: int) -> Iterator[Batch]:  # noqa: ARG002  maps have their own
        """Yield an epoch's batches."""
        plain, view = self.plain, epoch % len(self.maps)
        rows = self.maps[view]
        for place, chosen in enumerate(plain.orders(epoch)):
            labels = torch.from_numpy(plain.images.train_labels[chosen]).to(plain.device)
            batch = Batch(self._inputs(rows[chosen]), labels, torch.from_numpy(chosen) + view * len(rows))
            if plain.recipe.mixup:
                seed = seed_of(plain.recipe.seed, epoch, place)
                batch = mixed(batch, plain.num_classes, alpha=plain.recipe.mixup, seed=seed)
            yield batch

    def validation(self) -> Iterator[Batch]:
        """Yield the validation images' maps."""
        labels = torch.from_numpy(self.plain.images.val_labels).to(self.plain.device)
        for start in range(0, len(self.val), self.plain.recipe.batch_size):
            part = slice(start, start + self.plain.recipe.batch_size)
            yield Batch(self._inputs(self.val[part]), labels[part], torch.arange(len(labels[part])))

    def _inputs(self, rows: Maps) -> Tensor:
        """Return maps as the upper layers take them: float32 [n, C, H, W], channels last in memory."""
        return torch.from_numpy(np.array(rows)).to(self.plain.device).float().permute(0, 3, 1, 2)
