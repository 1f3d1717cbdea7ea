"""Our training beside two plain ones on the same images, nets and starting weights, and what distillation gives.

    python benchmarks/training.py --data ../shared/data --weights ../shared/weights --sets sign-digits face-mask smiles

Prints test accuracy with its interval, wall time, and CPU time of all cores, of

- ours: `pocketvision train` with its defaults; with `--seeds 42 1 2 3 4` the mean and the spread too,
- a: the recipe of PyTorch's transfer learning tutorial: the whole net, 25 epochs, SGD 0.001 with momentum 0.9, a tenth
  of it after every 7 epochs, batches of 4, random crops and mirrors, every file decoded in every epoch by a loader with
  a process for each core, the epoch with the best validation accuracy kept; with the first seed alone,
- b: logistic regression on the frozen net's features, its strength chosen on validation,
- taught: `pocketvision distill` of MobileNet V1 0.25 at 128 px from MobileNet V2 1.0 at 128 px, trained by `train`,
- cut: the same teacher's own channels, cut to MobileNet V2 0.5 and taught,
- all: ours where all of the net is trained, from pixels (`--fine-tune all`),
- same: whether `pocketvision fit` with one seed writes the same bytes twice.

The set `photos` is made of sign-digits and face-mask: 3,062 photos of 12 classes at a short side of 256, hands
enlarged from 100 pixels. All split alike; test images are looked at once, at the end.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from training_peers import CPU, Result, Setting, Watch, prepared, regression, tutorial

from pocketvision.metrics.accuracy import accuracy
from pocketvision.progress import Silent
from pocketvision.train.checkpoint import trained_net
from pocketvision.train.evaluate import logits
from pocketvision.train.inputs import Loaded, load_data

SETTINGS = {
    "sign-digits": Setting("sign-digits", "mobilenet_v2_1.0_224_quant.tflite", 128),
    "face-mask": Setting("face-mask", "mobilenet_v1_0.25_128_quant.tflite", 160),
    "smiles": Setting("smiles", "mobilenet_v1_0.5_160_quant.tflite", 64),
    "cifar10-subset": Setting("cifar10-subset", "mobilenet_v1_0.5_160_quant.tflite", 96),
    "photos": Setting("photos", "mobilenet_v2_1.0_224_quant.tflite", 224),
}
TEACHER, SMALL = "mobilenet_v2_1.0_224_quant.tflite", "mobilenet_v1_0.25_128_quant.tflite"
WAYS = ("ours", "a", "b", "all", "taught", "cut", "same")
FROM_TEACHER: dict[str, list[str]] = {
    "taught": ["--model", "mobilenet_v1", "--width", "0.25", "--resolution", "128"],
    "cut": ["--width", "0.5"],
}


def pocketvision(*words: str | Path) -> None:
    """Run a verb in a process of its own; what it says is shown only where it fails."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pocketvision", *map(str, words)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"pocketvision {words[0]} failed:\n{done.stdout}{done.stderr}")


@cache
def split_of(data: Path, seed: int) -> Loaded:
    """Read the list of the images and split it as every run with this seed does."""
    with tempfile.TemporaryDirectory() as folder:
        return load_data(data, Path(folder), val=0.15, test=0.15, seed=seed, progress=Silent())


def tested(run: Path, way: str, data: Path, *, seed: int, spent: tuple[float, float]) -> Result:
    """Judge a run's net on the test images of its split."""
    net, trained = trained_net(run)
    own = split_of(data, seed)
    examples = own.dataset.of("test")
    answers = logits(net, prepared(own, examples, trained.image), trained.image, CPU)
    return Result(way, seed, accuracy(answers, np.array([item.target for item in examples])), *spent)


def made_photos(data: Path, folder: Path) -> Path:
    """Write the photos of two sets at a short side of 256, each class of either set as one."""
    for name in ("sign-digits", "face-mask"):
        for path in sorted((data / name).glob("*/*")):
            target = folder / "photos" / f"{name}-{path.parent.name}" / f"{path.stem}-{path.suffix[1:]}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            factor = 256 / min(image.size)
            size = (round(image.width * factor), round(image.height * factor))
            image.resize(size, Image.Resampling.BICUBIC).save(target, quality=90)
    return folder / "photos"


def ours(data: Path, setting: Setting, weights: Path, *, seed: int, fine_tune: str = "auto") -> Result:
    """Train with the defaults, or all of the net."""
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch()
        words: list[str | Path] = ["--weights", weights, "--resolution", str(setting.resolution), "--seed", str(seed)]
        words += ["--fine-tune", fine_tune]
        pocketvision("train", data, *words, "--output", folder, "--name", "run")
        spent = watch.passed()
        shown = "ours" if fine_tune == "auto" else "ours, all of the net"
        return tested(Path(folder) / "train" / "run", shown, data, seed=seed, spent=spent)


def lessons(data: Path, weights: Path, ways: list[str], *, seed: int) -> None:
    """Train the teacher, teach the small nets, and show all of them; a small net's time is without the teacher's."""
    with tempfile.TemporaryDirectory() as folder:
        common = ["--output", folder, "--seed", str(seed)]
        watch = Watch()
        words: list[str | Path] = ["--weights", weights / TEACHER, "--resolution", "128"]
        pocketvision("train", data, *words, *common, "--name", "teacher")
        teacher = Path(folder) / "train" / "teacher"
        show(tested(teacher, "teacher, V2 1.0 at 128", data, seed=seed, spent=watch.passed()))
        for way in ways:
            watch = Watch()
            start: list[str | Path] = ["--weights", weights / SMALL] if way == "taught" else []
            pocketvision("distill", teacher, data, *FROM_TEACHER[way], *start, *common, "--name", way)
            shown = "taught, V1 0.25 at 128" if way == "taught" else "cut and taught, V2 0.5"
            spent = watch.passed()
            show(tested(Path(folder) / "distill" / way, shown, data, seed=seed, spent=spent))


def same(data: Path, setting: Setting, weights: Path, *, seed: int) -> None:
    """Run `fit` twice and compare the files."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for name in ("first", "second"):
            words: list[str | Path] = [
                "--weights",
                weights,
                "--resolution",
                str(setting.resolution),
                "--seed",
                str(seed),
            ]
            pocketvision("fit", data, *words, "--output", folder, "--name", name)
            file = Path(folder) / "fit" / name / "export" / "model.onnx"
            found.append(hashlib.sha256(file.read_bytes()).hexdigest())
    equal = "the same bytes" if found[0] == found[1] else "OTHER BYTES"
    print(f"  two runs of fit          seed {seed:<3d} {equal}: {found[0][:16]}, {found[1][:16]}", flush=True)


def main() -> None:
    """Print one table a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETTINGS)[:4], choices=list(SETTINGS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS[:3]), choices=WAYS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--epochs", type=int, default=25, help="of (a)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.sets:
            data = made_photos(asked.data, Path(folder)) if name == "photos" else asked.data / SETTINGS[name].data
            compare(name, data, asked)


def compare(name: str, data: Path, asked: argparse.Namespace) -> None:
    """Print the table of one set."""
    setting = SETTINGS[name]
    weights, seed = asked.weights / setting.weights, asked.seeds[0]
    print(f"\n{name}: {setting.weights}, {setting.resolution} px, {os.cpu_count()} cores", flush=True)
    if "ours" in asked.ways:
        found = [show(ours(data, setting, weights, seed=each)) for each in asked.seeds]
        if len(found) > 1:
            values = np.array([item.found.value for item in found])
            print(
                f"  ours, {len(values)} seeds: mean {values.mean():.1%}, standard deviation {values.std(ddof=1):.1%}, "
                f"{values.min():.1%} to {values.max():.1%}",
                flush=True,
            )
    if "all" in asked.ways:
        show(ours(data, setting, weights, seed=seed, fine_tune="all"))
    if "a" in asked.ways:
        show(tutorial(setting, weights, split_of(data, seed), seed=seed, epochs=asked.epochs))
    if "b" in asked.ways:
        show(regression(setting, weights, split_of(data, seed)))
    taught = [way for way in asked.ways if way in FROM_TEACHER]
    if taught:
        lessons(data, asked.weights, taught, seed=seed)
    if "same" in asked.ways:
        same(data, setting, weights, seed=seed)


def show(result: Result) -> Result:
    """Print one line."""
    found = result.found
    print(
        f"  {result.way:24s} seed {result.seed:<3d} test {found.value:.1%} ({found.low:.1%} to {found.high:.1%}, "
        f"{found.count})  {result.seconds:.0f} s, {result.cpu_seconds:.0f} CPU s",
        flush=True,
    )
    return result


if __name__ == "__main__":
    main()
