"""What each default of training and of lessons is worth: one changed at a time, paired over seeds.

    python benchmarks/ablations.py --data ../shared/data --weights ../shared/weights --sets smiles --seeds 1 2 3 4 5
    python benchmarks/ablations.py ... --ways train --only rate-half rate-double
    python benchmarks/ablations.py ... --ways maps --seeds 1 2 6

Sets, nets, resolutions and starting weights are those of benchmarks/training.py. A seed is a split and a training; all
runs of a seed have the same images, decoded once. A line for each run, then a table for each set and way: test
accuracy, validation loss at the best temperature, CPU seconds of all threads without start-up and decoding, and for
each change its mean difference from the defaults with the 95% interval over seeds (Student's t).

`maps` compares where the feature maps are taken, how many views there are and how long is trained, with training all
of the net from pixels; every run makes its own maps. `other-dice` changes nothing but the training's random numbers: a
difference no larger than its own is luck. In lessons the teacher is MobileNet V2 1.0 at 128 px, the pupil MobileNet V1
0.25 at 128 px; a pupil's time has the teacher's answers in it, and not the teacher's training.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from training import SETTINGS, SMALL, TEACHER, split_of
from training_peers import CPU, Watch

from pocketvision.data.arrays import prepared
from pocketvision.data.augment import BILINEAR, Augment
from pocketvision.metrics.calibration import fitted
from pocketvision.process import keep_memory
from pocketvision.progress import Silent
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks.classify.answers import targets
from pocketvision.train import batches, distillation, optimizer
from pocketvision.train.batches import TrainImages
from pocketvision.train.checkpoint import trained_net
from pocketvision.train.distillation import Distillation, for_distillation
from pocketvision.train.evaluate import logits
from pocketvision.train.inputs import Loaded
from pocketvision.train.job import Job, load_images, make_job
from pocketvision.train.teacher import Teacher, teachers_of
from pocketvision.train.trainer import run_job
from pocketvision.weights.load import read

BASE = "defaults"
PLAIN_VIEWS: dict[str, object] = {
    "scale": (1.0, 1.0),
    "ratio": (1.0, 1.0),
    "degrees": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "filters": BILINEAR,
}


@dataclass(frozen=True)
class Change:
    """What differs from the defaults."""

    epochs: int | None = None
    recipe: dict[str, object] = field(default_factory=dict)
    """Fields of the recipe, once all others follow from the options."""
    rate: float = 1.0
    """Factor of the whole net's learning rate."""
    rng: int = 0
    """Added to the training's seed; the split stays."""
    averaged_epochs: int = optimizer.AVERAGED_EPOCHS
    views: dict[str, object] = field(default_factory=dict)
    """Fields of `Augment`."""
    distillation: Distillation | None = None
    """Of a student; None for plain training."""


TRAINING = {
    BASE: Change(),
    "other-dice": Change(rng=1000),
    "no-average": Change(averaged_epochs=0),
    "mixup": Change(recipe={"mixup": 0.2}),
    "no-smoothing": Change(recipe={"label_smoothing": 0.0}),
    "no-rising": Change(recipe={"progressive_epochs": 0.0}),
    "no-mirror": Change(recipe={"flip": False}),
    "no-views": Change(recipe={"flip": False}, views=PLAIN_VIEWS),
    "bilinear": Change(views={"filters": BILINEAR}),
    "epochs-3": Change(epochs=3),
    "epochs-10": Change(epochs=10),
    "fixed-norms": Change(recipe={"norms": "fixed"}),
    "rate-half": Change(rate=0.5),
    "rate-double": Change(rate=2.0),
}
DISTILLATION = {
    BASE: Change(distillation=Distillation()),
    "other-dice": Change(distillation=Distillation(), rng=1000),
    "temperature-1": Change(distillation=Distillation(temperature=1.0)),
    "temperature-4": Change(distillation=Distillation(temperature=4.0)),
    "temperature-8": Change(distillation=Distillation(temperature=8.0)),
    "no-features": Change(distillation=Distillation(features=0.0)),
    "trust-half": Change(distillation=Distillation(alpha=0.5)),
    "trust-all": Change(distillation=Distillation(alpha=1.0)),
    "labels-and-features": Change(distillation=Distillation(alpha=0.0)),
    "labels-alone": Change(distillation=Distillation(alpha=0.0, features=0.0)),
    "views-1": Change(distillation=Distillation(views=1)),
    "all-layers": Change(distillation=Distillation(), recipe={"fine_tune": "all"}),
    "untaught": Change(epochs=distillation.EPOCHS),
    "untaught-usual": Change(),
}
_LAYERS = {f"layers-{layers}": Change(recipe={"map_layers": layers}) for layers in (4, 7, 11, 13, 14, 17)}
MAPS = {
    BASE: Change(recipe={"fine_tune": "all"}),
    "maps": Change(),
    **_LAYERS,
    "views-1": Change(recipe={"map_views": 1}),
    "views-6": Change(recipe={"map_views": 6}),
    "epochs-4": Change(epochs=4),
    "epochs-12": Change(epochs=12),
}
"""The first trains all of the net; a layer is one of `net.features`."""
WAYS = {"train": TRAINING, "distill": DISTILLATION, "maps": MAPS}


@dataclass(frozen=True)
class Outcome:
    """What one run gave."""

    test: float
    """Accuracy."""
    val_loss: float
    """Cross-entropy at the best temperature, in nats."""
    cpu_s: float

    def row(self) -> NDArray[np.float64]:
        """Return the three figures."""
        return np.array([self.test, self.val_loss, self.cpu_s])


@dataclass(frozen=True, eq=False)
class Bench:
    """What the runs of one set, way and seed share."""

    loaded: Loaded
    job: Job
    options: TrainConfig
    images: TrainImages
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    teachers: tuple[Teacher, ...] = ()


def bench_for(data: Path, weights: Path, resolution: int, *, seed: int, folder: Path) -> Bench:
    """Decode and prepare everything that the runs of a seed look at."""
    loaded = split_of(data, seed)
    options = TrainConfig(weights=weights, seed=seed, device="cpu")
    start = read(weights)
    spec = replace(start.spec, resolution=resolution, num_classes=len(loaded.dataset.labels))
    job = make_job(folder, loaded, spec, start, options=options, progress=Silent())
    examples = loaded.dataset.of("test")
    test = prepared(loaded.dataset, examples, job.image, decoded=loaded.decoded)
    return Bench(loaded, job, options, load_images(job, Silent()), test, targets(examples))


def changed(bench: Bench, change: Change, folder: Path) -> Job:
    """Return the job with one default changed, in a folder of its own."""
    options = replace(bench.options, epochs=change.epochs)
    job = make_job(folder, bench.loaded, bench.job.spec, bench.job.weights, options=options, progress=Silent())
    job = for_distillation(job, options) if change.distillation else job
    recipe = replace(
        job.recipe, learning_rate=job.recipe.learning_rate * change.rate, seed=job.recipe.seed + change.rng
    )
    return replace(job, recipe=replace(recipe, **change.recipe))  # type: ignore[arg-type]


@contextmanager
def patched(change: Change) -> Iterator[None]:
    """Change what is no field of the recipe."""
    views = partial(Augment, **change.views)  # type: ignore[arg-type]
    with (
        mock.patch.object(optimizer, "AVERAGED_EPOCHS", change.averaged_epochs),
        mock.patch.object(batches, "Augment", views),
    ):
        yield


def run(bench: Bench, change: Change) -> Outcome:
    """Train with one default changed, and judge on the test images."""
    with tempfile.TemporaryDirectory() as folder, patched(change):
        job = changed(bench, change, Path(folder))
        watch = Watch()
        taught = change.distillation and replace(change.distillation, teachers=bench.teachers)
        with mock.patch.dict(os.environ, POCKETVISION_CACHE=folder):
            run_job(job, distillation=taught, progress=Silent())
        cpu_s = watch.passed()[1]
        net, _ = trained_net(job.folder)
        _, val_loss = fitted(logits(net, bench.images.val, job.image, CPU), bench.images.val_labels)
        answers = logits(net, bench.test, job.image, CPU).argmax(1)
    return Outcome(float((answers == bench.test_labels).mean()), val_loss, cpu_s)


def teacher_of(data: Path, weights: Path, *, seed: int, folder: Path) -> tuple[Teacher, ...]:
    """Train the teacher with the defaults."""
    bench = bench_for(data, weights / TEACHER, 128, seed=seed, folder=folder)
    run_job(bench.job, progress=Silent())
    return teachers_of([folder])


def runs_of(name: str, way: str, asked: argparse.Namespace, *, seed: int) -> dict[str, Outcome]:
    """Run all that is asked with one seed, the defaults first."""
    setting, data = SETTINGS[name], asked.data / SETTINGS[name].data
    taught = way == "distill"
    start, resolution = (SMALL, 128) if taught else (setting.weights, setting.resolution)
    with tempfile.TemporaryDirectory() as folder:
        bench = bench_for(data, asked.weights / start, resolution, seed=seed, folder=Path(folder) / "own")
        if taught:
            teachers = teacher_of(data, asked.weights, seed=seed, folder=Path(folder) / "teacher")
            bench = replace(bench, teachers=teachers)
        found = {}
        for title, change in WAYS[way].items():
            if title == BASE or not asked.only or title in asked.only:
                found[title] = run(bench, change)
                test, val_loss, cpu_s = found[title].row()
                told = f"test {test:6.1%}  validation loss {val_loss:.4f}  {cpu_s:6.1f} CPU s"
                print(f"  {name} {way} seed {seed:<3d} {title:20s} {told}", flush=True)
    split_of.cache_clear()
    return found


def paired(differences: Sequence[float]) -> tuple[float, float]:
    """Return the mean of paired differences and half the width of its 95% interval; NaN of a single one."""
    from scipy.stats import t

    count = len(differences)
    if count < 2:
        return float(np.mean(differences)), float("nan")
    half = t.ppf(0.975, count - 1) * np.std(differences, ddof=1) / np.sqrt(count)
    return float(np.mean(differences)), float(half)


def table(found: dict[str, list[Outcome]]) -> str:
    """Write one way's runs as a table in Markdown; differences are points, nats and a ratio of times."""
    lines = [
        "| changed | test | difference, points | validation loss | difference | CPU s | times as long |",
        "|---|---|---|---|---|---|---|",
    ]
    base = np.array([outcome.row() for outcome in found[BASE]])
    for title, outcomes in found.items():
        rows = np.array([outcome.row() for outcome in outcomes])
        test, loss, cpu_s = rows.mean(0)
        points, nats = (paired((rows - base)[:, column]) for column in (0, 1))
        differs = title != BASE
        cells = [
            title,
            f"{test:.1%}",
            _told(100 * points[0], 100 * points[1], digits=1) if differs else "",
            f"{loss:.4f}",
            _told(*nats, digits=4) if differs else "",
            f"{cpu_s:.0f}",
            f"{(rows[:, 2] / base[:, 2]).mean():.2f}" if differs else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _told(mean: float, half: float, *, digits: int) -> str:
    interval = "" if np.isnan(half) else f" ± {half:.{digits}f}"
    return f"{mean:+.{digits}f}{interval}"


def main() -> None:
    """Print each run, then one table a set and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["sign-digits", "face-mask", "smiles"], choices=list(SETTINGS))
    parser.add_argument("--ways", nargs="+", default=["train", "distill"], choices=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    names = list(dict.fromkeys([*TRAINING, *DISTILLATION, *MAPS]))
    parser.add_argument("--only", nargs="+", default=[], choices=names, help="beside the defaults")
    asked = parser.parse_args()
    keep_memory()  # as the command line does
    for name in asked.sets:
        for way in asked.ways:
            each = [runs_of(name, way, asked, seed=seed) for seed in asked.seeds]
            joined = {title: [found[title] for found in each] for title in each[0]}
            seeds, threads = " ".join(map(str, asked.seeds)), torch.get_num_threads()
            print(f"\n{name}, {way}, seeds {seeds}, {threads} threads; mean, and 95% interval of paired differences\n")
            print(table(joined) + "\n", flush=True)


if __name__ == "__main__":
    main()
