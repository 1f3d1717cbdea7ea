"""The printed figures: every line is read, asserted against its net within its last digit, or noted with the reason."""

import time
from collections import Counter
from typing import NamedTuple

import pytest

from pocketvision.cost.conventions import Counted, counted
from pocketvision.cost.graphs import graph_at, traced
from pocketvision.models.catalogue import family_of, names
from pocketvision.models.published import CELLS, Published, Rule, main_figures, published, read_figure
from pocketvision.values import ModelSpec


def excused(line: Published) -> set[str]:
    """Return the cells that a line's note says do not hold."""
    return set(CELLS) & {*line.note.partition(":")[0].split(" and ")}


LINES, HOLDING, UNKNOWN = 497, 718, 9
"""Of the file, at least: lines, figures that hold; and exactly: lines whose net is not known."""


class Count(NamedTuple):
    """What every line with figures counts, and the processor's seconds that it took, every net traced anew."""

    found: dict[Published, Counted]
    seconds: float


@pytest.fixture(scope="module")
def count() -> Count:
    graph_at(published()[0].spec)  # from here on torch is loaded
    traced.cache_clear()
    started = time.process_time()
    for name in names():
        graph_at(ModelSpec(name, 1.0, family_of(name).resolution))
    found = {line: counted(graph_at(line.spec), line.rules) for line in published() if line.params or line.macs}
    return Count(found, time.process_time() - started)


def test_every_line_is_the_net_or_says_why_not(count: Count) -> None:
    wrong, holding = [], 0
    for line, found in count.found.items():
        for cell in CELLS:
            if not getattr(line, cell):
                continue
            holds = read_figure(getattr(line, cell)).holds(getattr(found, cell))
            if not line.computable:
                assert not holds, f"this line holds for the net of its name: {line}"
                continue
            holding += holds
            if holds == (cell in excused(line)):
                wrong.append(f"{'noted, but holds' if holds else 'differs'}: {cell} {getattr(found, cell):,} {line}")
    assert wrong == []
    assert len(published()) >= LINES
    assert holding >= HOLDING
    assert sum(not line.computable for line in published()) == UNKNOWN


def test_the_whole_catalogue_is_counted_in_seconds(count: Count) -> None:
    assert count.seconds < 10


@pytest.mark.parametrize(
    ("printed", "value", "last_digit"),
    [
        ("4.2M", 4.2e6, 1e5),
        ("569M", 569e6, 1e6),
        ("0.349G", 349e6, 1e6),
        ("533.0k", 533e3, 100),
        ("94.86", 94.86, 0.01),
        ("3504872", 3_504_872, 0),
    ],
)
def test_a_figures_digits_are_its_tolerance(printed: str, value: float, last_digit: float) -> None:
    figure = read_figure(printed)
    assert figure.value == pytest.approx(value)
    assert figure.last_digit == pytest.approx(last_digit)
    assert figure.holds(value)
    assert figure.holds(value + last_digit)
    assert not figure.holds(value + 1.01 * last_digit + 0.001)


@pytest.mark.parametrize("printed", ["", "4,2M", "4.2 M", "about 3", "3B"])
def test_what_is_no_figure_is_not_read(printed: str) -> None:
    with pytest.raises(AssertionError, match="is no printed figure"):
        read_figure(printed)


def test_lines_are_well_formed() -> None:
    for line in published():
        assert line.name in names(), line
        assert line.source, line
        assert line.variant, line
        assert line.rules == (Rule.LEARNED,) or Rule.LEARNED not in line.rules, line
        assert (line.groups is not None) == bool(family_of(line.name).groups), line
        assert line.params or line.macs or line.top1 or line.top5, line
        for cell in CELLS:
            assert not getattr(line, cell) or read_figure(getattr(line, cell)).value > 0
        if line.note:
            assert line.reason, line
            assert excused(line) or not line.computable, line
            assert all(getattr(line, cell) for cell in excused(line)), line
        for accuracy in (line.top1, line.top5):
            assert accuracy is None or 30 < accuracy < 100, line


def test_no_line_stands_twice() -> None:
    twice = [line for line, times in Counter(published()).items() if times > 1]
    assert twice == []


def test_the_main_figures_are_of_float_nets_and_every_net_of_a_release_has_one() -> None:
    assert all(line.top1 is not None and not line.quantized for line in main_figures())
    assert {line.data for line in main_figures()} == {"ImageNet", "CIFAR-10"}
    listed = {line.name for line in published() if line.top1 is not None}
    assert listed - {line.name for line in main_figures()} == set()
    assert {line.name for line in main_figures("mobilenet_v2")} == {"mobilenet_v2"}


def test_the_grids_of_tf_slim_are_whole() -> None:
    slim = [line for line in published() if line.source.startswith("tensorflow/models research/slim/nets")]
    v1 = {(line.width, line.resolution) for line in slim if line.name == "mobilenet_v1"}
    assert v1 == {(width, side) for width in (1.0, 0.75, 0.5, 0.25) for side in (224, 192, 160, 128)}
    v2 = {(line.width, line.resolution) for line in slim if line.name == "mobilenet_v2"}
    narrow = {(width, side) for width in (1.0, 0.75, 0.5, 0.35) for side in (224, 192, 160, 128, 96)}
    assert v2 == narrow | {(1.4, 224), (1.3, 224)}
