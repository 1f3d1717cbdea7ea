"""The two plain ways of training that benchmarks/training.py measures beside ours."""

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pocketvision.data.tensors import to_input
from pocketvision.images.prepare import load
from pocketvision.metrics.accuracy import accuracy
from pocketvision.models import build_spec
from pocketvision.models.blocks import Net
from pocketvision.train.inputs import Loaded
from pocketvision.values import Example, ImageSpec, Score, Split
from pocketvision.weights import load_into, read, restore_batch_norms

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Setting:
    """One set with the net and the weights that all three start from."""

    data: str
    weights: str
    resolution: int


@dataclass(frozen=True)
class Result:
    """What one way of training gave on test."""

    way: str
    seed: int
    found: Score
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """Of all cores and processes; it changes little when another program takes a core."""


class Watch:
    """What has passed since it was made."""

    def __init__(self) -> None:
        self.wall = time.perf_counter()
        self.cpu = _cpu_seconds()

    def passed(self) -> tuple[float, float]:
        """Return wall and CPU seconds."""
        return time.perf_counter() - self.wall, _cpu_seconds() - self.cpu


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Files decoded when they are asked for, with the tutorial's augmentation in training."""

    def __init__(self, loaded: Loaded, split: Split, image: ImageSpec) -> None:
        self.root = Path(loaded.dataset.root)
        self.examples = loaded.dataset.of(split)
        self.image = image
        self.train = split == "train"

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        example = self.examples[place]
        with Image.open(self.root / example.file) as opened:
            image = opened.convert("RGB")
        size = self.image.resolution
        image = _random_crop(image, size) if self.train else _center(image, size)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.image.mean, self.image.std))
        return (pixels - mean) / std, int(cast(int, example.target))


def _random_crop(image: Image.Image, size: int) -> Image.Image:
    """Cut 8% to 100% of the area at 3:4 to 4:3, resize, mirror every second one (RandomResizedCrop's defaults)."""
    width, height = image.size
    for _ in range(10):
        area = width * height * float(torch.empty(1).uniform_(0.08, 1.0))
        ratio = float(torch.exp(torch.empty(1).uniform_(float(np.log(3 / 4)), float(np.log(4 / 3)))))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left, top = (int(torch.randint(0, most + 1, (1,))) for most in (width - w, height - h))
            image = image.crop((left, top, left + w, top + h))
            break
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else image


def _center(image: Image.Image, size: int) -> Image.Image:
    """Resize the short side to size * 256 / 224 and take the center."""
    short = round(size * 256 / 224)
    scale = short / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def started(setting: Setting, weights: Path, loaded: Loaded) -> tuple[Net, ImageSpec]:
    """Build the net with the starting weights and a fresh head; folded batch norms are put back first."""
    given = read(weights)
    spec = replace(given.spec, resolution=setting.resolution, num_classes=len(loaded.dataset.labels))
    image = ImageSpec(setting.resolution, mean=given.image.mean, std=given.image.std)
    net = build_spec(spec)
    if load_into(net, given, keep_head=False).folded:
        pixels = prepared(loaded, loaded.dataset.of("train")[:256], image)
        restore_batch_norms(net, (to_input(pixels[place : place + 32], image, CPU) for place in range(0, 256, 32)))
    return net, image


def prepared(loaded: Loaded, examples: Sequence[Example], image: ImageSpec) -> NDArray[np.uint8]:
    """Decode and resize images as the delivered file would."""
    return np.stack([load((Path(loaded.dataset.root) / example.file).read_bytes(), image) for example in examples])


def tutorial(setting: Setting, weights: Path, loaded: Loaded, *, seed: int, epochs: int) -> Result:
    """Train as the tutorial does."""
    torch.manual_seed(seed)
    watch = Watch()
    net, image = started(setting, weights, loaded)
    workers = os.cpu_count() or 1
    train = DataLoader(Images(loaded, "train", image), 4, shuffle=True, num_workers=workers)
    val = DataLoader(Images(loaded, "val", image), 4, num_workers=workers)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    best, kept = -1.0, {key: value.clone() for key, value in net.state_dict().items()}
    for epoch in range(epochs):
        net.train()
        for inputs, targets in train:
            if len(targets) < 2:
                continue  # a batch norm cannot be estimated from one image
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
        right = _right(net, val)
        print(f"    epoch {epoch + 1}: validation {right:.1%}, {watch.passed()[0]:.0f} s", flush=True)
        if right > best:
            best, kept = right, {key: value.clone() for key, value in net.state_dict().items()}
    spent = watch.passed()
    net.load_state_dict(kept)
    answers, labels = _answers(net, DataLoader(Images(loaded, "test", image), 64))
    return Result("(a) tutorial", seed, accuracy(answers, labels), *spent)


def _right(net: Net, loader: "DataLoader[tuple[Tensor, int]]") -> float:
    answers, labels = _answers(net, loader)
    return float((answers.argmax(1) == labels).mean())


@torch.no_grad()
def _answers(net: Net, loader: "DataLoader[tuple[Tensor, int]]") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    net.eval()
    pairs = [(net(inputs), targets) for inputs, targets in loader]
    return torch.cat([a for a, _ in pairs]).numpy(), torch.cat([t for _, t in pairs]).numpy()


def regression(setting: Setting, weights: Path, loaded: Loaded) -> Result:
    """Fit a logistic regression on frozen features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    watch = Watch()
    net, image = started(setting, weights, loaded)
    features, labels = {}, {}
    for split in ("train", "val", "test"):
        examples = loaded.dataset.of(split)
        pixels = prepared(loaded, examples, image)
        net.eval()
        with torch.no_grad():
            parts = [net.embed(to_input(pixels[s : s + 64], image, CPU)) for s in range(0, len(pixels), 64)]
        found = torch.cat(parts)
        features[split] = (found.mean((2, 3)) if found.ndim == 4 else found).numpy()
        labels[split] = np.array([example.target for example in examples])
    scaler = StandardScaler().fit(features["train"])
    scaled = {split: scaler.transform(values) for split, values in features.items()}
    fitted = [
        LogisticRegression(C=strength, max_iter=2000).fit(scaled["train"], labels["train"])
        for strength in (0.0001, 0.001, 0.01, 0.1, 1.0)
    ]
    best = max(fitted, key=lambda model: model.score(scaled["val"], labels["val"]))
    answers = best.predict_log_proba(scaled["test"])
    return Result("(b) logistic regression", 0, accuracy(answers, labels["test"]), *watch.passed())
