"""What a net with frozen weights sees in each image: computed once, kept on disk, shared by any number of heads.

Nets that take the same pixels share one decoding and one resizing of each image. An image is known by its content,
so another split, seed or label changes nothing, and of a data set that grew only the new images are computed.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.arrays import prepared
from pocketvision.data.augment import Augment, augment
from pocketvision.data.decoded import DecodedCache
from pocketvision.data.feature_files import FeatureWriter, Rows, Stored, data_key, feature_folder, read_features
from pocketvision.data.tensors import eval_batches, normalize, to_input
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build_spec
from pocketvision.probe.heads import last_layer
from pocketvision.progress import Progress, Silent
from pocketvision.values import Dataset, Example, ImageSpec, to_json
from pocketvision.weights.load import Weights, load_into

Pixels = NDArray[np.uint8]
BATCH = 32
"""Images that are read at once."""
LARGE = 448
"""Pixels a side from which on fewer are read at once, for the memory that they take."""
_VERSION = 1
"""Of the way features are taken; a change of it makes every kept feature absent."""
_SEED_DIGITS = 14
_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Backbone:
    """A published net that is not trained any further, at one resolution."""

    weights: Weights
    digest: str
    """SHA-256 of the weights file."""
    image: ImageSpec

    def build(self) -> Net:
        """Build the net with all weights of the file; WeightsError where it cannot take this resolution."""
        net = build_spec(replace(self.weights.spec, resolution=self.image.resolution))
        load_into(net, self.weights, keep_head=self.weights.has_head)
        return net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def key(self, views: "ProbeViews") -> str:
        """Name what decides the features of an image."""
        said = [_VERSION, self.digest, to_json(self.weights.spec), to_json(self.image), to_json(views)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class ProbeViews:
    """How often each image is seen: once as evaluation sees it, then augmented."""

    count: int = 1
    seed: int = 42
    augment: Augment = field(default_factory=Augment)

    @property
    def settled(self) -> "ProbeViews":
        """Return the same without what a single view does not depend on."""
        return self if self.count > 1 else ProbeViews()


@dataclass(frozen=True, eq=False)
class ProbeImages:
    """Images that features are taken of."""

    dataset: Dataset
    examples: tuple[Example, ...]
    decoded: DecodedCache | None = None


@dataclass(frozen=True, eq=False)
class Features:
    """The features of some images by one net."""

    stored: Stored
    computed: int
    """Images that were run through the net now; the others had been before."""

    def of(self, examples: Sequence[Example], view: int = 0) -> NDArray[np.float32]:
        """Return [n, channels] of one view, in the order of the examples, in memory."""
        places = {content: place for place, content in enumerate(self.stored.contents)}
        chosen = np.array([places[example.sha256] for example in examples], np.int64)
        return np.array(self.stored.rows[:, view][chosen], np.float32)


def extract(
    backbones: Sequence[Backbone],
    images: ProbeImages,
    *,
    views: ProbeViews = ProbeViews(),
    device: torch.device | None = None,
    progress: Progress = Silent(),
) -> tuple[Features, ...]:
    """Return the features of the images by each net, from disk where they are there already; computed on the CPU
    unless another device is named."""
    contents = tuple(sorted({example.sha256 for example in images.examples}))
    views = views.settled
    paths = [feature_folder(net.key(views)) / f"{data_key(contents)}.npy" for net in backbones]
    found: list[Features | None] = [
        None if (stored := read_features(path)) is None else Features(stored, 0) for path in paths
    ]
    for alike in _alike([place for place, one in enumerate(found) if one is None], backbones):
        pending = [_Pending(backbones[place], paths[place], contents, views, device or _CPU) for place in alike]
        _compute(pending, images, progress)
        for place, one in zip(alike, pending, strict=True):
            found[place] = one.features
    return tuple(one for one in found if one is not None)


def _alike(places: Sequence[int], backbones: Sequence[Backbone]) -> Iterator[list[int]]:
    """Group nets that take the same pixels."""
    groups: dict[ImageSpec, list[int]] = {}
    for place in places:
        image = backbones[place].image
        groups.setdefault(replace(image, mean=(0, 0, 0), std=(1, 1, 1)), []).append(place)
    yield from groups.values()


def _compute(pending: "Sequence[_Pending]", images: ProbeImages, progress: Progress) -> None:
    """Run every image through the nets that do not know it yet, a batch at a time."""
    examples = {example.sha256: example for example in images.examples}
    contents, image = pending[0].contents, pending[0].backbone.image
    title = f"features at {image.resolution} px, {_nets(len(pending))}"
    with ExitStack() as stack, progress.bar(title, len(contents)) as bar:
        for one in pending:
            stack.callback(one.discard)
        most = max(1, BATCH * LARGE**2 // max(LARGE, image.resolution) ** 2)
        for start in range(0, len(contents), most):
            batch = contents[start : start + most]
            missing = [content for content in batch if any(one.lacks(content) for one in pending)]
            pixels: dict[str, Pixels] = {}
            if missing:
                chosen = [examples[content] for content in missing]
                shown = prepared(images.dataset, chosen, image, decoded=images.decoded, keep=False)
                pixels = dict(zip(missing, shown, strict=True))
            for one in pending:
                one.add(batch, pixels)
            bar.advance(len(batch))
        for one in pending:
            one.finish(progress)


def _nets(count: int) -> str:
    return f"{count} nets" if count > 1 else "1 net"


class _Pending:
    """Features in the making: rows known from an earlier, similar set of images, and those of the net."""

    def __init__(
        self, backbone: Backbone, path: Path, contents: tuple[str, ...], views: ProbeViews, device: torch.device
    ) -> None:
        self.backbone, self.path, self.contents, self.views, self.device = backbone, path, contents, views, device
        self._net: Net | None = None
        self._known, self._known_ms = _known(path, contents)
        self._rows: list[Rows] = []
        self._ms: list[float] = []
        self._computed = 0
        self._refused = ""
        self._writer = self._opened()
        self.features: Features | None = None

    def lacks(self, content: str) -> bool:
        """Tell whether the net must see this image."""
        return content not in self._known

    def add(self, batch: Sequence[str], pixels: Mapping[str, Pixels]) -> None:
        """Take the batch's rows, in order."""
        missing = [content for content in batch if self.lacks(content)]
        fresh = dict(zip(missing, self._run(missing, pixels), strict=True)) if missing else {}
        rows = np.stack([fresh[content] if content in fresh else self._known[content] for content in batch])
        if self._writer is not None:
            self._writer.add(rows)
        else:
            self._rows.append(rows)

    def finish(self, progress: Progress) -> None:
        """Give the file its name; where none may be written, the features stay in memory."""
        image_ms = self._known_ms or (float(np.median(self._ms)) if self._ms else 0.0)
        if self._writer is not None:
            stored = self._writer.finish(image_ms)
        else:
            progress.say(f"features cannot be kept in {self.path.parent}: {self._refused}")
            stored = Stored(self.contents, np.concatenate(self._rows), image_ms)
        self.features = Features(stored, self._computed)

    def discard(self) -> None:
        """Remove what was written, unless it is finished."""
        if self._writer is not None:
            self._writer.discard()

    def _opened(self) -> FeatureWriter | None:
        try:
            return FeatureWriter(self.path, self.contents)
        except OSError as error:
            self._refused = error.strerror or str(error)
            return None

    def _run(self, missing: Sequence[str], pixels: Mapping[str, Pixels]) -> Rows:
        if self._net is None:
            self._net = self.backbone.build().to(self.device)
        shown = np.stack([pixels[content] for content in missing])
        started = time.perf_counter()
        rows = [self._embedded(to_input(shown, self.backbone.image, self.device))]
        self._ms.append((time.perf_counter() - started) * 1e3 / len(missing))
        rows += [self._embedded(self._view(missing, shown, view)) for view in range(1, self.views.count)]
        self._computed += len(missing)
        return np.stack(rows, axis=1)

    def _embedded(self, batch_nchw: Tensor) -> Rows:
        assert self._net is not None
        parts = eval_batches(len(batch_nchw), batch_nchw.shape[-1], self.device)
        return np.concatenate([embedded(self._net, batch_nchw[part]) for part in parts])

    def _view(self, missing: Sequence[str], shown: Pixels, view: int) -> Tensor:
        """Augment each image with an rng of its own, so that a view does not depend on its neighbors."""
        seeds = np.array([view_seed(self.views.seed, view, content) for content in missing], np.uint64)
        views = augment(torch.from_numpy(shown), self.backbone.image.resolution, self.views.augment, seeds=seeds)
        return normalize(views.to(self.device), self.backbone.image)


def view_seed(seed: int, view: int, content: str) -> int:
    """Return the seed of one view of one image."""
    return int(hashlib.sha256(f"{seed}:{view}:{content}".encode()).hexdigest()[:_SEED_DIGITS], 16)


@torch.no_grad()
def embedded(net: Net, batch_nchw: Tensor) -> Rows:
    """Return what the net's last layer takes: float32 [N, channels], the mean over places where the net pools later.

    Layers of the classifier before the last (MobileNetV3's hidden one) belong to the features.
    """
    place, _ = last_layer(net)
    found = net.classifier[:place](net.embed(batch_nchw))
    if found.ndim == 4:
        found = found.mean(dim=(2, 3))
    rows: Rows = found.float().cpu().numpy()
    return rows


def _known(path: Path, contents: Sequence[str]) -> tuple[dict[str, Rows], float]:
    """Return rows of these images that lie in other files of the same net and image rule, newest first, and the
    time that an image took then."""
    wanted = set(contents)
    known: dict[str, Rows] = {}
    image_ms = 0.0
    for other in sorted(path.parent.glob("*.npy"), key=lambda other: -_used(other)):
        stored = read_features(other) if len(known) < len(wanted) else None
        if stored is None:
            continue
        fresh = {c: row for row, c in enumerate(stored.contents) if c in wanted and c not in known}
        known |= {content: stored.rows[row] for content, row in fresh.items()}
        image_ms = image_ms or (stored.image_ms if fresh else 0.0)
    return known, image_ms


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
