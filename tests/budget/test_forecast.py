"""What frozen features and published figures predict."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pocketvision.budget import forecast as module
from pocketvision.budget.forecast import Forecast, _Surface, forecast
from pocketvision.budget.space import Space, Trunk
from pocketvision.metrics.accuracy import wilson
from pocketvision.values import ModelSpec, Probed, StartKind
from tests.budget.columns import columns

DEPTHS, SIDES = (6, 10, 14, None), (64, 96, 128)
WIDE = ModelSpec("mobilenet_v2", 1.0, 128, 4)


def trunk(spec: ModelSpec, kinds: tuple[StartKind, ...], origin: str = "") -> Trunk:
    return Trunk(spec, DEPTHS[-len(kinds) :], SIDES, kinds, origin)


def space_of(*trunks: Trunk) -> Space:
    """Count by a rule of thumb: deeper nets, wider ones and finer images cost more."""
    rows = [
        (place, depth, side, precision)
        for place, one in enumerate(trunks)
        for depth in range(len(one.depths))
        for side in one.resolutions
        for precision in range(2)
    ]
    place, depth, side, precision = np.array(rows).T
    scale = np.array([one.spec.width**2 for one in trunks])[place] * (1 + depth) ** 2
    counted = columns(len(place), params=1e5 * scale, macs=1e3 * scale * side**2, weights=1e5 * scale, peak=side**2)
    return Space(trunks, place, depth, side, precision, counted, 4, 100)


OWN = trunk(WIDE, ("cut", "cut", "cut", "own"), "v2")
NARROW = trunk(replace(WIDE, width=0.5), ("sliced",) * 4, "v2")
OTHER = trunk(ModelSpec("mobilenet_v1", 0.5, 128, 4), ("cut", "cut", "own"), "v1")
FRESH = trunk(ModelSpec("mobilenet_v1", 0.25, 128, 4), ("scratch",))
SPACE = space_of(OWN, NARROW, OTHER, FRESH)


def probed(right: int, *, depth: int | None = None, side: int = 128, origin: str = "v2") -> Probed:
    spec = replace(WIDE if origin == "v2" else OTHER.spec, depth=depth, resolution=side)
    params = {6: 100_000, 10: 400_000, 14: 900_000, None: 1_600_000}[depth]
    return Probed(origin, spec, 1000 * params, params, wilson(right, 200))


USUAL = (probed(150, depth=6), probed(170, depth=10), probed(176), probed(160, side=96))


def of(found: Forecast, space: Space, place: int, **wanted: object) -> np.ndarray:
    """Return the predicted middles of a trunk's rows that have some dials."""
    rows = [
        row
        for row in np.flatnonzero(space.trunk == place)
        if all(getattr(space.spec(int(row)), name) == value for name, value in wanted.items())
    ]
    return found.middle[rows]


@pytest.mark.parametrize("shown", [(), USUAL, USUAL[:1], (probed(200),), (probed(0),)])
def test_intervals_hold_their_middle_within_zero_and_one(shown: tuple[Probed, ...]) -> None:
    found = forecast(SPACE, shown, images=500)
    assert ((found.low > 0) & (found.low < found.middle) & (found.middle < found.high) & (found.high < 1)).all()
    estimate = found.of(3)
    assert (estimate.low, estimate.middle, estimate.high) == tuple(
        round(float(part[3]), 4) for part in (found.low, found.middle, found.high)
    )


def test_better_frozen_features_raise_their_net_and_what_is_cut_from_it() -> None:
    low, high = (forecast(SPACE, (probed(right), probed(150, origin="v1")), images=500) for right in (120, 180))
    for place in (0, 1):
        assert (of(high, SPACE, place) > of(low, SPACE, place)).all()


def test_more_right_answers_of_frozen_features_lower_nothing() -> None:
    counts = (0, 40, 100, 150, 180, 194)  # beyond, the best is predicted no better
    middles = [forecast(SPACE, (probed(right), probed(150, origin="v1")), images=500).middle for right in counts]
    assert (np.diff(np.stack(middles), axis=0) >= -1e-12).all()


def test_better_features_raise_what_begins_without_weights() -> None:
    low, high = (forecast(SPACE, (probed(right),), images=500) for right in (120, 180))
    assert (of(high, SPACE, 3) > of(low, SPACE, 3)).all()
    worse = forecast(SPACE, (probed(180), probed(40, origin="v1")), images=500)
    assert (of(worse, SPACE, 3) <= of(high, SPACE, 3)).all()


def test_each_depth_follows_its_own_features() -> None:
    usual = forecast(SPACE, USUAL, images=500)
    better = forecast(SPACE, (probed(165, depth=6), *USUAL[1:]), images=500)
    assert (of(better, SPACE, 0, depth=6) > of(usual, SPACE, 0, depth=6)).all()
    assert of(better, SPACE, 0, depth=10) == pytest.approx(of(usual, SPACE, 0, depth=10))
    between = of(usual, SPACE, 0, depth=14, resolution=128)
    ends = of(usual, SPACE, 0, depth=10, resolution=128), of(usual, SPACE, 0, depth=None, resolution=128)
    assert ((between >= np.minimum(*ends)) & (between <= np.maximum(*ends))).all()


def test_where_frozen_features_are_best_half_way_up_deeper_nets_are_still_better() -> None:
    shown = (probed(150, depth=6), probed(176, depth=10), probed(176, depth=14), probed(170))
    middles = [of(forecast(SPACE, shown, images=500), SPACE, 0, depth=depth, resolution=128)[0] for depth in DEPTHS]
    assert middles == sorted(set(middles))


@pytest.mark.parametrize("shown", [(), USUAL, (probed(160),), (probed(150, side=128), probed(180, side=96))])
def test_finer_images_are_never_predicted_to_be_worse(shown: tuple[Probed, ...]) -> None:
    found = forecast(SPACE, shown, images=500)
    for place, one in enumerate(SPACE.trunks):
        table = of(found, SPACE, place).reshape(len(one.depths), len(SIDES), 2)
        assert (np.diff(table, axis=1) >= 0).all()
        assert (table[..., 1] < table[..., 0]).all()  # int8


def test_narrower_slices_are_predicted_to_be_worse() -> None:
    widths = (0.25, 0.35, 0.5, 0.75)
    space = space_of(OWN, *(trunk(replace(WIDE, width=width), ("sliced",) * 4, "v2") for width in widths))
    found = forecast(space, USUAL, images=500)
    by_width = np.stack([of(found, space, place) for place in (*range(1, len(widths) + 1), 0)])
    assert (np.diff(by_width, axis=0) > 0).all()


def test_few_images_leave_fresh_weights_behind() -> None:
    by_count = [forecast(SPACE, USUAL, images=images) for images in (50, 500, 5_000, 50_000)]
    fresh = np.stack([of(found, SPACE, 3) for found in by_count])
    assert (np.diff(fresh, axis=0) >= 0).all()
    assert (fresh[-1] > fresh[0]).all()
    assert (by_count[0].middle[SPACE.trunk < 3] == by_count[-1].middle[SPACE.trunk < 3]).all()


def test_without_features_published_figures_decide_and_intervals_are_wider() -> None:
    blind, seen = forecast(SPACE, (), images=500), forecast(SPACE, USUAL, images=500)
    whole = [of(blind, SPACE, place, depth=None, resolution=128)[0] for place in (0, 2, 3)]
    assert whole == sorted(whole, reverse=True)
    suggested = module.suggested_top1(WIDE) / 100
    assert whole[0] == pytest.approx(suggested, abs=1e-9)
    cuts = [of(blind, SPACE, 0, depth=depth, resolution=128)[0] for depth in (6, 10, 14, None)]
    assert cuts == sorted(cuts)

    def spread(found: Forecast) -> np.ndarray:
        return np.log(found.high / (1 - found.high)) - np.log(found.low / (1 - found.low))

    assert (spread(blind) > spread(seen)).all()
    assert spread(seen)[SPACE.trunk == 0][0] == pytest.approx(2 * module.SPREAD["cut"] + module.RISE)


def test_a_training_is_predicted_to_lift_frozen_features() -> None:
    found = forecast(SPACE, (probed(180),), images=500)
    odds = module.LIFT + module.LIFT_SLOPE * math.log(180.5 / 20.5)
    assert of(found, SPACE, 0, depth=None, resolution=128)[0] == pytest.approx(1 / (1 + math.exp(-odds)))


def test_pixels_count_for_more_where_boxes_were_probed() -> None:
    spec = ModelSpec("mobilenet_v2", 1.0, 320)
    slopes = []
    for metric in ("accuracy", "AP50"):
        scores = [replace(wilson(right, 80), metric=metric) for right in (56, 40)]
        pair = [
            Probed("w", replace(spec, resolution=side), 1, 1, score)
            for side, score in zip((320, 224), scores, strict=True)
        ]
        slopes.append(_Surface(pair).slope)
    assert slopes[0] == pytest.approx(0.55, abs=0.06)
    assert slopes[1] > 1.2
