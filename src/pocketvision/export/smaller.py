"""A file that is small to send: how strongly its weights are chosen for the bytes that they cost."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pocketvision.compress.search import RateSearch
from pocketvision.errors import BudgetMissed
from pocketvision.export import FORMATS, SUFFIXES
from pocketvision.export.manifest import stand_in_probes
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.packing import DEFLATE
from pocketvision.runtime import download_bytes
from pocketvision.tasks import spec_of
from pocketvision.values import Manifest
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
