"""Bytes of ONNX files as predicted before training, beside those of written files.

    python benchmarks/predicted_bytes.py --nets 40 --seed 42

Draws families of the catalogue with a width, a depth or the whole net, a resolution and a number of classes, writes
each with fresh weights as `fit` does when it weighs a candidate, float and int8, and prints how far off the prediction
is, a line each; then the worst and the share within 2%. It takes about a second a net.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from pocketvision.budget.space import PRECISIONS, Space, Trunk, space_of
from pocketvision.compress.compress import compress
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.errors import UsageError
from pocketvision.fit.timing import untrained
from pocketvision.fit.weighing import content_of
from pocketvision.graph.trace import trace_spec
from pocketvision.metrics.accuracy import wilson
from pocketvision.models.catalogue import depths, families
from pocketvision.tasks import load
from pocketvision.train.inputs import SCRATCH
from pocketvision.values import ImageSpec, ModelSpec, Precision, TaskSpec, Trained

MOST_PARAMS = 12_000_000
"""Larger nets are not drawn: they are no candidates for phones, and each takes long to write."""


def drawn(rng: np.random.Generator) -> Iterator[Trunk]:
    """Draw nets without an end; each at one depth and resolution."""
    known = families()
    while True:
        name = str(rng.choice(list(known)))
        family = known[name]
        fine = [step / 16 for step in range(3, 17)] if family.narrows and not family.groups else []
        width = float(rng.choice([*family.widths, *fine]))
        every = depths(name)
        depth = int(rng.choice(every[len(every) // 3 :])) if every and rng.random() < 0.5 else None
        side = int(rng.choice([side for side in (64, 96, 128, 160, 224) if side >= family.smallest]))
        spec = ModelSpec(name, width, family.resolution, int(rng.choice([2, 5, 10, 37, 200])))
        yield Trunk(spec, (depth,), (side,), ("own",))


def written(spec: ModelSpec, labels: tuple[str, ...], precision: Precision) -> int:
    """Return the bytes of the file with fresh weights."""
    task, image = TaskSpec("classify", labels), ImageSpec(spec.resolution)
    graph = untrained(spec, image, load(task.name).ending(task))
    if precision == "int8":
        noise = np.random.default_rng(0).integers(0, 256, (2, spec.resolution, spec.resolution, 3), np.uint8)
        graph = compress(graph, noise, steps=(Quantize(),)).graph
    splits: dict[str, float | int] = {"seed": 42, "val": 0.15, "test": 0.15}
    trained = Trained(spec, image, SCRATCH, 0, wilson(1, 1), 1.0, "0" * 64, splits)
    return len(content_of(graph, trained, task, precision=precision))


def counted(trunk: Trunk, labels: tuple[str, ...]) -> Space | None:
    """Count one net; None where its family does not have that width, or it is too large."""
    try:
        space = space_of([trunk], trace_spec, labels)
    except UsageError:
        return None
    return space if len(space) and int(space.params[0]) <= MOST_PARAMS else None


def main() -> None:
    """Print a line for each file, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=int, default=40)
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()
    off: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
    for trunk in drawn(np.random.default_rng(asked.seed)):
        labels = tuple(f"class {number}" for number in range(trunk.spec.num_classes))
        space = counted(trunk, labels)
        if space is None:
            continue
        for row in range(len(space)):
            precision, spec = space.precision_of(row), space.spec(row)
            found, told = written(spec, labels, precision), int(space.size_bytes[row])
            off[precision].append(told / found - 1)
            shown = f"{spec!s:<44}{spec.num_classes:>4} classes  {precision:<6}"
            print(f"{shown}{told:>10,} predicted{found:>11,} written{100 * off[precision][-1]:+7.2f}%", flush=True)
        if len(off["float"]) >= asked.nets:
            break
    for precision, values in off.items():
        errors = np.abs(values)
        print(
            f"{precision}: {len(errors)} files, worst {errors.max():.2%}, median {np.median(errors):.2%}, "
            f"{np.mean(errors <= 0.02):.0%} within 2%"
        )


if __name__ == "__main__":
    main()
