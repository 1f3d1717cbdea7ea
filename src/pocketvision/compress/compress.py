"""From a trained graph to the smaller one, step by step, with a ledger of what each step leaves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pocketvision.compress.ledger import Ledger, LedgerEntry
from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.equalize import Equalize
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.ranges import Ranges
from pocketvision.compress.steps.step import CompressionStep, State, begin
from pocketvision.errors import UsageError
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.run import Images
from pocketvision.graph.storage import FLOAT
from pocketvision.progress import Progress, Silent

DEFAULT_STEPS: tuple[CompressionStep, ...] = (Equalize(), Ranges(), Quantize(), CorrectBias())


@dataclass(frozen=True, eq=False)
class Compressed:
    """The smaller graph and how it got there."""

    graph: Graph
    ledger: Ledger
    plain: Graph
    """The float graph whose values the integers stand for: the given net, but for scales of its channels."""


def compress(
    graph: Graph, images: Images, *, steps: Sequence[CompressionStep] = DEFAULT_STEPS, progress: Progress | None = None
) -> Compressed:
    """Make a float graph smaller, by default int8, calibrated on images [N, R, R, 3]; some 100 of training are enough.

    Steps that weigh errors by the loss of the answer want some 500. Raises UsageError where a step comes before what it
    needs, or the net is left as large as it is.
    """
    state = begin(graph, images, progress or Silent())
    entries = [LedgerEntry("float", graph)]
    for step in steps:
        state = step(state)
        entries.append(LedgerEntry(step.name, state.graph))
    return compressed(state, entries)


def compressed(state: State, entries: Iterable[LedgerEntry]) -> Compressed:
    """Return what the steps came to. Raises UsageError where the net is as large as it was."""
    ledger = tuple(entries)
    if all(node.storage == FLOAT for node in state.graph.nodes if isinstance(node, Conv | Linear)):
        done = ", ".join(entry.step for entry in ledger[1:]) or "(none)"
        raise UsageError(f"the steps {done} leave the net in float; add int8")
    return Compressed(state.graph, ledger, state.plain)
