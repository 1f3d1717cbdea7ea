"""A file that is small to send: how strongly its weights are chosen for the bytes that they cost."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.errors import BudgetMissed
from pocketvision.export import FORMATS, SUFFIXES
from pocketvision.export.manifest import stand_in_probes
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.packing import DEFLATE
from pocketvision.runtime import download_bytes
from pocketvision.tasks import spec_of
from pocketvision.values import Manifest, Trial
from pocketvision.words import bytes_text

MARGIN = 0.998
"""Of what is allowed: what is settled on the images last, and digests, pack into a few bytes more or less."""


def sent(graph: Graph, manifest: Manifest, name: str, compressor: str = DEFLATE) -> int:
    """Return the bytes that an int8 graph's file takes as it is sent, in the format of that name."""
    own = replace(manifest, precision="int8", created="", probes=stand_in_probes(spec_of(manifest)))
    module, function = FORMATS[name].split(":")
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"weighed{SUFFIXES[name]}"
        getattr(importlib.import_module(module), function)(best_order(graph), own, path)
        return download_bytes(path, compressor)


def place_within(search: RateSearch, weigh: Callable[[Graph], int], allowed: float) -> int:
    """Return the weakest place whose file keeps what is allowed; raises BudgetMissed where the strongest does not."""
    place = search.weakest(lambda graph: weigh(graph) <= MARGIN * allowed)
    if place is None:
        least = weigh(search.at(search.last).graph)
        raise BudgetMissed(
            f"no choice of weights brings this net below {bytes_text(least)} as it is sent, and {bytes_text(allowed)} "
            "are allowed; take a smaller net"
        )
    return place


@dataclass(frozen=True, eq=False)
class Taken:
    """The net that is delivered, and how strongly its weights were chosen; None where they are as rounded."""

    graph: Graph
    strength: float | None


def trials_of(
    search: RateSearch, plain: Graph, taken: Taken, *, weigh: Callable[[Graph], int], judge: Callable[[Graph], float]
) -> tuple[Trial, ...]:
    """Return what a search tried, with the net in plain int8, the largest download first; `judge` gives accuracies."""
    tried = [Taken(plain, None), *(Taken(graph, STRENGTHS[place]) for place, graph in search.tried.items())]
    if not any(one.graph is taken.graph for one in tried):
        tried.append(taken)
    found = [Trial(one.strength, weigh(one.graph), judge(one.graph), one.graph is taken.graph) for one in tried]
    return tuple(sorted(found, key=lambda trial: -trial.download_bytes))
