"""One graph with its manifest to one file: written, told how to use, and held against the reference."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.cost import count
from pocketvision.data.arrays import prepared
from pocketvision.errors import MissingExtra, UnknownName, UsageError
from pocketvision.export import FORMATS, HELD, PACKAGES, PROVERS, SPARSE, SUFFIXES, writer_of
from pocketvision.export.check import check
from pocketvision.export.manifest import PROBES, make_manifest, make_probes, thumbnails
from pocketvision.export.use import write_use
from pocketvision.graph.graph import Graph, Suppress
from pocketvision.graph.order import best_order
from pocketvision.metrics.refusal import Threshold
from pocketvision.runs import ExportFolder
from pocketvision.values import Dataset, Io, Manifest, Precision, Score, Suppression, TaskSpec, Trained

WHOLE = ("c", "litert")
"""Formats whose files can take and give whole numbers of either kind."""

RAW_ONLY = ("c", "executorch")
"""Formats whose runtimes suppress no boxes: the app does."""


@dataclass(frozen=True)
class Further:
    """The same net in a further format."""

    file: str
    """Path of the file."""
    size_bytes: int
    """Of the file."""
    checked: str
    """What was found when the file was opened again, or why it was not."""


@dataclass(frozen=True)
class Exported:
    """One written file."""

    file: str
    """Path of the file."""
    size_bytes: int
    """Of the file."""
    precision: Precision
    """Of the file."""
    manifest: Manifest
    """What the file says of itself."""
    checked: str = ""
    """What was found when the file was opened again, or why it was not."""
    others: tuple[Further, ...] = ()
    """The same net in further formats."""


def formats_of(text: str, io: Io = "mixed") -> tuple[str, ...]:
    """Read names such as `onnx,litert`; raises UnknownName for others, UsageError for the same one twice.

    Types other than `mixed` are for the formats of `WHOLE`: at least one of them has to be named then.
    """
    names = tuple(word.strip() for word in text.split(","))
    for name in names:
        if name not in FORMATS:
            raise UnknownName("format", name, FORMATS)
    if len(set(names)) < len(names):
        raise UsageError(f"--format is {text}; name each format once")
    if io != "mixed" and not set(names) & set(WHOLE):
        raise UsageError(f"--io {io} is for LiteRT and C files: add --format litert, or leave --io away")
    return names


def require_packages(formats: Iterable[str], *, proven: bool = False) -> None:
    """Raise MissingExtra where what writes a format, or proves it, is not installed: before the work, not after."""
    needed = {**PACKAGES, **PROVERS} if proven else PACKAGES
    for name in formats:
        if name in needed and importlib.util.find_spec(needed[name]) is None:
            raise MissingExtra(needed[name].replace("_", "-"), name)


def suppression_of(graph: Graph) -> Suppression | None:
    """Return which boxes a detector's graph keeps; None for other graphs."""
    node = graph.nodes[-1]
    if not isinstance(node, Suppress):
        return None
    return Suppression(node.score_threshold, node.iou_threshold, node.most)


def refusal(name: str, precision: Precision) -> str:
    """Say why a format cannot hold a precision; empty where it can."""
    if precision in HELD[name]:
        return ""
    others = ",".join(other for other, held in HELD.items() if precision in held)
    return (
        f"{name} files hold {' or '.join(HELD[name])}, not {precision}: give another --precision, or --format {others}"
    )


def write_trained(
    graph: Graph,
    trained: Trained,
    dataset: Dataset,
    path: Path,
    *,
    precision: Precision,
    figures: dict[str, Score],
    decision: tuple[TaskSpec, Threshold | None],
) -> Exported:
    """Write the graph of a run with its manifest, as `write_graph` does; `decision` is how its answers are decided, and
    when it refuses."""
    pngs = thumbnails(prepared(dataset, dataset.of("val")[:PROBES], trained.image))
    manifest = make_manifest(
        trained,
        decision[0],
        name=Path(dataset.root).name,
        precision=precision,
        figures=figures,
        probes=make_probes(graph, trained.image, pngs),
        threshold=decision[1],
    )
    return write_graph(graph, manifest, path)


def write_graph(graph: Graph, manifest: Manifest, path: Path) -> Exported:
    """Write a graph with its manifest inside and beside it, its counted cost and how to use it; then check the file.

    The layers are put into the order that needs the least memory: the peak counted is true of the file. A format that
    knows one pair of types only is written with that; beside the file stands what LiteRT and C files have. The time
    stands beside it only: the same net is the same bytes.
    """
    graph = best_order(graph)
    name = next(name for name, suffix in SUFFIXES.items() if suffix == path.suffix)
    manifest = replace(manifest, suppression=suppression_of(graph))
    own = replace(
        manifest,
        created="",
        io=manifest.io if name in WHOLE else "mixed",
        ends="raw" if name in RAW_ONLY and manifest.suppression else manifest.ends,
    )
    size = writer_of(name)(graph, own, path)
    beside = ExportFolder(path.parent)
    beside.manifest.write(manifest)
    beside.cost.write(count(graph, precision=None if name in SPARSE else manifest.precision))
    write_use(path.parent, manifest)
    return Exported(
        path.as_posix(), size, manifest.precision, replace(own, created=manifest.created), check(path, graph)
    )
