"""What a budget gives: ours beside plain ways of training the nearest published net that keeps the same budget.

    pip install --no-deps timm torchvision    # into an environment of your own
    python benchmarks/equal_budget.py --data ../shared/data --weights ../shared/weights --sets face-mask \
        --budgets 300KB 2MB --seed 42

For each set and bound on the file's size the same split; accuracy on test with its 95% interval, wall and CPU time of

- ours: `pocketvision fit --max-size ...` with all files of the folder as starts, everything from images to the proven
  file; its accuracy is that of the delivered file,
- tutorial: the largest published net of the folder that keeps the bound as an int8 file, at the resolution that the
  images hold and the net was published at; 25 epochs as in PyTorch's transfer learning tutorial
  (benchmarks/training_peers.py),
- timm: the same net and epochs with timm's parts and the settings that its fine-tunings publish: RandAugment
  (rand-m9-inc1), random erasing (0.25), AdamW (5e-4, weight decay 0.05), five epochs of warm-up, a cosine to
  zero, label smoothing 0.1, batches of 32,
- frozen: logistic regression on that net's features.

Peers are judged as float nets, before a quantization that may cost them some. Where no published net keeps the bound,
only ours is shown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from training import split_of
from training_peers import CPU, Images, Result, Setting, Watch, prepared, regression, started, tutorial

from pocketvision.budget.limits import budget_of
from pocketvision.budget.space import Trunk, space_of
from pocketvision.errors import PocketvisionError
from pocketvision.graph.trace import trace_spec
from pocketvision.metrics.accuracy import accuracy
from pocketvision.models.catalogue import largest_useful_resolution
from pocketvision.settings.groups import BudgetConfig
from pocketvision.train.evaluate import logits
from pocketvision.train.inputs import Loaded
from pocketvision.values import ImageSpec, Score
from pocketvision.weights import read

WAYS = ("ours", "tutorial", "timm", "frozen")
WARM_UP, RATE, BATCH = 5, 5e-4, 32
IMAGENET = (1000, 1001)
"""Classes of the nets that others would start from."""
OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]


def nearest(weights: Path, loaded: Loaded, most_bytes: float) -> tuple[Setting, int] | None:
    """Return the largest published net of a folder that keeps a bound as an int8 file, with its predicted bytes."""
    labels = loaded.dataset.labels
    found: list[tuple[int, Setting]] = []
    for file in sorted(weights.iterdir()):
        try:
            own = read(file).spec
        except PocketvisionError:  # no weights
            continue
        if own.num_classes not in IMAGENET:
            continue
        side = min(own.resolution, largest_useful_resolution(loaded.health.median_short_side))
        trunk = Trunk(replace(own, num_classes=len(labels)), (None,), (side,), ("own",))
        space = space_of([trunk], trace_spec, labels)
        if len(space) and space.size_bytes[1] <= most_bytes:
            found.append((int(space.size_bytes[1]), Setting("", file.name, side)))
    if not found:
        return None
    size, setting = max(found, key=lambda one: (one[0], one[1].resolution))
    return setting, size


def ours(data: Path, weights: Path, size: str, *, seed: int) -> tuple[Result, str]:
    """Run the whole chain in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch()
        words = ["fit", str(data), "--max-size", size, "--seed", str(seed), "--offline", "--output", folder, "--json"]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pocketvision", *words],
            env={**os.environ, "POCKETVISION_WEIGHTS": str(weights)},
            check=False,
            capture_output=True,
            text=True,
        )
        spent = watch.passed()
    if done.returncode:
        sys.exit(f"pocketvision fit failed:\n{done.stdout}{done.stderr}")
    said = json.loads(done.stdout)
    images = len(split_of(data, seed).dataset.of("test"))
    low, high = said["interval"]
    score = Score(said["test_accuracy"], low, high, images)
    model = said["model"]
    depth = f" depth {model['depth']}" if model.get("depth") else ""
    net = f"{model['name']} {model['width']:g}{depth} @ {model['resolution']}px, {said['precision']}"
    return Result("ours", seed, score, *spent), f"{net}, {said['size_bytes'] / 1000:.0f} KB"


def torchvision_there() -> None:
    """Let torchvision be imported beside a PyTorch that its operators are not compiled for; timm needs none of them."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")  # type: ignore[no-untyped-call]


class TimmImages(Images):
    """Training images as timm augments them."""

    def __init__(self, loaded: Loaded, image: ImageSpec) -> None:
        from timm.data import create_transform

        super().__init__(loaded, "train", image)
        self.shown = create_transform(
            image.resolution,
            is_training=True,
            auto_augment="rand-m9-inc1",  # with mstd0.5 some draws ask Pillow for 0 bits, which it refuses
            re_prob=0.25,
            re_mode="pixel",
            mean=image.mean,
            std=image.std,
        )

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        example = self.examples[place]
        with Image.open(self.root / example.file) as opened:
            return self.shown(opened.convert("RGB")), int(cast(int, example.target))


def judged(net: nn.Module, loaded: Loaded, image: ImageSpec, split: str) -> Score:
    """Judge a net on a split."""
    examples = loaded.dataset.of(split)  # type: ignore[arg-type]
    answers = logits(net, prepared(loaded, examples, image), image, CPU)
    return accuracy(answers, np.array([example.target for example in examples]))


def timm_recipe(setting: Setting, weights: Path, loaded: Loaded, *, seed: int, epochs: int) -> Result:
    """Train with timm's augmentation, optimizer and schedule; the best epoch on validation is kept."""
    torchvision_there()
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler

    torch.manual_seed(seed)
    watch = Watch()
    net, image = started(setting, weights, loaded)
    workers = os.cpu_count() or 1
    train = DataLoader(TimmImages(loaded, image), BATCH, shuffle=True, num_workers=workers, drop_last=True)
    optimizer = create_optimizer_v2(net, opt="adamw", lr=RATE, weight_decay=0.05)
    warm_up = min(WARM_UP, epochs // 2)
    schedule = CosineLRScheduler(optimizer, epochs, warmup_t=warm_up, warmup_lr_init=1e-6, warmup_prefix=True)
    loss = LabelSmoothingCrossEntropy(0.1)
    best, kept = -1.0, {key: value.clone() for key, value in net.state_dict().items()}
    for epoch in range(epochs):
        schedule.step(epoch)
        net.train()
        for inputs, targets in train:
            optimizer.zero_grad()
            loss(net(inputs), targets).backward()
            optimizer.step()
        right = judged(net.eval(), loaded, image, "val").value
        if right > best:
            best, kept = right, {key: value.clone() for key, value in net.state_dict().items()}
    spent = watch.passed()
    net.load_state_dict(kept)
    return Result("timm", seed, judged(net.eval(), loaded, image, "test"), *spent)


def show(result: Result, net: str) -> None:
    """Print one line."""
    found = result.found
    print(
        f"  {result.way:<10}{net:<58}{found.value:6.1%} ({found.low:.1%} to {found.high:.1%})"
        f"{result.seconds:8.0f} s{result.cpu_seconds:8.0f} s CPU",
        flush=True,
    )


def compare(name: str, size: str, asked: argparse.Namespace) -> None:
    """Print the table of one set at one budget."""
    data, seed = asked.data / name, asked.seed
    loaded = split_of(data, seed)
    print(f"\n{name}, --max-size {size}, seed {seed}", flush=True)
    if "ours" in asked.ways:
        show(*ours(data, asked.weights, size, seed=seed))
    start = nearest(asked.weights, loaded, budget_of(BudgetConfig(max_size=size)).limits["max_size"])
    if start is None:
        print("  no published net of the folder keeps this", flush=True)
        return
    setting, weighs = start
    file, net = asked.weights / setting.weights, f"{setting.weights} @ {setting.resolution}px, {weighs / 1000:.0f} KB"
    if "frozen" in asked.ways:
        show(replace(regression(setting, file, loaded), way="frozen"), net)
    if "tutorial" in asked.ways:
        show(replace(tutorial(setting, file, loaded, seed=seed, epochs=asked.epochs), way="tutorial"), net)
    if "timm" in asked.ways:
        show(timm_recipe(setting, file, loaded, seed=seed, epochs=asked.epochs), net)


def main() -> None:
    """Print one table a set and budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["face-mask", "smiles", "sign-digits", "cifar10-subset"])
    parser.add_argument("--budgets", nargs="+", default=["300KB", "2MB"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--epochs", type=int, default=25, help="of the tutorial's and timm's training")
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()
    for name in asked.sets:
        for size in asked.budgets:
            compare(name, size, asked)


if __name__ == "__main__":
    main()
