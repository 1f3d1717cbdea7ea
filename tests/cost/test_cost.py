"""Counting: layer by layer, memory by hand, speed."""

import time

import pytest

from pocketvision.cost import count, layers, peak_activation_bytes
from pocketvision.cost.verb import cost
from pocketvision.errors import UnknownName, UsageError
from pocketvision.graph.trace import trace_spec
from pocketvision.values import ModelSpec


def test_layers_add_up_to_the_net() -> None:
    graph = trace_spec(ModelSpec("mobilenet_v1", 0.5, 160))
    total = count(graph)
    assert sum(layer.params for layer in layers(graph)) == total.params
    assert sum(layer.macs for layer in layers(graph)) == total.macs


def test_kinds_are_named_as_in_the_papers() -> None:
    kinds = {layer.kind for layer in layers(trace_spec(ModelSpec("mobilenet_v1")))}
    assert {"conv 3x3", "conv dw 3x3", "conv 1x1", "linear", "globalavgpool"} <= kinds


def test_peak_memory_of_mobilenet_v1_by_hand() -> None:
    # The first pointwise layer holds its input 32x112x112 and its output 64x112x112.
    graph = trace_spec(ModelSpec("mobilenet_v1"))
    assert peak_activation_bytes(graph, 1) == (32 + 64) * 112 * 112
    assert peak_activation_bytes(graph, 4) == 4 * (32 + 64) * 112 * 112


def test_a_shortcut_stays_alive_until_it_is_added() -> None:
    # At 56x56, MobileNetV2's second 24-channel block holds its input beside two 144-channel maps.
    graph = trace_spec(ModelSpec("mobilenet_v2", 1.0, 224))
    inside = [node.name for node in graph.nodes].index("features.3.layers.1.0")
    alive = (24 + 144 + 144) * 56 * 56
    peak_here = peak_activation_bytes(type(graph)(graph.nodes[: inside + 1] + graph.nodes[inside + 1 : inside + 3]), 1)
    assert peak_here >= alive


def test_int8_weights_are_a_byte_each() -> None:
    graph = trace_spec(ModelSpec("mobilenet_v2"))
    plain, small = count(graph), count(graph, precision="int8")
    assert plain.weight_bytes == 4 * (3_470_760 - 1000 + 17_056 + 1000)
    assert small.weight_bytes == (3_470_760 - 1000) + 8 * (17_056 + 1000)
    assert small.peak_activation_bytes * 4 == plain.peak_activation_bytes
    assert (small.params, small.macs) == (plain.params, plain.macs)


def test_the_verb_takes_dials_from_the_name_or_the_options() -> None:
    assert cost("mobilenetv2_035", resolution=96).macs == 11_934_128
    found = cost("mobilenet_v2", width=0.35, resolution=96)
    assert (found.name, found.width, found.resolution, found.num_classes) == ("mobilenet_v2", 0.35, 96, 1000)
    assert (found.params, found.macs) == (1_677_128, 11_934_128)


def test_the_verb_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UnknownName):
        cost("alexnetz")
    with pytest.raises(UsageError):
        cost("mobilenet_v2", width=-1)


def test_counting_at_another_resolution_takes_milliseconds() -> None:
    graph = trace_spec(ModelSpec("mobilenet_v2"))
    started = time.perf_counter()
    count(graph.at(160))
    assert time.perf_counter() - started < 0.05
