"""Which settings stand on record to say why one dial was cut and not another."""

import itertools
import math

import numpy as np

from pocketvision.budget.dials import dials_of, turned_up
from pocketvision.budget.space import Space, Trunk
from pocketvision.values import Candidate, Cost, ModelSpec
from tests.budget.columns import columns

DEPTHS, RESOLUTIONS = (10, None), (96, 160)


def space():
    trunks = tuple(
        Trunk(ModelSpec(name, width), DEPTHS, RESOLUTIONS, ("cut", "own"))
        for name, width in (("mobilenet_v2", 0.5), ("mobilenet_v2", 1.0), ("mobilenet_v1", 1.0))
    )
    rows = np.array(list(itertools.product(range(3), range(2), RESOLUTIONS)))
    trunk, depth, resolution = rows.T
    return Space(trunks, trunk, depth, resolution, np.zeros(len(rows), int), columns(len(rows)), 0, 0)


def taken(row):
    return Candidate(space().spec(row), "float", Cost(1, 1, 4, 4), 1, 50.0, "taken", "")


def test_a_whole_net_is_deeper_than_any_cut():
    found = dials_of(space())
    assert found[0].tolist() == [0.5, 10, 96]
    assert found[-1].tolist() == [1.0, math.inf, 160]


def test_each_dial_brings_the_best_of_the_same_net_that_has_more_of_it_and_keeps_the_budget():
    rows, random = space(), np.random.default_rng(3)
    dials, names = dials_of(rows), np.array([rows.spec(row).name for row in range(len(rows))])
    for _ in range(40):
        utility, here = random.normal(size=len(rows)), int(random.integers(len(rows)))
        kept = np.flatnonzero(random.random(len(rows)) < 0.7)
        found = turned_up(rows, kept, utility, [taken(here)])
        expected = set()
        for dial in range(3):
            higher = [row for row in kept if names[row] == names[here] and dials[row, dial] > dials[here, dial]]
            if higher:
                expected.add(max(higher, key=lambda row: utility[row]))
        assert set(found) == expected
        assert all(str(taken(here).spec) in reason for reason in found.values())
