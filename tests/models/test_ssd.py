"""Detectors: the papers' counts to the last parameter, where maps are read, and every family that has the strides."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.cost import count
from pocketvision.errors import UsageError
from pocketvision.graph.trace import trace_spec
from pocketvision.models import catalogue
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build_spec
from pocketvision.models.ssd import Detector, Rows, last_of
from pocketvision.tasks import load, spec_for_net
from pocketvision.values import AnchorMap, DetectorSpec, ModelSpec, TaskSpec

SHAPES = {3: ((0.1, 0.1),) * 3, 6: ((0.3, 0.3),) * 6}
PAPER = tuple(AnchorMap(16 * 2**place, SHAPES[3 if place == 0 else 6]) for place in range(6))
"""Three anchors on the first map and six on the others, as released."""


def spec(name: str, resolution: int, classes: int, *, head: str = "ssdlite", width: float = 1.0) -> ModelSpec:
    return ModelSpec(name, width, resolution, classes, "same", detector=DetectorSpec(PAPER, head))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("net", "params", "macs"),
    [
        (spec("mobilenet_v2", 320, 81), 4_337_013, 788.8),
        (spec("mobilenet_v1", 320, 81), 5_100_661, 1_309.2),
        (spec("mobilenet_v1", 300, 91, head="ssd"), 6_819_839, 1_237.1),
        (spec("mobilenet_v2", 300, 91), 4_500_543, 749.5),
    ],
    ids=["V2, Table 6", "V1, Table 6", "V1, Table 13", "V2, as released"],
)
def test_the_papers_counts(net: ModelSpec, params: int, macs: float) -> None:
    ending = load("detect").ending(spec_for_net(TaskSpec("detect", ("thing",) * net.num_classes), net))
    cost = count(trace_spec(net, ending=ending))
    assert cost.params == params
    assert round(cost.macs / 1e6, 1) == macs


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"])
def test_maps_have_the_sides_that_their_strides_say(name: str) -> None:
    net = build_spec(spec(name, 160, 3, width=0.5)).eval()
    assert isinstance(net, Detector)
    maps = net.embed(torch.zeros(2, 3, 160, 160))
    assert [one.shape[2] for one in maps] == [10, 5]
    assert net(torch.zeros(2, 3, 160, 160)).shape == (2, 3 * 100 + 6 * (25 + 9 + 4 + 1 + 1), 7)


def test_the_expansion_before_a_stride_is_read_where_there_is_one() -> None:
    net = build_spec(spec("mobilenet_v2", 160, 3))
    assert isinstance(net, Detector)
    assert [(tap.layer, tap.inside, tap.channels) for tap in net.taps] == [(14, True, 576), (18, False, 1280)]
    plain = build_spec(spec("mobilenet_v1", 160, 3))
    assert isinstance(plain, Detector)
    assert [(tap.inside, tap.channels) for tap in plain.taps] == [(False, 512), (False, 1024)]


def test_a_finer_map_can_be_read_too() -> None:
    fine = ModelSpec("mobilenet_v2", 0.35, 96, 2, detector=DetectorSpec((AnchorMap(8, SHAPES[3]), *PAPER[:2])))
    net = build_spec(fine).eval()
    assert net(torch.zeros(1, 3, 96, 96)).shape == (1, 3 * 12 * 12 + 3 * 6 * 6 + 6 * 3 * 3, 6)


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small"])
def test_layers_behind_the_last_map_are_left_out(name: str) -> None:
    fine = ModelSpec(name, 0.5, 96, 3, detector=DetectorSpec((AnchorMap(8, SHAPES[3]), AnchorMap(16, SHAPES[6]))))
    graph = trace_spec(fine, ending=load("detect").ending(spec_for_net(TaskSpec("detect", ("a", "b", "c")), fine)))
    read = {name for node in graph.nodes for name in node.inputs}
    assert {node.name for node in graph.nodes} - read == {graph.output}
    whole = build_spec(replace(fine, detector=None)).state_dict()
    kept = {key for key in build_spec(fine).state_dict() if key.startswith("features")}
    assert kept < set(whole)


def test_reading_can_begin_behind_the_first_layers() -> None:
    torch.manual_seed(0)
    net = build_spec(spec("mobilenet_v2", 96, 2, width=0.35)).eval()
    assert isinstance(net, Detector)
    images = torch.randn(1, 3, 96, 96)
    lower = net.features[:10](images)
    for whole, later in zip(net.embed(images), net.read(lower, 10), strict=True):
        torch.testing.assert_close(whole, later)


def test_rows_stand_in_the_order_line_column_anchor() -> None:
    maps = torch.arange(2 * 6 * 2 * 3).view(2, 6, 2, 3)
    rows = Rows(3)(maps)
    assert rows.shape == (2, 12, 3)
    for line, column, anchor in np.ndindex(2, 3, 2):
        place = (line * 3 + column) * 2 + anchor
        assert rows[1, place].tolist() == maps[1, 3 * anchor : 3 * anchor + 3, line, column].tolist()


def test_fresh_prediction_layers_are_small_and_without_bias() -> None:
    net = build_spec(spec("mobilenet_v1", 96, 2, width=0.25))
    last = last_of(net.classifier.classes[0]).requires_grad_(requires_grad=False)
    assert 0.01 < float(last.weight.std()) < 0.03
    assert float(last.weight.abs().max()) <= 0.06
    assert last.bias is not None
    assert not last.bias.any()


def _detects(name: str) -> bool:
    with torch.device("meta"):
        net: Net = catalogue.build(name)
    return {16, 32} <= {stage.stride for stage in net.stages(256)}


@pytest.mark.parametrize("name", catalogue.names())
def test_every_family_with_the_strides_makes_a_detector(name: str) -> None:
    one = ModelSpec(name, 1.0, 256, 2, catalogue.family_of(name).paddings[0], detector=DetectorSpec(PAPER[:3]))  # type: ignore[arg-type]
    with torch.device("meta"):
        if not _detects(name):
            with pytest.raises(UsageError, match="no maps at stride"):
                build_spec(one)
            return
        net = build_spec(one).eval()
        maps = net.embed(torch.zeros(1, 3, 256, 256))
        found = net(torch.zeros(1, 3, 256, 256))
    assert math.isclose(256 / maps[1].shape[2], 32, rel_tol=0.3)
    assert found.shape[2] == 6


@pytest.mark.parametrize(
    ("name", "net", "width", "resolution"),
    [
        ("mobilenet_v2_ssdlite", "mobilenet_v2", 1.0, 320),
        ("ssdlite_mobilenet_v2", "mobilenet_v2", 1.0, 320),
        ("mobilenet_v1_ssd", "mobilenet_v1", 1.0, 300),
        ("mobilenet_v2_0.5_ssdlite_256", "mobilenet_v2", 0.5, 256),
        ("ssdlite320_mobilenet_v3_large", "mobilenet_v3_large", 1.0, 320),
    ],
)
def test_a_name_may_ask_for_the_papers_detector(name: str, net: str, width: float, resolution: int) -> None:
    found = catalogue.parse_name(name)
    assert (found.name, found.width, found.resolution) == (net, width, resolution)
    assert found.detector is not None
    assert found.detector.head == ("ssd" if name.endswith("_ssd") else "ssdlite")
    assert [len(one.shapes) for one in found.detector.maps] == [3, 6, 6, 6, 6, 6]
