"""A file that is small to send: how strongly its weights are chosen for the bytes that they cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pocketvision.compress.compress import Compressed
from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.errors import BudgetMissed
from pocketvision.export import SUFFIXES, writer_of
from pocketvision.export.calibrate import RECOVERY_IMAGES, SENSITIVITY_IMAGES, calibration
from pocketvision.export.chosen import Recovery
from pocketvision.export.judging import JudgedImages
from pocketvision.export.manifest import stand_in_probes
from pocketvision.export.source import OpenedSource
from pocketvision.export.write import Exported
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.packing import DEFLATE
from pocketvision.progress import Progress
from pocketvision.runtime import download_bytes
from pocketvision.tasks import spec_of
from pocketvision.values import Manifest, Trial
from pocketvision.words import bytes_text

MARGIN = 0.998
"""Of what is allowed: what is settled on the images last, and digests, pack into a few bytes more or less."""


def sent(graph: Graph, manifest: Manifest, name: str, compressor: str = DEFLATE) -> int:
    """Return the bytes that an int8 graph's file takes as it is sent, in the format of that name."""
    own = replace(manifest, precision="int8", created="", probes=stand_in_probes(spec_of(manifest)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"weighed{SUFFIXES[name]}"
        writer_of(name)(best_order(graph), own, path)
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


@dataclass(frozen=True)
class WantedFile:
    """What is asked of a file: bytes, or points that it may lose."""

    allowed: float | None
    compressor: str
    max_drop: float | None


@dataclass(frozen=True, eq=False)
class SmallFile:
    """What a search came to."""

    compressed: Compressed
    strength: float
    exported: Exported
    trials: tuple[Trial, ...]


def small_file(
    opened: OpenedSource,
    judged: JudgedImages,
    wanted: WantedFile,
    *,
    name: str,
    learning_s: float,
    write: Callable[[Graph], Exported],
    progress: Progress,
) -> SmallFile:
    """Search the strength and write the file; where that became larger than weighed, take the next strength.

    `name` is the file's format, and a net that lost answers may learn for `learning_s` seconds.
    """
    dataset, image = opened.images(), opened.manifest.image
    search = RateSearch(opened.graph, calibration(dataset, image, progress, most=SENSITIVITY_IMAGES), progress=progress)
    images = partial(calibration, dataset, image, progress, most=RECOVERY_IMAGES)
    recovery = Recovery(search, judged.rights, images, learning_s)
    weigh = partial(sent, manifest=opened.manifest, name=name, compressor=wanted.compressor)
    place, done = _chosen(recovery, judged, wanted, weigh)
    exported = write(done.graph)
    while wanted.allowed is not None and place < search.last:
        if download_bytes(Path(exported.file), wanted.compressor) <= wanted.allowed:
            break
        place += 1
        done = recovery.best_at(place, judged.float_rights)
        exported = write(done.graph)
    taken = Taken(done.graph, STRENGTHS[place])
    trials = trials_of(search, search.rounded(), taken, weigh=weigh, judge=judged.right)
    return SmallFile(done, STRENGTHS[place], exported, trials)


def _chosen(
    recovery: Recovery, judged: JudgedImages, wanted: WantedFile, weigh: Callable[[Graph], int]
) -> tuple[int, Compressed]:
    """Return the place of the strength that is asked for, and its net."""
    if wanted.allowed is not None:
        place = place_within(recovery.search, weigh, wanted.allowed)
        return place, recovery.best_at(place, judged.float_rights)
    most, before = wanted.max_drop or 0.0, judged.float_right

    def keeps(graph: Graph) -> bool:
        return 100 * (before - judged.right(graph)) <= most + 1e-9

    weakest = recovery.search.strongest(keeps)
    if weakest is None:
        raise BudgetMissed(f"no int8 weights lose {most:g} points or less; allow more with --max-drop")
    return recovery.beyond(weakest, keeps)
