"""Structured pruning: which channels belong together, what each costs, and nets that learn again after a cut."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.compress.compress import compress
from pocketvision.compress.cut import cut_to, losses, savings
from pocketvision.compress.distill import Course
from pocketvision.compress.retrain import retrained
from pocketvision.compress.sensitivity import moments_of
from pocketvision.compress.steps.named import steps_named
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.slim import Slim, SlimTarget, macs_of
from pocketvision.compress.tied import TiedChannels, without
from pocketvision.cost import count
from pocketvision.errors import GraphError, UsageError
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.graph import Conv, Graph, Linear, Slice
from pocketvision.graph.lower import without_affines
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.trace import trace
from pocketvision.models import build
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import ImageSpec

SHARE = SlimTarget("0.6", 0.6)


def residual():
    """Return a net with an expansion, a depthwise layer and a sum, like a block of MobileNet V2."""
    sketch = Sketch(32, seed=5)
    begin = sketch.conv("image", 16, kernel=3, stride=2, activation="none")
    wide = sketch.depthwise(sketch.conv(begin, 32))
    end = sketch.add(sketch.conv(wide, 16, activation="none"), begin)
    return sketch.finish(sketch.linear(sketch.mean(sketch.conv(end, 24)), 6))


def weights(graph):
    return [node for node in graph.nodes if isinstance(node, Conv | Linear)]


def test_channels_are_tied_across_sums_and_depthwise_layers():
    graph = residual()
    tied = TiedChannels(graph)
    assert sorted(len(group) for group in tied.groups) == [16, 24, 32]
    begin, expand, depthwise, project, last, linear = (tied.of[node.name] for node in weights(graph))
    assert (begin == project).all()
    assert (expand == depthwise).all()
    assert set(linear) <= tied.whole
    assert not set(begin) & set(expand) & set(last)


def test_a_cut_net_answers_as_one_whose_channels_are_silent(draw):
    graph, images = residual(), draw(6)
    tied = TiedChannels(graph)
    gone = {int(group[place]) for group in tied.groups for place in (1, 3)}
    silent = Graph(
        tuple(
            replace(node, weight=muted(node, tied, gone), bias=node.bias * kept(node, tied, gone))
            if isinstance(node, Conv | Linear)
            else node
            for node in graph.nodes
        )
    )
    found = without(graph, tied, gone, {})
    np.testing.assert_allclose(run(found, images), run(silent, images), atol=1e-5)
    assert [len(node.weight) for node in weights(found)] == [14, 30, 30, 14, 22, 6]
    assert count(found).macs < count(graph).macs
    np.testing.assert_allclose(answer_of(to_bytes(found))(images), run(found, images), atol=1e-5)


def kept(node, tied, gone):
    return np.array([one not in gone for one in tied.of[node.name].tolist()], np.float32)


def muted(node, tied, gone):
    return node.weight * kept(node, tied, gone).reshape(-1, *[1] * (node.weight.ndim - 1))


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1", "shufflenet_v1", "mobilenet_v3_small"])
def test_every_kind_of_net_is_cut_or_left_whole(name, draw):
    net = build(name, width=0.5 if name.startswith("mobilenet") else 1.0, num_classes=4).eval()
    graph = without_affines(trace(net, ImageSpec(64)))
    tied = TiedChannels(graph)
    gone = {int(one) for group in tied.groups for one in group[: len(group) // 4]}
    assert bool(gone) or name == "shufflenet_v1"
    found = without(graph, tied, gone, {})
    assert found.shapes[found.output] == graph.shapes[graph.output]
    assert count(found).macs <= count(graph).macs
    assert run(found, draw(1, size=64)).shape == (1, 4)


def test_slices_and_flattened_maps_follow_their_channels(draw):
    sketch = Sketch(32, seed=2)
    tensor = sketch.max_pool(sketch.conv("image", 16, kernel=3, stride=2))
    flat = sketch.flatten(sketch.conv(sketch.slice(tensor, 4, 12), 6))
    graph = sketch.finish(sketch.linear(flat, 3))
    tied = TiedChannels(graph)
    first = tied.of[weights(graph)[0].name]
    gone = {int(first[2]), int(first[5]), int(tied.of[weights(graph)[1].name][1])}
    found = without(graph, tied, gone, {})
    (part,) = (node for node in found.nodes if isinstance(node, Slice))
    assert (part.start, part.stop) == (3, 10)
    assert weights(found)[-1].weight.shape[1] == weights(graph)[-1].weight.shape[1] * 5 // 6
    assert run(found, draw(2)).shape == (2, 3)


def test_what_costs_little_goes_first_and_others_make_up_for_it(draw):
    graph, images, others = residual(), draw(64), draw(64, seed=1)
    moments, exact = moments_of(graph, images), run(graph, others)
    wanted = 0.7 * macs_of(graph)
    found = cut_to(graph, moments, macs_of, wanted)
    assert 0.5 * macs_of(graph) < macs_of(found) <= wanted
    assert off(found, exact, others) < 0.6 * off(first_cut(graph, wanted), exact, others)
    assert cut_to(graph, moments, macs_of, macs_of(graph)) is graph
    with pytest.raises(UsageError, match="the least is"):
        cut_to(graph, moments, macs_of, 1.0)


def first_cut(graph, wanted):
    """Return the net without the first channels of each group."""
    tied = TiedChannels(graph)
    for share in np.linspace(0, 0.9, 40):
        gone = {int(one) for group in tied.groups for one in group[: int(share * len(group))]}
        if macs_of(found := without(graph, tied, gone, {})) <= wanted:
            return found
    raise AssertionError


def off(graph, exact, images):
    return float(np.abs(run(graph, images) - exact).mean())


def test_channels_are_weighed_by_what_their_readers_lose_and_their_layers_take(draw):
    graph = residual()
    tied = TiedChannels(graph)
    worth, saved = losses(tied, moments_of(graph, draw(32))), savings(tied)
    expand, last = (tied.of[weights(graph)[place].name] for place in (1, 4))
    assert (worth[expand] > 0).any()
    assert (worth[expand] >= 0).all()
    assert saved[last[0]] == 16 * 16 * 16 + 6
    assert saved[expand[0]] == 16 * 16 * (16 + 9 + 16)


def test_a_cut_net_learns_what_the_whole_one_answers(draw):
    graph, images, others = residual(), draw(64), draw(64, seed=1)
    exact, wanted = run(graph, others), 0.5 * macs_of(graph)
    found = first_cut(graph, wanted)
    learned, again = (retrained(found, graph, images, Course(steps=25, rate=0.01)) for _ in range(2))
    assert off(learned, exact, others) < 0.7 * off(found, exact, others)
    for node, same in zip(weights(learned), weights(again), strict=True):
        assert (node.weight == same.weight).all()
        assert node.weight.dtype == np.float32


def test_the_step_leaves_a_net_that_is_quantized_as_any(draw):
    graph, images = residual(), draw(32)
    done = compress(graph, images, steps=(Slim(SHARE, steps=4), Quantize()))
    assert [entry.step for entry in done.ledger] == ["float", "slim=0.6", "int8"]
    assert count(done.graph).macs <= 0.6 * count(graph).macs
    assert np.abs(run(done.graph, images) - run(done.plain, images)).mean() < 0.02
    with pytest.raises(UsageError, match="put it before int8"):
        compress(graph, images, steps=(Quantize(), Slim(SHARE)))
    with pytest.raises(GraphError, match="classes, attributes or boxes"):
        compress(Graph(graph.nodes[:-1]), images, steps=(Slim(SHARE), Quantize()))


def test_the_target_is_a_share_multiply_adds_or_a_predicted_latency(draw):
    graph, images = residual(), draw(16)
    wanted = 0.7 * count(graph).macs
    by_macs = Slim(SlimTarget.read(f"{wanted / 1e6:.6f}M"), steps=0)
    by_time = Slim(SlimTarget.read("7ms"), latency=lambda one: 10 * count(one).macs / count(graph).macs, steps=0)
    found = [compress(graph, images, steps=(step, Quantize())).plain for step in (by_macs, by_time)]
    assert count(found[0]).macs <= wanted
    assert found[0].shapes == found[1].shapes
    assert steps_named("int8,slim=0.6")[0] == Slim(SHARE)
    assert SlimTarget.read("40M").amount == 40e6
    assert SlimTarget.read("3ms") == SlimTarget("3ms", 3.0, milliseconds=True)
    for wrong in ("", "1.5", "0", "x", "3s", "-1M"):
        with pytest.raises(UsageError, match=r"such as slim=0\.5, slim=40M or slim=3ms"):
            steps_named(f"slim={wrong},int8")
