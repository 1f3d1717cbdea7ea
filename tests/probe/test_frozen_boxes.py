"""Frozen maps and prediction layers that learn boxes on them in seconds."""

import numpy as np
import pytest
import torch

from pocketvision.models.catalogue import build_spec
from pocketvision.probe.boxes import BoxImages, frozen_score
from pocketvision.tasks import spec_for_net
from pocketvision.values import AnchorMap, DetectorSpec, ImageSpec, ModelSpec, TaskSpec
from pocketvision.weights.load import Weights
from tests.train.test_detect_training import SIDE, scenes

PLAIN = ModelSpec("mobilenet_v1", 0.25, SIDE, 2)
SPEC = ModelSpec(
    "mobilenet_v1", 0.25, SIDE, 2, detector=DetectorSpec((AnchorMap(8, ((0.3, 0.3),)), AnchorMap(16, ((0.4, 0.4),))))
)
IMAGE, TASK = ImageSpec(SIDE), TaskSpec("detect", ("bright", "dark"))


@pytest.fixture(scope="module")
def weights(settled) -> Weights:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = settled(build_spec(PLAIN), torch.randn(16, 3, SIDE, SIDE))
    tensors = {key: value.numpy() for key, value in net.state_dict().items()}
    return Weights(PLAIN, IMAGE, None, folded=False, norm_eps=1e-5, tensors=tensors)


def test_it_finds_more_than_chance_and_the_same_each_time(weights):
    shown = BoxImages(*scenes(40, 0)), BoxImages(*scenes(16, 1))
    before = torch.random.get_rng_state()
    first, again = (frozen_score(weights, SPEC, IMAGE, shown, TASK) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first == again
    assert (first.metric, first.count) == ("AP50", 16)
    assert first.value > 0.03
    nothing = shown[0], BoxImages(np.full_like(shown[1].pixels, 128), shown[1].targets)
    assert frozen_score(weights, SPEC, IMAGE, nothing, TASK).value < first.value / 3


def test_further_maps_are_made_for_anchors_beyond_the_backbone(weights):
    far = DetectorSpec(tuple(AnchorMap(stride, ((0.3, 0.3),)) for stride in (8, 16, 32, 64)))
    wide = ModelSpec("mobilenet_v1", 0.25, SIDE, 2, detector=far)
    shown = BoxImages(*scenes(16, 0)), BoxImages(*scenes(8, 1))
    assert 0 <= frozen_score(weights, wide, IMAGE, shown, TASK).value <= 1
    assert len(spec_for_net(TASK, wide).maps) == 4
