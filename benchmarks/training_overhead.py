"""Where the time of fine-tuning goes: data, forward, backward, step, validation, the rest; wall time, second epoch on.

    python benchmarks/training_overhead.py WEIGHTS [RESOLUTION] [EPOCHS]

trains the net of a weights file on random images and prints a share for each part. The aim: data and rest together
below a tenth. Data made ahead in the second thread counts only where the loop waits for it.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketvision.settings.groups import TrainConfig
from pocketvision.train import batches, loop
from pocketvision.train import evaluate as evaluating
from pocketvision.train.batches import TrainImages
from pocketvision.train.inputs import image_spec
from pocketvision.train.recipe import recipe_for
from pocketvision.train.trainer import Trainer
from pocketvision.weights.load import load_into, read

IMAGES, VALIDATION, CLASSES = 512, 96, 10
INSIDE = ("forward", "backward", "step", "validation")


class Watch:
    """Adds up wall time by the part of the loop; from `clear` on."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.started = time.perf_counter()

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same function, its time counted under `part`."""

        def run(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds[part] += time.perf_counter() - begun

        return run

    def waiting(self, items: Iterator[Any]) -> Iterator[Any]:
        """Yield the same items; the time until each is there counts as data."""
        take = self.timed("data", next)
        while (item := take(items, None)) is not None:
            yield item


def watch_loop(watch: Watch) -> None:
    """Put the watch on the loop's parts; the first validation ends the first epoch, and counting starts anew."""
    made, judge = batches.prefetch, evaluating.evaluate
    evaluated = 0

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        nonlocal evaluated
        found = watch.timed("validation", judge)(*args, **kwargs)
        evaluated += 1
        if evaluated == 1:
            watch.clear()
        return found

    vars(loop).update(prefetch=lambda items: watch.waiting(made(items)), evaluate=evaluate)
    torch.Tensor.backward = watch.timed("backward", torch.Tensor.backward)  # type: ignore[method-assign]
    torch.optim.AdamW.step = watch.timed("step", torch.optim.AdamW.step)  # type: ignore[method-assign]


def main() -> None:
    """Train, then print the shares."""
    weights = read(Path(sys.argv[1]))
    resolution = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    from pocketvision.models.catalogue import build_spec

    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (IMAGES, resolution, resolution, 3), np.uint8)
    val = rng.integers(0, 256, (VALIDATION, resolution, resolution, 3), np.uint8)
    images = TrainImages(source, source, np.arange(IMAGES) % CLASSES, val, np.arange(VALIDATION) % CLASSES)
    spec = replace(weights.spec, resolution=resolution, num_classes=CLASSES)
    net = build_spec(spec)
    load_into(net, weights, keep_head=False)
    recipe = replace(recipe_for(TrainConfig(epochs=epochs + 1), transfer=True, examples=IMAGES), head_epochs=0)
    recipe = replace(recipe, progressive_epochs=0.0, frozen=0.0, patience=99, fine_tune="all")
    watch = Watch()
    watch_loop(watch)
    net.forward = watch.timed("forward", net.forward)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        image = image_spec(resolution, "squash", weights)
        Trainer(net, images, image, recipe, Path(folder)).train()
        total = time.perf_counter() - watch.started
    shares = dict(watch.seconds)
    shares["other"] = total - sum(shares.values())
    print(f"{spec}, batch {recipe.batch_size}, {epochs} epochs after the first, {total:.1f} s")
    for part in ("data", *INSIDE, "other"):
        print(f"  {part:10}  {shares.get(part, 0) / total:6.1%}")
    outside = 1 - sum(shares.get(part, 0) for part in INSIDE) / total
    print(f"  outside forward, backward and step: {outside:.1%}")


if __name__ == "__main__":
    main()
