"""Which nets weights at hand give, and what a user's wishes leave of them."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.budget.trunks import NARROWEST, SMALLEST, Pretrained, Wanted, resolutions, trunks_for
from pocketvision.models.catalogue import depths, families
from pocketvision.values import ModelSpec

WISH = Wanted(num_classes=5, largest=224)
V1 = Pretrained("v1.tflite", ModelSpec("mobilenet_v1", 0.75, 192, 1001, "same"))
NARROW = Pretrained("narrow.tflite", ModelSpec("mobilenet_v1", 0.25, 128, 1001, "same"))
V2 = Pretrained("v2.tflite", ModelSpec("mobilenet_v2", 1.0, 224, 1001, "same"))


def test_weights_give_their_net_its_cuts_and_narrower_ones() -> None:
    own, *narrower = trunks_for([V1], WISH, scratch=False)
    assert own.spec == replace(V1.spec, num_classes=5, resolution=224)
    assert own.depths[-1] is None
    assert own.kinds == (*("cut" for _ in own.depths[:-1]), "own")
    assert set(own.depths[:-1]) < set(depths("mobilenet_v1"))
    for trunk in narrower:
        assert trunk.origin == "v1.tflite"
        assert NARROWEST * 0.75 < trunk.spec.width < 0.75
        assert set(trunk.kinds) == {"sliced"}
        assert (trunk.depths, trunk.resolutions) == (own.depths, own.resolutions)
    widths = [trunk.spec.width for trunk in narrower]
    assert widths == sorted(set(widths))
    assert {0.25, 0.3125, 0.375, 0.5, 0.6875} <= set(widths)


def test_padding_classes_and_groups_are_kept_from_the_weights() -> None:
    found = trunks_for([V1, V2], WISH, scratch=False)
    assert {(trunk.spec.padding, trunk.spec.num_classes) for trunk in found} == {("same", 5)}


def test_each_width_of_a_family_is_cut_from_the_nearest_wider_weights() -> None:
    found = trunks_for([NARROW, V1], WISH, scratch=False)
    assert len({trunk.spec.width for trunk in found}) == len(found)
    for trunk in found:
        assert trunk.origin == ("narrow.tflite" if trunk.spec.width <= 0.25 else "v1.tflite")
    assert {trunk.kinds[-1] for trunk in found if trunk.spec.width in (0.25, 0.75)} == {"own"}


def test_weights_that_cannot_be_narrowed_give_their_own_width_only() -> None:
    (only,) = trunks_for([replace(V2, slices=False)], WISH, scratch=False)
    assert only.spec.width == 1.0


def test_weights_of_a_cut_net_give_nothing_deeper() -> None:
    cut = replace(V2, spec=replace(V2.spec, depth=12))
    own = trunks_for([cut], WISH, scratch=False)[0]
    assert own.depths[-1] == 12
    assert own.kinds[-1] == "own"
    assert max(own.depths[:-1]) < 12


def test_a_fixed_width_is_cut_from_the_narrowest_weights_that_have_it() -> None:
    wish = replace(WISH, name="mobilenet_v1", width=0.5)
    (found,) = trunks_for([V1, NARROW, V2], wish, scratch=False)
    assert (found.spec.width, found.origin, found.kinds[-1]) == (0.5, "v1.tflite", "sliced")
    (own,) = trunks_for([V1, NARROW], replace(wish, width=0.25), scratch=False)
    assert (own.origin, own.kinds[-1]) == ("narrow.tflite", "own")
    assert trunks_for([V1, NARROW], replace(wish, width=1.0), scratch=False) == []


def test_fixed_dials_hold_for_every_trunk() -> None:
    wish = replace(WISH, depth=9, resolution=96, largest=96)
    found = trunks_for([V1, V2], wish, scratch=False)
    assert found
    assert {trunk.depths for trunk in found} == {(9,)}
    assert {trunk.resolutions for trunk in found} == {(96,)}
    assert {trunk.kinds for trunk in found} == {("cut",), ("sliced",)}
    assert trunks_for([replace(V2, spec=replace(V2.spec, depth=8))], wish, scratch=False) == []


def test_a_named_net_leaves_the_others_out() -> None:
    found = trunks_for([V1, V2], replace(WISH, name="mobilenet_v2"), scratch=True)
    assert {trunk.spec.name for trunk in found} == {"mobilenet_v2"}
    fresh = [trunk for trunk in found if not trunk.origin]
    assert {trunk.spec.width for trunk in fresh} == {1.4, 1.3}  # the others can be had from the weights
    assert {trunk.kinds for trunk in fresh} == {("scratch",)}


def test_every_family_is_considered_from_scratch() -> None:
    found = trunks_for([], WISH, scratch=True)
    assert {trunk.spec.name for trunk in found} == set(families())
    assert {trunk.origin for trunk in found} == {""}
    assert all(trunk.depths == (None,) for trunk in found)
    grouped = trunks_for([], replace(WISH, name="shufflenet_v1", groups=8), scratch=True)
    assert {trunk.spec.groups for trunk in grouped} == {8}


@pytest.mark.parametrize("seed", range(20))
def test_resolutions_are_what_images_hold_and_nets_take(seed: int) -> None:
    dice = np.random.default_rng(seed)
    largest, smallest = int(dice.integers(16, 600)), int(dice.integers(16, 100))
    wish = Wanted(3, largest)
    for fine in (False, True):
        sides = resolutions(wish, smallest, fine=fine)
        assert all(smallest <= side <= largest for side in sides)
        assert list(sides) == sorted(set(sides))
    least = max(smallest, min(SMALLEST, largest))
    assert all(side >= least and side % 16 == 0 for side in resolutions(wish, smallest, fine=True))
    fixed = replace(wish, resolution=largest)
    assert resolutions(fixed, smallest, fine=True) == ((largest,) if largest >= smallest else ())


def test_images_too_small_for_a_net_leave_it_out() -> None:
    found = trunks_for([], Wanted(3, 48), scratch=True)
    assert found
    assert all(max(trunk.resolutions) <= 48 for trunk in found)
    assert {trunk.spec.name for trunk in found} < set(families())
