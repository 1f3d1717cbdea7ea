"""Nets of about equal bytes from the same weights: cut short, sliced narrower, or published narrow; then fine-tuned.

    python benchmarks/depth.py --data ../shared/data --weights ../shared/weights --sets sign-digits face-mask --seeds 42

For each family one wide file and some budgets, which are the int8 bytes of its narrower widths. `sliced` is the wide
net's channels at that width, `published` the authors' own narrow file, `cut` the wide net's first layers, as many as
come nearest to the budget. Training is `pocketvision train` with its defaults. A line for each: weights and biases in
8 bit, multiply-adds, test accuracy with its interval, CPU seconds; then means over the seeds.
"""

import argparse
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from training import SETTINGS, pocketvision, split_of, tested
from training_peers import Watch

from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.models.catalogue import depths
from pocketvision.values import Cost, ModelSpec

PUBLISHED = {0.5: "mobilenet_v1_0.5_160_quant.tflite", 0.25: "mobilenet_v1_0.25_128_quant.tflite"}


@dataclass(frozen=True)
class Family:
    """A wide file and the widths whose bytes are the budgets."""

    name: str
    width: float
    weights: str
    widths: tuple[float, ...]


FAMILIES = {
    "v1": Family("mobilenet_v1", 0.75, "mobilenet_v1_0.75_192_quant.tflite", (0.5, 0.25)),
    "v2": Family("mobilenet_v2", 1.0, "mobilenet_v2_1.0_224_quant.tflite", (0.75, 0.5, 0.35)),
}


@dataclass(frozen=True)
class Way:
    """One net and the file that it starts from."""

    name: str
    spec: ModelSpec
    weights: str

    @property
    def cost(self) -> Cost:
        """Count the net."""
        return count(graph_at(self.spec), precision="int8")


def ways(family: Family, resolution: int, classes: int) -> list[tuple[int, Way]]:
    """List the nets of a family, each with the budget in bytes that it stands for."""
    wide = ModelSpec(family.name, family.width, resolution, classes)
    found = []
    for width in family.widths:
        sliced = Way("sliced", replace(wide, width=width), family.weights)
        budget = sliced.cost.weight_bytes
        cuts = [Way("cut", replace(wide, depth=depth), family.weights) for depth in depths(family.name)]
        found.append((budget, sliced))
        found.append((budget, min(cuts, key=lambda way: abs(way.cost.weight_bytes - budget))))
        if family.name == "mobilenet_v1":
            found.append((budget, Way("published", sliced.spec, PUBLISHED[width])))
    return found


def trained(way: Way, data: Path, weights: Path, *, seed: int) -> float:
    """Train one net, print its line and return its test accuracy."""
    spec = way.spec
    words: list[str | Path] = ["--weights", weights / way.weights, "--resolution", str(spec.resolution)]
    words += ["--depth", str(spec.depth)] if spec.depth is not None else ["--width", f"{spec.width:g}"]
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch()
        pocketvision("train", data, *words, "--seed", str(seed), "--output", folder, "--name", "run")
        found = tested(Path(folder) / "train" / "run", way.name, data, seed=seed, spent=watch.passed())
    score = found.found
    print(
        f"  {way.name:<10}{spec.dials:<26} seed {seed:<4}{way.cost.weight_bytes / 1000:7.0f} KB"
        f"{way.cost.macs / 1e6:8.1f} M  {score.value:.1%} ({score.low:.1%} to {score.high:.1%})"
        f"{found.cpu_seconds:7.0f} s",
        flush=True,
    )
    return score.value


def compare(name: str, asked: argparse.Namespace) -> None:
    """Print the table of one set."""
    setting = SETTINGS[name]
    data = asked.data / setting.data
    resolution = asked.resolution or setting.resolution
    classes = len(split_of(data, asked.seeds[0]).dataset.labels)
    for key in asked.families:
        print(f"\n{name}, {resolution} px, from {FAMILIES[key].weights}", flush=True)
        found: dict[tuple[int, str, str], list[float]] = defaultdict(list)
        for budget, way in ways(FAMILIES[key], resolution, classes):
            for seed in asked.seeds:
                accuracy = trained(way, data, asked.weights, seed=seed)
                found[budget, way.name, way.spec.dials].append(accuracy)
        for (budget, kind, dials), values in found.items():
            mean = sum(values) / len(values)
            print(f"| {name} | {budget / 1000:.0f} KB | {kind} | {dials} | {mean:.1%} |", flush=True)


def main() -> None:
    """Print one table a set and family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["sign-digits", "face-mask"], choices=list(SETTINGS))
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--resolution", type=int, default=None, help="by default that of benchmarks/training.py")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    asked = parser.parse_args()
    for name in asked.sets:
        compare(name, asked)


if __name__ == "__main__":
    main()
