"""The space of the choice: what is counted without building equals what is counted of the built net."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvision import cache
from pocketvision.budget.space import Space, Trunk, cut, space_of
from pocketvision.budget.trunks import Pretrained, Wanted, trunks_for
from pocketvision.cost import count
from pocketvision.cost.graphs import graph_at
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.graph.trace import trace_spec
from pocketvision.models.catalogue import depths, family_of, largest_useful_resolution
from pocketvision.values import ModelSpec

LABELS = ("one", "two", "three")


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))


def drawn(name: str, width: float, seed: int) -> Trunk:
    """Return a trunk with some depths and resolutions of a family."""
    dice = np.random.default_rng(seed)
    every = depths(name)
    cuts = sorted(int(depth) for depth in dice.choice(every, min(3, len(every)), replace=False)) if every else []
    least = family_of(name).smallest // 16 + 1
    sides = sorted(16 * int(side) for side in dice.choice(np.arange(least, 15), 2, replace=False))
    spec = ModelSpec(name, width, family_of(name).resolution, len(LABELS))
    return Trunk(spec, (*cuts, None), tuple(sides), (*("cut" for _ in cuts), "own"))


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("mobilenet_v1", 0.3125),
        ("mobilenet_v2", 0.4375),
        ("mobilenet_v3_small", 0.75),
        ("squeezenet1_1", 0.5),
        ("shufflenet_v2", 0.5),
        ("ghostnet", 0.5),
        ("fd_mobilenet", 0.25),
        ("efficientnet_lite0", 1.0),
    ],
)
def test_random_settings_are_counted_as_the_built_nets_are(name: str, width: float) -> None:
    space = space_of([drawn(name, width, seed=len(name))], trace_spec, LABELS)
    assert len(space) == 2 * 2 * (len(space.trunks[0].depths))
    for row in range(len(space)):
        built = count(best_order(graph_at(space.spec(row))), precision=space.precision_of(row))
        told = (space.params[row], space.macs[row], space.weight_bytes[row], space.peak_bytes[row])
        assert told == (built.params, built.macs, built.weight_bytes, built.peak_activation_bytes), space.spec(row)


def test_a_graph_cut_short_is_the_graph_of_the_net_cut_short() -> None:
    trunk = drawn("mobilenet_v2", 0.35, seed=1)
    whole = trace_spec(trunk.spec)
    for place, depth in enumerate(trunk.depths):
        built = trace_spec(replace(trunk.spec, depth=depth))
        assert count(cut(whole, trunk, place)) == count(built)
        assert cut(whole, trunk, place).nodes[-1].name == whole.nodes[-1].name


def test_resolutions_that_a_net_cannot_take_are_absent() -> None:
    flat = Trunk(ModelSpec("alexnet", 1.0, 224, 3), (None,), (96, 224), ("scratch",))
    assert set(space_of([flat], trace_spec, LABELS).resolution) == {224}


def test_widths_that_a_family_does_not_have_are_absent() -> None:
    known = Trunk(ModelSpec("shufflenet_v1", 0.5, 224, 3), (None,), (64,), ("scratch",))
    unknown = replace(known, spec=ModelSpec("shufflenet_v1", 0.123, 224, 3))
    space = space_of([unknown, known], trace_spec, LABELS)
    assert set(space.trunk) == {1}
    assert {space.spec(row).width for row in range(len(space))} == {0.5}


def refusing(spec: ModelSpec) -> Graph:
    raise AssertionError(f"{spec} was counted before")


def same(first: Space, second: Space) -> bool:
    return bool((first.counted == second.counted).all() and (first.resolution == second.resolution).all())


def test_what_was_counted_is_read_the_next_time_and_damage_is_counted_anew() -> None:
    trunk = drawn("mobilenet_v1", 0.25, seed=2)
    first = space_of([trunk], trace_spec, LABELS)
    assert same(space_of([trunk], refusing, LABELS), first)
    (kept,) = (cache.root() / "counts").glob("*.npy")
    for damage in (b"", b"not numbers", kept.read_bytes()[:-8]):
        kept.write_bytes(damage)
        with pytest.raises(AssertionError, match="was counted before"):
            space_of([trunk], refusing, LABELS)
        assert same(space_of([trunk], trace_spec, LABELS), first)
        assert same(space_of([trunk], refusing, LABELS), first)
    np.save(kept, first.counted[:1])
    assert same(space_of([trunk], trace_spec, LABELS), first)


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = drawn("mobilenet_v1", 0.25, seed=3)
    first = space_of([trunk], trace_spec, LABELS)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "file" / "below"))
    assert same(space_of([trunk], trace_spec, LABELS), first)


def test_kinds_and_origins_do_not_count_anew() -> None:
    trunk = drawn("mobilenet_v1", 0.25, seed=4)
    space_of([trunk], trace_spec, LABELS)
    sliced = replace(trunk, kinds=tuple("sliced" for _ in trunk.kinds), origin="wide.tflite")
    space = space_of([sliced], refusing, LABELS)
    assert {space.start(row) for row in range(len(space))} == {"sliced"}


def test_labels_take_room_in_the_file() -> None:
    trunk = drawn("mobilenet_v1", 0.25, seed=5)
    short, long = (
        space_of([trunk], trace_spec, [word * 3 for word in words]) for words in ("abc", ("ä" * 9, "b", "c"))
    )
    assert (np.abs(long.size_bytes - short.size_bytes - 2 * 17 * 3) <= 1).all()  # in the manifest, and as a list


def test_thousands_of_settings_come_from_a_few_traces() -> None:
    """A cold count of all that one wide net gives asks for one graph a width."""
    asked: list[float] = []

    def graph_of(spec: ModelSpec) -> Graph:
        asked.append(spec.width)
        return trace_spec(spec)

    wish = Wanted(3, largest_useful_resolution(224), name="mobilenet_v1")
    trunks = trunks_for([Pretrained("v1.tflite", ModelSpec("mobilenet_v1", 0.25))], wish, scratch=True)
    space = space_of(trunks, graph_of, LABELS)
    assert len(asked) == len(set(asked)) == len(trunks)
    assert len(space) > 100 * len(trunks)


def test_deeper_and_finer_cost_no_less() -> None:
    space = space_of([drawn("mobilenet_v1", 0.5, seed=6)], trace_spec, LABELS)
    floats, ints = (space.rows(space.precision == place) for place in range(2))
    grid = len(floats.trunks[0].depths), 2
    for counted in (floats.params, floats.size_bytes, ints.size_bytes, floats.macs):
        assert (np.diff(counted.reshape(grid)[:-1], axis=0) >= 0).all()
    assert (np.diff(floats.macs.reshape(grid), axis=1) > 0).all()
    assert (ints.size_bytes < floats.size_bytes).all()
    assert (4 * ints.peak_bytes == floats.peak_bytes).all()
