"""Our training beside two plain ones, on the same pictures, net and starting weights.

    python benchmarks/training.py --data ../shared/data --weights ../shared/weights --sets sign-digits face-mask smiles

Prints test accuracy with its interval, and wall time, of

- ours: `pocketvision train` with its defaults,
- (a) the recipe of PyTorch's transfer learning tutorial: the whole net, 25 epochs, SGD 0.001 with momentum 0.9, a tenth
  of it after every 7 epochs, batches of 4, random crops and mirrors, every file decoded in every epoch by a loader with
  a process for each core, the epoch with the best validation accuracy kept,
- (b) logistic regression on the frozen net's features, its strength chosen on validation.

All three split alike; test pictures are looked at once, at the end. `--seeds 42 1 2` repeats ours and (a).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pocketvision.images.prepare import load
from pocketvision.metrics.accuracy import accuracy
from pocketvision.models import build_spec
from pocketvision.models.blocks import Net
from pocketvision.progress import Silent
from pocketvision.train.job import trained_net
from pocketvision.train.start import Loaded, load_data
from pocketvision.train.transfer import logits, to_input
from pocketvision.values import Accuracy, Example, ImageSpec, Split
from pocketvision.weights import load_into, read, restore_batch_norms

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Setting:
    """One set with the net and the weights that all three start from."""

    data: str
    weights: str
    resolution: int


SETTINGS = {
    "sign-digits": Setting("sign-digits", "mobilenet_v2_1.0_224_quant.tflite", 128),
    "face-mask": Setting("face-mask", "mobilenet_v1_0.25_128_quant.tflite", 160),
    "smiles": Setting("smiles", "mobilenet_v1_0.5_160_quant.tflite", 64),
    "cifar10-subset": Setting("cifar10-subset", "mobilenet_v1_0.5_160_quant.tflite", 96),
}


@dataclass(frozen=True)
class Result:
    """What one way of training gave on test."""

    way: str
    seed: int
    found: Accuracy
    seconds: float


class Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
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
            picture = opened.convert("RGB")
        size = self.image.resolution
        picture = _random_crop(picture, size) if self.train else _centre(picture, size)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.image.mean, self.image.std))
        return (pixels - mean) / std, example.label


def _random_crop(picture: Image.Image, size: int) -> Image.Image:
    """Cut 8% to 100% of the area at 3:4 to 4:3, resize, mirror every second one (RandomResizedCrop's defaults)."""
    width, height = picture.size
    for _ in range(10):
        area = width * height * float(torch.empty(1).uniform_(0.08, 1.0))
        ratio = float(torch.exp(torch.empty(1).uniform_(float(np.log(3 / 4)), float(np.log(4 / 3)))))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left, top = (int(torch.randint(0, most + 1, (1,))) for most in (width - w, height - h))
            picture = picture.crop((left, top, left + w, top + h))
            break
    picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else picture


def _centre(picture: Image.Image, size: int) -> Image.Image:
    """Resize the short side to size * 256 / 224 and take the centre."""
    short = round(size * 256 / 224)
    scale = short / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
    left, top = (picture.width - size) // 2, (picture.height - size) // 2
    return picture.crop((left, top, left + size, top + size))


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
    """Decode and resize pictures as the delivered file would."""
    return np.stack([load((Path(loaded.dataset.root) / example.file).read_bytes(), image) for example in examples])


def tutorial(setting: Setting, weights: Path, loaded: Loaded, *, seed: int, epochs: int) -> Result:
    """Train as the tutorial does."""
    torch.manual_seed(seed)
    begun = time.perf_counter()
    net, image = started(setting, weights, loaded)
    workers = os.cpu_count() or 1
    train = DataLoader(Pictures(loaded, "train", image), 4, shuffle=True, num_workers=workers)
    val = DataLoader(Pictures(loaded, "val", image), 4, num_workers=workers)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    best, kept = -1.0, {key: value.clone() for key, value in net.state_dict().items()}
    for epoch in range(epochs):
        net.train()
        for inputs, targets in train:
            if len(targets) < 2:
                continue  # a batch norm cannot be estimated from one picture
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
        right = _right(net, val)
        print(f"    epoch {epoch + 1}: validation {right:.1%}, {time.perf_counter() - begun:.0f} s", flush=True)
        if right > best:
            best, kept = right, {key: value.clone() for key, value in net.state_dict().items()}
    seconds = time.perf_counter() - begun
    net.load_state_dict(kept)
    answers, labels = _answers(net, DataLoader(Pictures(loaded, "test", image), 64))
    return Result("(a) tutorial", seed, accuracy(answers, labels), seconds)


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

    begun = time.perf_counter()
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
        labels[split] = np.array([example.label for example in examples])
    scaler = StandardScaler().fit(features["train"])
    scaled = {split: scaler.transform(values) for split, values in features.items()}
    fitted = [
        LogisticRegression(C=strength, max_iter=2000).fit(scaled["train"], labels["train"])
        for strength in (0.0001, 0.001, 0.01, 0.1, 1.0)
    ]
    best = max(fitted, key=lambda model: model.score(scaled["val"], labels["val"]))
    answers = best.predict_log_proba(scaled["test"])
    return Result("(b) logistic regression", 0, accuracy(answers, labels["test"]), time.perf_counter() - begun)


def ours(data: Path, setting: Setting, weights: Path, *, seed: int) -> Result:
    """Train with the defaults, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pocketvision", "train", str(data), "--weights", str(weights)]
        command += ["--resolution", str(setting.resolution), "--output", folder, "--name", "run", "--seed", str(seed)]
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - begun
        (run,) = (path.parent for path in Path(folder).rglob("train.json"))
        net, trained = trained_net(run)
        # The seed of training also splits: the pictures that this run did not see are its own.
        own = load_data(data, run, val=0.15, test=0.15, seed=seed, progress=Silent())
        examples = own.dataset.of("test")
        answers = logits(net, prepared(own, examples, trained.image), trained.image, CPU)
        return Result("ours", seed, accuracy(answers, np.array([item.label for item in examples])), seconds)


def main() -> None:
    """Print one table a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--ways", nargs="+", default=["ours", "a", "b"], choices=["ours", "a", "b"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--epochs", type=int, default=25, help="of (a)")
    asked = parser.parse_args()
    for name in asked.sets:
        setting = SETTINGS[name]
        data, weights = asked.data / setting.data, asked.weights / setting.weights
        print(f"\n{name}: {setting.weights}, {setting.resolution} px, {os.cpu_count()} cores", flush=True)
        for seed in asked.seeds:
            with tempfile.TemporaryDirectory() as folder:
                loaded = load_data(data, Path(folder), val=0.15, test=0.15, seed=seed, progress=Silent())
            if "ours" in asked.ways:
                show(ours(data, setting, weights, seed=seed))
            if "a" in asked.ways:
                show(tutorial(setting, weights, loaded, seed=seed, epochs=asked.epochs))
            if "b" in asked.ways:
                show(regression(setting, weights, loaded))


def show(result: Result) -> None:
    """Print one line."""
    found = result.found
    print(
        f"  {result.way:24s} seed {result.seed:<3d} test {found.value:.1%} ({found.low:.1%} to {found.high:.1%}, "
        f"{found.count})  {result.seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
