"""From a trained graph to the smaller one, step by step, with a ledger of what each step leaves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pocketvision.compress.ledger import Ledger, LedgerEntry
from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.equalize import Equalize
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.ranges import Ranges
from pocketvision.compress.steps.step import CompressionStep, State, begin
from pocketvision.errors import UnknownName, UsageError
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import Images
from pocketvision.progress import Progress, Silent

DEFAULT_STEPS: tuple[CompressionStep, ...] = (Equalize(), Ranges(), Quantize(), CorrectBias())
STEPS: Mapping[str, CompressionStep] = {step.name: step for step in DEFAULT_STEPS}
"""By the names that the command line knows them by, in the order in which they are done."""


@dataclass(frozen=True, eq=False)
class Compressed:
    """The quantized graph and how it got there."""

    graph: Graph
    ledger: Ledger
    plain: Graph
    """The float graph whose values the integers stand for: the given net, but for scales of its channels."""


def compress(
    graph: Graph, images: Images, *, steps: Sequence[CompressionStep] = DEFAULT_STEPS, progress: Progress | None = None
) -> Compressed:
    """Quantize a float graph to int8, calibrated on images [N, R, R, 3]; some 100 training images are enough.

    Raises UsageError where a step comes before what it needs, or the net is left in float.
    """
    state = begin(graph, images, progress or Silent())
    entries = [LedgerEntry("float", graph)]
    for step in steps:
        state = step(state)
        entries.append(LedgerEntry(step.name, state.graph))
    return compressed(state, entries)


def compressed(state: State, entries: Iterable[LedgerEntry]) -> Compressed:
    """Return what the steps came to. Raises UsageError where the net is still in float."""
    ledger = tuple(entries)
    if state.small is None:
        done = ", ".join(entry.step for entry in ledger[1:]) or "(none)"
        raise UsageError(f"the steps {done} leave the net in float; add int8")
    return Compressed(state.small, ledger, state.plain)


def steps_named(text: str) -> tuple[CompressionStep, ...]:
    """Return the steps that a text names with commas, in the order in which they are done.

    Raises UnknownName for one that does not exist, UsageError where `int8` is missing or one comes twice.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in STEPS:
            raise UnknownName("step", name, STEPS)
    if Quantize.name not in names:
        raise UsageError(f"the steps {', '.join(names)} leave the net in float; add int8")
    if len(set(names)) != len(names):
        raise UsageError(f"a step is named twice in {', '.join(names)}; name each once")
    return tuple(step for name, step in STEPS.items() if name in names)
