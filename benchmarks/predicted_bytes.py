"""Bytes of files as predicted before training, beside those of written files, by format and precision.

    python benchmarks/predicted_bytes.py --nets 30 --seed 42
    python benchmarks/predicted_bytes.py --nets 30 --seed 42 --formats onnx,litert,c
    python benchmarks/predicted_bytes.py --fit --nets 60 --seed 1

Draws families of the catalogue with a width, a depth or the whole net, a resolution and a number of classes, writes
each with fresh weights as `fit` does when it weighs a candidate, and prints how far off the prediction is: a line for
each net that is beyond 2% in some format, then median, worst and the share within 2% of each format and precision.
Formats whose package is absent are left out. With `--fit` it writes their rows of the table of predictions anew: from
nets of random kernels, which tell one kind from another, and nets of the catalogue. Give that another seed than judges.
"""

import argparse
import csv
import importlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pocketvision.budget.filesize import (
    Structure,
    added_bytes,
    predicted_bytes,
    stored_bytes,
    structures,
    text_copies,
)
from pocketvision.budget.space import Space, Trunk, space_of
from pocketvision.compress.compress import compress
from pocketvision.compress.half import halved
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.errors import UsageError
from pocketvision.export import FORMATS, PACKAGES, SUFFIXES
from pocketvision.export.write import refusal
from pocketvision.files import write_text
from pocketvision.fit.timing import untrained
from pocketvision.fit.weighing import stand_in_manifest
from pocketvision.graph.graph import (
    Activate,
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv,
    GlobalAvgPool,
    Graph,
    Input,
    Linear,
    MaxPool,
    Mul,
    Node,
    Shuffle,
    Slice,
    Softmax,
    shape_of,
)
from pocketvision.graph.order import best_order
from pocketvision.graph.trace import trace_spec
from pocketvision.metrics.accuracy import wilson
from pocketvision.models.catalogue import depths, families
from pocketvision.tasks import load
from pocketvision.train.inputs import SCRATCH
from pocketvision.values import ImageSpec, ModelSpec, Precision, TaskSpec, Trained

MOST_PARAMS = 12_000_000
"""Larger nets are not drawn: they are no candidates for phones, and each takes long to write."""
PRECISIONS: tuple[Precision, ...] = ("float", "float16", "int8")
TABLE = Path(__file__).parents[1] / "src" / "pocketvision" / "budget" / "added_bytes.csv"
WITHIN = 0.02
BAND_BYTES = {"c": 4, "executorch": 4, "litert": 4}
"""Of a value in a local norm's matrix."""
MOST_LEARNED = 2_500_000
"""Parameters of the largest net that is fitted to, so that many are written in a minute."""

Sizes = dict[tuple[str, Precision], int]


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


def labels_of(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def written(plain: Graph, spec: ModelSpec, formats: Sequence[str]) -> Sizes:
    """Return the bytes of the files of a net, by format and precision."""
    side = plain.input.resolution
    noise = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    graphs: dict[Precision, Graph] = {
        "float": plain,
        "float16": halved(plain),
        "int8": compress(plain, noise, steps=(Quantize(),)).graph,
    }
    splits: dict[str, float | int] = {"seed": 42, "val": 0.15, "test": 0.15}
    trained = Trained(spec, ImageSpec(side), SCRATCH, 0, wilson(1, 1), 1.0, "0" * 64, splits)
    task, found = TaskSpec("classify", labels_of(spec.num_classes)), Sizes()
    for precision, graph in graphs.items():
        manifest = replace(stand_in_manifest(trained, task, precision), created="")
        for name in formats:
            if not refusal(name, precision):
                module, function = FORMATS[name].split(":")
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, f"model{SUFFIXES[name]}")
                    write = getattr(importlib.import_module(module), function)
                    found[name, precision] = write(best_order(graph), manifest, path)
    return found


def counted(trunk: Trunk, labels: Sequence[str]) -> Space | None:
    """Count one net; None where its family does not have that width, or it is too large."""
    try:
        space = space_of([trunk], trace_spec, labels)
    except UsageError:
        return None
    return space if len(space) and int(space.params[0]) <= MOST_PARAMS else None


# ---------------------------------------------------------------- judging


def judge(nets: int, seed: int, formats: Sequence[str]) -> None:
    off: dict[tuple[str, Precision], list[float]] = {}
    done = 0
    for trunk in drawn(np.random.default_rng(seed)):
        labels = labels_of(trunk.spec.num_classes)
        space = counted(trunk, labels)
        if space is None:
            continue
        spec = space.spec(0)
        task = TaskSpec("classify", labels)
        plain = untrained(spec, ImageSpec(spec.resolution), load(task.name).ending(task))
        for key, size in written(plain, spec, formats).items():
            text = sum(len(label.encode()) for label in labels)
            told = predicted_bytes(*key, space.structure, labels=len(labels), text_bytes=text)[0]
            off.setdefault(key, []).append(float(told) / size - 1)
            if abs(off[key][-1]) > WITHIN:
                shown = f"{spec!s:<44}{spec.num_classes:>4} classes  {' '.join(key):<18}"
                print(f"{shown}{told:>12,.0f} predicted{size:>12,} written{100 * off[key][-1]:+7.2f}%", flush=True)
        done += 1
        if done >= nets:
            break
    for (name, precision), values in sorted(off.items()):
        errors = np.abs(values)
        print(
            f"{name:<11}{precision:<8}{len(errors)} files, median {np.median(errors):.2%}, worst {errors.max():.2%}, "
            f"{np.mean(errors <= WITHIN):.0%} within {WITHIN:.0%}"
        )


# ---------------------------------------------------------------- fitting


class Kernels:
    """A net of random kernels on maps of few channels, named as layers of real nets are."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[Node] = [Input("image", (), 64, (0.5,) * 3, (0.5,) * 3)]
        self.shapes: dict[str, tuple[int, ...]] = {"image": (3, 64, 64)}
        self.last = self.conv("image", 16, kernel=3)

    def put(self, node: Node) -> str:
        self.nodes.append(node)
        self.shapes[node.name] = shape_of(node, [self.shapes[name] for name in node.inputs])
        return node.name

    def name(self, kind: str) -> str:
        return f"features.{len(self.nodes)}.{kind}.{int(self.rng.integers(0, 10))}"

    def drawn(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def conv(self, source: str, outputs: int, *, kernel: int = 1, groups: int = 1, stride: int = 1) -> str:
        inputs = self.shapes[source][0] // groups
        weight = self.drawn(outputs, inputs, kernel, kernel) / kernel / inputs**0.5
        pads, clamp = (kernel // 2,) * 4, str(self.rng.choice(["none", "relu", "relu6"]))
        bias, learned = self.drawn(outputs), weight.size
        return self.put(
            Conv(self.name("conv"), (source,), weight, bias, (stride, stride), pads, groups, clamp, learned)  # type: ignore[arg-type]
        )

    def add(self, kind: str) -> None:
        """Add one kernel, or some that belong together."""
        source, channels, name = self.last, self.shapes[self.last][0], self.name(kind)
        if kind in ("slice", "join", "sum", "product"):
            self.last = self.branched(kind, source, channels, name)
        elif kind in ("gate", "activation", "shuffle", "pool", "average", "norm"):
            self.last = self.put(self.single(kind, (source,), channels, name))
        elif kind == "strided" and self.shapes[source][1] > 4:
            self.last = self.conv(source, channels, kernel=3, stride=2)
        elif kind == "depthwise":
            self.last = self.conv(source, channels, kernel=3, groups=channels)
        else:
            outputs = 8 * int(np.exp(self.rng.uniform(0, np.log(25))))
            self.last = self.conv(source, outputs, groups=2 if kind == "grouped" else 1)

    def single(self, kind: str, source: tuple[str], channels: int, name: str) -> Node:
        pads = (1, 1, 1, 1)
        gates = [Activate(name, source, "hardswish"), Activate(name, source, "silu")]
        others = [Activate(name, source, "leaky_relu", 0.1), Activate(name, source, "sigmoid")]
        choices: dict[str, list[Node]] = {
            "gate": [*gates],
            "activation": [*others, Activate(name, source, "hardsigmoid")],
            "shuffle": [Shuffle(name, source, 2)],
            "pool": [MaxPool(name, source, (3, 3), (1, 1), False, pads)],
            "average": [AvgPool(name, source, (3, 3), (1, 1), pads)],
            "norm": [Affine(name, source, self.drawn(channels) + 2, self.drawn(channels), "relu", 32)],
        }
        found = choices[kind]
        return found[int(self.rng.integers(0, len(found)))]

    def branched(self, kind: str, source: str, channels: int, name: str) -> str:
        if kind == "slice":
            half = channels // 2
            halves = [self.put(Slice(f"{name}.{at}", (source,), at, at + half)) for at in (0, half)]
            return self.put(Concat(name, tuple(halves)))
        if kind == "join":
            return self.conv(self.put(Concat(name, (source, self.conv(source, 8)))), 16)
        if kind == "sum":
            return self.put(Add(name, (source, self.conv(source, channels)), "relu"))
        pooled = self.put(GlobalAvgPool(f"{name}.pool", (source,), True))
        return self.put(Mul(name, (source, self.conv(pooled, channels))))

    def graph(self, classes: int) -> Graph:
        mean = self.put(GlobalAvgPool("pool", (self.last,)))
        weight = self.drawn(classes, self.shapes[mean][0])
        logits = self.put(Linear("classifier", (mean,), weight, self.drawn(classes), "none", weight.size))
        self.put(Softmax("probabilities", (logits,)))
        return Graph(tuple(self.nodes))


KINDS = (
    *("conv", "depthwise", "grouped", "strided", "gate", "activation", "shuffle", "slice"),
    *("join", "sum", "product", "pool", "average", "norm"),
)


def invented(rng: np.random.Generator) -> tuple[Graph, ModelSpec]:
    """Draw a net of random kernels, some kinds of which come often."""
    net = Kernels(rng)
    often = rng.dirichlet(np.full(len(KINDS), 0.4))
    for kind in rng.choice(KINDS, int(rng.integers(8, 60)), p=often):
        net.add(str(kind))
    classes = int(rng.choice([2, 10, 40, 100]))
    return net.graph(classes), ModelSpec("mobilenet_v2", 0.75, 64, classes)


def structure(graph: Graph) -> Structure:
    return Structure(*(int(total) for total in structures(best_order(graph)).sum(axis=0)))


def learned(rng: np.random.Generator) -> Iterator[tuple[Graph, ModelSpec]]:
    """Draw in turns a net of random kernels and one of the catalogue, at the smallest image that it takes."""
    for trunk in drawn(rng):
        yield invented(rng)
        small = replace(trunk, resolutions=(max(64, families()[trunk.spec.name].smallest),))
        space = counted(small, labels_of(small.spec.num_classes))
        if space is not None and int(space.params[0]) < MOST_LEARNED:
            spec, task = space.spec(0), TaskSpec("classify", labels_of(small.spec.num_classes))
            yield untrained(spec, ImageSpec(spec.resolution), load(task.name).ending(task)), spec


def fit(nets: int, seed: int, formats: Sequence[str]) -> None:
    rows: dict[tuple[str, Precision], list[list[float]]] = {}
    for number, (graph, spec) in zip(range(nets), learned(np.random.default_rng(seed)), strict=False):
        found, text = structure(graph), sum(map(len, labels_of(spec.num_classes)))
        counts = {kind: np.array([count]) for kind, count in found._asdict().items()}
        for key, size in written(graph, spec, formats).items():
            stored = stored_bytes(counts, key[1], key[0])[0] + text_copies(key[0]) * text
            stored += BAND_BYTES.get(key[0], 0) * found.bands
            rows.setdefault(key, []).append([size, size - stored, 1, spec.num_classes, *found[1:]])
        print(f"{number + 1} of {nets} nets written", flush=True)
    known = {key: [f"{value:.2f}" for value in each.values()] for key, each in added_bytes().items()}
    for key, each in rows.items():
        size, added, *columns = np.array(each, float).T
        columns[Structure._fields.index("bands") + 1] *= 0
        terms = np.stack(columns, axis=1) / size[:, None]
        fitted = np.linalg.lstsq(terms, added / size, rcond=1e-9)[0]
        off = np.abs(terms @ fitted - added / size)
        fitted[Structure._fields.index("bands") + 1] = BAND_BYTES.get(key[0], 0)
        print(f"{key[0]:<11}{key[1]:<8}worst {off.max():.2%} of the nets fitted to")
        known[key] = [f"{value:.2f}" for value in fitted]
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["format", "precision", "file", "label", *Structure._fields[1:]])
    table.writerows([*key, *values] for key, values in sorted(known.items()))
    write_text(TABLE, stream.getvalue())


def main() -> None:
    """Judge the predictions, or fit them anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=int, default=30)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    here = [name for name in asked.formats.split(",") if name not in PACKAGES or find_spec(PACKAGES[name])]
    (fit if asked.fit else judge)(asked.nets, asked.seed, here)


if __name__ == "__main__":
    main()
