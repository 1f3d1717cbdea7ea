"""From a trained graph to the smaller one, step by step, with a ledger of the bytes each step leaves."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pocketvision.compress.bias import correct_biases
from pocketvision.compress.equalize import equalize
from pocketvision.compress.measure import Range, measure
from pocketvision.compress.quantize import quantize
from pocketvision.compress.ranges import search
from pocketvision.errors import UnknownName, UsageError
from pocketvision.graph.graph import Affine, Conv, Graph, Linear
from pocketvision.graph.lower import without_affines
from pocketvision.graph.run import Images
from pocketvision.progress import Progress, Silent

STEPS: Mapping[str, str] = {
    "equalize": "channels of a tensor get alike ranges",
    "ranges": "levels end where the squared error is least",
    "int8": "weights and tensors become whole numbers",
    "bias": "the mean of what rounding added leaves the biases",
}
"""In the order in which they are done."""
DEFAULT_STEPS = ("equalize", "ranges", "int8", "bias")
FEW = 32
"""Images for histograms and for the means of biases; over 100 the biases came out no better."""


class LedgerEntry(NamedTuple):
    """The bytes of weights, biases and weight scales after a step."""

    step: str
    weight_bytes: int


Ledger = tuple[LedgerEntry, ...]


@dataclass(frozen=True, eq=False)
class Compressed:
    """The quantized graph and how it got there."""

    graph: Graph
    ledger: Ledger
    plain: Graph
    """The float graph whose values the whole numbers stand for: the given net, but for scales of its channels."""


def compress(
    graph: Graph, images: Images, *, steps: Collection[str] = DEFAULT_STEPS, progress: Progress | None = None
) -> Compressed:
    """Quantize a float graph to int8, calibrated on images [N, R, R, 3]; some 100 training images are enough.

    `steps` are names out of STEPS, in any order, `int8` among them. Raises UnknownName for others.
    """
    check_steps(steps)
    progress = progress or Silent()
    few = images[:: max(1, len(images) // FEW)]
    plain = without_affines(graph)
    measured = measure(plain, images, progress=progress)
    entries = [LedgerEntry("float", weight_bytes(graph))]
    if "equalize" in steps:
        plain, measured = equalize(plain, measured)
        entries.append(LedgerEntry("equalize", weight_bytes(plain)))
    ranges: Mapping[str, Range] = {name: spread.range for name, spread in measured.items()}
    if "ranges" in steps:
        ranges = search(plain, ranges, few, progress=progress)
        entries.append(LedgerEntry("ranges", weight_bytes(plain)))
    small = quantize(plain, ranges)
    entries.append(LedgerEntry("int8", weight_bytes(small)))
    if "bias" in steps:
        small = correct_biases(small, measure(plain, few, progress=progress), few, progress=progress)
        entries.append(LedgerEntry("bias", weight_bytes(small)))
    return Compressed(small, tuple(entries), plain)


def check_steps(steps: Collection[str]) -> None:
    """Raise UnknownName for a step that does not exist, UsageError where `int8` is missing or a step comes twice."""
    for step in steps:
        if step not in STEPS:
            raise UnknownName("step", step, STEPS)
    if "int8" not in steps:
        raise UsageError(f"the steps {', '.join(steps) or '(none)'} leave the net in float; add int8")
    if len(set(steps)) != len(steps):
        raise UsageError(f"a step is named twice in {', '.join(steps)}; name each once")


def weight_bytes(graph: Graph) -> int:
    """Count the bytes of all weights, biases and weight scales."""
    layers = [node for node in graph.nodes if isinstance(node, Conv | Linear | Affine)]
    scales = [node.weight_scale for node in layers if not isinstance(node, Affine) and node.weight_scale is not None]
    return sum(array.nbytes for node in layers for array in (node.weight, node.bias)) + sum(s.nbytes for s in scales)
