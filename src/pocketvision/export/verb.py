"""The verb `export`: a finished training as a file, float or int8."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.compress import compress
from pocketvision.compress.half import halved
from pocketvision.compress.palette import palettised
from pocketvision.cost import count
from pocketvision.cost.rules import PALETTE
from pocketvision.data.arrays import labels_of, prepared
from pocketvision.data.splits import read_dataset
from pocketvision.errors import UnknownName, UsageError
from pocketvision.export import FORMATS, SUFFIXES
from pocketvision.export.check import check
from pocketvision.export.manifest import PROBES, make_manifest, make_probes, thumbnails
from pocketvision.export.trust import abstain_of, reason_of, settle, threshold_for
from pocketvision.export.use import write_use
from pocketvision.files import read_json, write_json
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.graph.run import run as answer
from pocketvision.metrics.refusal import Threshold
from pocketvision.progress import Progress, Silent
from pocketvision.values import Accuracy, Dataset, Example, Health, Manifest, Precision, Trained

CALIBRATION_PICTURES = 100
"""Smallest and largest values of each tensor over 100 training pictures; more changed nothing measurable."""
TRUST_PICTURES = 1000
"""Validation pictures that temperature and threshold are settled on; numpy answers some 40 of them a second."""


@dataclass(frozen=True)
class Further:
    """The same net in a further format."""

    file: str
    size_bytes: int
    checked: str


@dataclass(frozen=True)
class Exported:
    """One written file."""

    file: str
    size_bytes: int
    precision: Precision
    manifest: Manifest
    checked: str = ""
    """What was found when the file was opened again, or why it was not."""
    others: tuple[Further, ...] = ()
    """The same net in further formats."""


def export(
    run: str | Path,
    *,
    format: str = "onnx",
    precision: Precision = "float",
    abstain: str = "auto",
    output: str | Path | None = None,
    name: str | None = None,
    progress: Progress = Silent(),
) -> Exported:
    """Write the best net of a training's folder (from `train` or `fit`) as `<output>/<name>` with the format's suffix.

    `format` is `onnx`, `litert`, `coreml`, `executorch`, `openvino` or `c`, or several with commas: the same net in the
    same numbers, each file opened again and held against the reference, as far as this machine can. `float16` halves
    the bytes of the weights and computes in 32 bits; `palette8`, `palette6`, `palette4` and `palette2`, for `coreml`
    alone, give each layer so many bits' worth of different weights. `output` defaults to the run's `export` folder,
    `name` to `model`. int8 is calibrated on the run's own training pictures. `abstain` says below which top probability
    the file refuses to answer: `auto` chooses on the validation pictures, `off` never refuses, or a probability. Raises
    UnknownName for an unknown format or precision, VerificationFailed where a written file does not answer as the net.
    """
    from pocketvision.graph.trace import trace
    from pocketvision.train.job import trained_net

    formats = formats_of(format)
    if precision not in get_args(Precision):
        raise UnknownName("precision", precision, get_args(Precision))
    if precision.startswith(PALETTE) and formats != ("coreml",):
        raise UsageError(f"only Core ML stores a palette; give --format coreml, or another precision than {precision}")
    wanted, folder = abstain_of(abstain), Path(run)
    net, trained = trained_net(folder)
    labels = tuple((folder / "labels.txt").read_text(encoding="utf-8").splitlines())
    root = Path(read_json(Health, folder / "check.json").root)
    dataset = read_dataset(root, labels, folder / "splits.csv", progress=progress)
    graph = trace(net, trained.image)
    if precision == "int8":
        graph = compress(graph, calibration(dataset, trained, progress), progress=progress).graph
    elif precision.startswith(PALETTE):
        graph = palettised(graph, int(precision.removeprefix(PALETTE)))
    target = Path(output) if output is not None else folder / "export"
    figures = {"validation": trained.validation}
    examples = _some(dataset.of("val"), TRUST_PICTURES)
    labels_there = labels_of(examples)
    found = answer(graph, prepared(dataset, examples, trained.image, progress=progress))
    settled = settle(graph, found, labels_there, folded=trained.temperature)
    threshold = threshold_for(wanted, settled.probabilities, labels_there)
    progress.say(reason_of(wanted, threshold))
    ready = halved(settled.graph) if precision == "float16" else settled.graph
    written = [
        write_file(ready, trained, dataset, path, precision=precision, figures=figures, threshold=threshold)
        for path in (target / f"{name or 'model'}{SUFFIXES[each]}" for each in formats)
    ]
    for each in written:
        progress.say(f"{Path(each.file).name}: {each.checked}")
    first, *others = written
    return replace(first, others=tuple(Further(each.file, each.size_bytes, each.checked) for each in others))


def formats_of(text: str) -> tuple[str, ...]:
    """Read names such as `onnx,litert`; raises UnknownName for others, UsageError for the same one twice."""
    names = tuple(word.strip() for word in text.split(","))
    for name in names:
        if name not in FORMATS:
            raise UnknownName("format", name, FORMATS)
    if len(set(names)) < len(names):
        raise UsageError(f"--format is {text}; name each format once")
    return names


def write_file(
    graph: Graph,
    trained: Trained,
    dataset: Dataset,
    path: Path,
    *,
    precision: Precision,
    figures: dict[str, Accuracy],
    threshold: Threshold | None = None,
) -> Exported:
    """Write a graph with its manifest inside and beside it, its counted cost and how to use it; then check the file.

    The layers are put into the order that needs the least memory: the peak counted is true of the file.
    """
    graph = best_order(graph)
    pngs = thumbnails(prepared(dataset, dataset.of("val")[:PROBES], trained.image))
    manifest = make_manifest(
        trained,
        dataset.labels,
        name=Path(dataset.root).name,
        precision=precision,
        figures=figures,
        probes=make_probes(graph, trained.image, pngs),
        threshold=threshold,
    )
    module, function = FORMATS[next(name for name, suffix in SUFFIXES.items() if suffix == path.suffix)].split(":")
    size = getattr(importlib.import_module(module), function)(graph, manifest, path)
    write_json(path.parent / "manifest.json", manifest)
    write_json(path.parent / "cost.json", count(graph, precision=precision))
    write_use(path.parent, manifest)
    return Exported(path.as_posix(), size, precision, manifest, check(path, graph))


def calibration(dataset: Dataset, trained: Trained, progress: Progress = Silent()) -> NDArray[np.uint8]:
    """Prepare a seeded choice of training pictures, uint8 [N, R, R, 3]."""
    return prepared(dataset, _some(dataset.of("train"), CALIBRATION_PICTURES), trained.image, progress=progress)


def _some(examples: Sequence[Example], most: int) -> list[Example]:
    """Return a seeded choice, in order."""
    order = np.random.default_rng(0).permutation(len(examples))[:most]
    return [examples[place] for place in sorted(order)]
