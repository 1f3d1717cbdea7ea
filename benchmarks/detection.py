"""Training detectors on few images: ours beside torchvision's head and loss, figures on test, time and speed.

    python benchmarks/detection.py --data ../shared/data --weights ../shared/weights --seed 42

The images are `bccd`: 364 microscope photos with boxes of three kinds of blood cells, in its own splits. Prints AP50 on
test with its interval, and of each class, parameters, multiply-adds, wall time, and CPU time of all cores, of

- ours: `pocketvision train` with its defaults,
- few: the same with 100 of the training images,
- peer: torchvision's SSDLite head, matching, loss and augmentation on the same backbone and weights, for as much CPU
  time (benchmarks/detection_peers.py),
- speed: images a second of our training beside a plain loop of the same net and loss on one batch that lies in memory,
  and the share of a step that is spent waiting for the next batch.

Both start from the same ImageNet weights. Test images are looked at once, at the end.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from detection_peers import Peer, PeerNet, Scenes
from numpy.typing import NDArray
from training import pocketvision
from training_peers import CPU, Watch

from pocketvision.compress.slim import sliced
from pocketvision.cost import count
from pocketvision.cost.graphs import graph_at
from pocketvision.data.arrays import prepared
from pocketvision.data.tensors import to_input
from pocketvision.models import build_spec
from pocketvision.progress import Silent
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks import learning, load, spec_for_net
from pocketvision.train.batches import RandomViews, TrainImages, prefetch
from pocketvision.train.checkpoint import trained_net
from pocketvision.train.evaluate import logits
from pocketvision.train.inputs import Loaded, load_data
from pocketvision.train.loop import step
from pocketvision.train.optimizer import LayerGroup, optimizer_for
from pocketvision.train.recipe import recipe_for
from pocketvision.values import ImageSpec, ModelSpec, Trained
from pocketvision.weights import load_into, read, restore_batch_norms

WEIGHTS = "mobilenet_v2_1.0_224_quant.tflite"
SETTINGS = ((0.5, 320), (1.0, 320), (0.35, 192))
"""Width and resolution."""
WAYS = ("ours", "few", "peer", "speed")
FEW = 100
STEPS = 12
TAP = 14
"""Layer of MobileNet V2 whose expansion is the map of stride 16."""


@dataclass(frozen=True)
class Asked:
    """What is measured with what."""

    data: Path
    weights: Path
    width: float
    resolution: int
    seed: int
    epochs: int | None

    @property
    def name(self) -> str:
        """Return width and resolution in words."""
        return f"V2 {self.width:g} @ {self.resolution} px"


@cache
def loaded(data: Path) -> Loaded:
    """Read the list of the images."""
    with tempfile.TemporaryDirectory() as folder:
        return load_data(data, Path(folder), val=0.15, test=0.15, seed=42, progress=Silent())


def trained(asked: Asked, data: Path, folder: Path, name: str) -> tuple[float, float]:
    """Train as a user would; return wall and CPU seconds."""
    watch = Watch()
    words: list[str | Path] = ["--weights", asked.weights / WEIGHTS, "--seed", str(asked.seed)]
    words += ["--width", str(asked.width), "--resolution", str(asked.resolution), "--output", folder, "--name", name]
    pocketvision("train", data, *words, *(["--epochs", str(asked.epochs)] if asked.epochs else []))
    return watch.passed()


def ours(asked: Asked, data: Path, way: str) -> tuple[float, float]:
    """Train, show what the net is worth on the test images of the whole set, and return what it took."""
    with tempfile.TemporaryDirectory() as folder:
        spent = trained(asked, data, Path(folder), "run")
        net, record = trained_net(Path(folder) / "train" / "run")
    asks = spec_for_net(loaded(data).spec, record.spec)
    answers = load("detect").probabilities(test_logits(asked, net, record), asks)
    cost = count(graph_at(record.spec))
    show(f"{way}, {record.epochs} epochs", asked, answers, (cost.params, cost.macs), spent)
    return spent


def test_logits(asked: Asked, net: torch.nn.Module, record: Trained) -> NDArray[np.float32]:
    """Return what a net says of the test images."""
    whole = loaded(asked.data).dataset
    return logits(net, prepared(whole, whole.of("test"), record.image), record.image, CPU)


def fewer(data: Path, folder: Path, *, seed: int) -> Path:
    """Copy the set with 100 of its training images."""
    target = folder / "few"
    shutil.copytree(data, target)
    listed = target / "ImageSets" / "Main"
    train = (listed / "train.txt").read_text().split()
    chosen = np.random.default_rng(seed).permutation(train)[:FEW]
    (listed / "train.txt").write_text("\n".join(sorted(chosen)) + "\n")
    kept = {*chosen, *(listed / "val.txt").read_text().split(), *(listed / "test.txt").read_text().split()}
    for path in (*(target / "JPEGImages").iterdir(), *(target / "Annotations").iterdir()):
        if path.stem not in kept:
            path.unlink()
    for path in listed.iterdir():
        if path.name not in ("train.txt", "val.txt", "test.txt"):
            path.unlink()
    return target


def peer(asked: Asked, cpu_seconds: float) -> None:
    """Train the peer for as much CPU time, and show what it is worth on the test images."""
    watch, whole = Watch(), loaded(asked.data).dataset
    image = ImageSpec(asked.resolution)
    train = prepared(whole, whole.of("train"), image)
    targets = load("detect").targets(whole.of("train"))
    torch.manual_seed(asked.seed)
    features = cast(torch.nn.Sequential, started(asked, train).features)
    net = PeerNet(features, TAP, len(whole.labels), asked.resolution)
    rival = Peer(net, asked.resolution)
    boxes = [rows[rows[:, 0] >= 0][:, :5] for rows in targets]
    rival.train(Scenes(train, boxes), cpu_seconds - watch.passed()[1], seed=asked.seed)
    spent = watch.passed()
    answers = rival.detect(prepared(whole, whole.of("test"), image))
    show(f"peer, {rival.steps} steps", asked, answers, (sum(one.numel() for one in net.parameters()), None), spent)


def started(asked: Asked, train: NDArray[np.uint8]) -> torch.nn.Module:
    """Return the classifier that both begin with, cut to the width, with batch norms."""
    weights, image = read(asked.weights / WEIGHTS), ImageSpec(asked.resolution)
    spec = ModelSpec("mobilenet_v2", width=asked.width, resolution=asked.resolution, padding=weights.spec.padding)
    shown = [to_input(train[start : start + 32], image, CPU) for start in range(0, 192, 32)]
    if weights.spec.width != asked.width:
        weights = sliced(weights, spec, shown)
    net = build_spec(spec)
    if load_into(net, weights, keep_head=False).folded:
        restore_batch_norms(net, shown)
    return net


def speed(asked: Asked) -> None:
    """Show images a second of our loop and of a plain one, and the share of time spent waiting for input."""
    source, task = loaded(asked.data), load("detect")
    train = source.dataset.of("train")
    config = TrainConfig(seed=asked.seed)
    recipe = recipe_for(config, transfer=True, examples=len(train), defaults=learning("detect").DEFAULTS)
    spec = ModelSpec("mobilenet_v2", asked.width, asked.resolution, len(source.dataset.labels))
    spec = task.fitted(spec, train)
    image, asks = ImageSpec(asked.resolution), spec_for_net(source.spec, spec)
    pixels, targets = prepared(source.dataset, train, image), task.targets(train)
    images = TrainImages(pixels, pixels, targets, pixels[:2], targets[:2], asks)
    net = build_spec(spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective, _ = learning("detect").objective(targets, spec.num_classes, asks, balance="none", smoothing=0.0)
    optimizer = optimizer_for((LayerGroup(net),), recipe, recipe.learning_rate, fused=True)
    views = RandomViews(images, image, recipe, spec.num_classes, CPU)
    coming, batch, waited = prefetch(views.batches(0, asked.resolution)), next(views.batches(1, asked.resolution)), 0.0

    def one() -> None:
        nonlocal waited
        began = time.perf_counter()
        given = next(coming)
        waited += time.perf_counter() - began
        step(net, optimizer, given, objective=objective, rate=1e-4)

    def plain() -> None:
        optimizer.zero_grad()
        objective(net(batch.inputs), batch).backward()
        optimizer.step()

    taken = {name: timed(work) for name, work in (("ours", one), ("plain", plain))}
    size = recipe.batch_size
    print(
        f"  {asked.name}: ours {size / taken['ours']:.1f} images/s, a plain loop {size / taken['plain']:.1f}; "
        f"{waited / (STEPS + 1) / taken['ours']:.1%} of a step is spent waiting for input",
        flush=True,
    )


def timed(work: Callable[[], object]) -> float:
    """Return the mean seconds of some work, after one that warms up."""
    work()
    began = time.perf_counter()
    for _ in range(STEPS):
        work()
    return (time.perf_counter() - began) / STEPS


def show(
    way: str, asked: Asked, answers: NDArray[np.float32], size: tuple[int, int | None], spent: tuple[float, float]
) -> None:
    """Print one line."""
    source, task = loaded(asked.data), load("detect")
    targets = task.targets(source.dataset.of("test"))
    judged = task.judge(answers, targets, source.spec)
    found, parts = judged.score, judged.parts
    classes = ", ".join(f"{part.name} {part.average_precision or 0:.1%}" for part in parts)
    macs = f", {size[1] / 1e6:.0f} M multiply-adds" if size[1] else ""
    print(
        f"  {asked.name}, {way}: AP50 {found.value:.1%} ({found.low:.1%} to {found.high:.1%}; {classes}), "
        f"AP {found.others['AP']:.1%}; {size[0] / 1e6:.2f} M parameters{macs}; {spent[0]:.0f} s, {spent[1]:.0f} CPU s",
        flush=True,
    )


def main() -> None:
    """Print one line for each setting and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--epochs", type=int, help="of ours; by default the task's own")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--settings", nargs="+", default=[f"{w}@{r}" for w, r in SETTINGS], help="width@resolution")
    given = parser.parse_args()
    for setting in given.settings:
        width, resolution = setting.split("@")
        asked = Asked(given.data / "bccd", given.weights, float(width), int(resolution), given.seed, given.epochs)
        if "speed" in given.ways:
            speed(asked)
        spent = ours(asked, asked.data, "ours") if {"ours", "peer"} & set(given.ways) else (0.0, 0.0)
        if "peer" in given.ways:
            peer(asked, spent[1])
        if "few" in given.ways:
            with tempfile.TemporaryDirectory() as folder:
                ours(asked, fewer(asked.data, Path(folder), seed=given.seed), f"{FEW} images")


if __name__ == "__main__":
    main()
