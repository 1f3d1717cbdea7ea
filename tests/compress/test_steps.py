"""The steps of `compress`, the range search, and what each layer costs."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.compress.compress import DEFAULT_STEPS, compress
from pocketvision.compress.layers import layer_losses
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.compress.ranges import search
from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.compensate import Compensate
from pocketvision.compress.steps.equalize import Equalize
from pocketvision.compress.steps.named import steps_named
from pocketvision.compress.steps.prune import Magnitude, Prune
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.share import Share
from pocketvision.errors import GraphError, UnknownName, UsageError
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch


def test_steps_are_done_in_their_order_and_kept_in_the_ledger(uneven, draw):
    graph, images = uneven(), draw(8)
    done = compress(graph, images, steps=steps_named("bias, int8,equalize"))
    assert [entry.step for entry in done.ledger] == ["float", "equalize", "int8", "bias"]
    sizes = [entry.weight_bytes for entry in done.ledger]
    assert sizes[0] == sizes[1] > sizes[2] == sizes[3]
    np.testing.assert_allclose(run(done.plain, images), run(graph, images), atol=1e-5)
    assert steps_named("ranges,bias,equalize,int8") == DEFAULT_STEPS


def test_the_default_is_nearer_to_float_than_plain_int8(uneven, draw):
    graph, images, others = uneven(), draw(48), draw(48, seed=1)
    exact = run(graph, others)
    plain, best = (run(compress(graph, images, steps=steps).graph, others) for steps in ((Quantize(),), DEFAULT_STEPS))
    assert np.abs(best - exact).mean() < 0.5 * np.abs(plain - exact).mean()


def test_wrong_steps_are_told(uneven, draw):
    graph, images = uneven(), draw(1)
    with pytest.raises(UnknownName, match=r"Did you mean 'equalize'\? Known: bias, compensate, equalize, "):
        steps_named("equalise,int8")
    with pytest.raises(UsageError, match="add int8"):
        steps_named("equalize")
    with pytest.raises(UsageError, match="named twice"):
        steps_named("int8,int8")
    with pytest.raises(UsageError, match="the steps equalize leave the net in float; add int8"):
        compress(graph, images, steps=(Equalize(),))
    with pytest.raises(UsageError, match="put int8 before it"):
        compress(graph, images, steps=(CorrectBias(), Quantize()))


def test_steps_have_values():
    assert steps_named("share=5, prune=0.4,int8") == (Prune(0.4), Share(5), Quantize())
    named = steps_named("bias,compensate,quantize=4,magnitude=.25")
    assert named[:-1] == (Magnitude(0.25), Quantize(4), Compensate())
    assert [step.name for step in named] == ["magnitude=0.25", "quantize=4", "compensate", "bias"]
    assert steps_named("quantize=8") == (Quantize(),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prune,int8", r"prune needs a share of the weights between 0 and 1, such as prune=0\.5"),
        ("prune=1,int8", "between 0 and 1"),
        ("prune=half,int8", "between 0 and 1"),
        ("share=9", "share needs a number of bits from 2 to 8"),
        ("quantize=3.5", "bits from 2 to 8"),
        ("int8=4", "int8 takes no value, and int8=4 gives one"),
        ("int8,quantize=4", "named twice"),
    ],
)
def test_wrong_values_are_told(text, message):
    with pytest.raises(UsageError, match=message):
        steps_named(text)


def pointwise():
    """Return a net of one pointwise layer before its logits, and the name of that layer's tensor."""
    sketch = Sketch(32, seed=3)
    name = sketch.conv("image", 4, kernel=1)
    return sketch.finish(sketch.linear(sketch.mean(name), 3)), name


def test_a_rare_value_is_cut_and_an_even_spread_is_kept():
    even = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3)).astype(np.uint8)
    rare = even // 8
    rare[0, 0, 0] = 255
    graph, name = pointwise()
    wide = calibrate(graph, rare)
    found = search(graph, wide, rare)
    assert found[name][1] < 0.96 * wide[name][1]
    logits = graph.nodes[-1].inputs[0]
    assert found[logits] == wide[logits]
    wide = calibrate(graph, even)
    assert search(graph, wide, even)["image"] == pytest.approx(wide["image"])


def test_what_never_moves_keeps_a_range(draw):
    graph, name = pointwise()
    dead = Graph(
        tuple(
            replace(node, weight=node.weight * 0, bias=node.bias * 0) if node.name == name else node
            for node in graph.nodes
        )
    )
    images = draw(2)
    assert quantize(dead, search(dead, calibrate(dead, images), images)).quant[name].scale > 0


def test_the_loss_of_each_layer_finds_the_one_that_costs(uneven, draw):
    graph, images = uneven("relu"), draw(24)
    done = compress(graph, images)
    losses = layer_losses(done.plain, done.graph, images)
    assert [loss.kind for loss in losses] == ["3x3", *["depthwise", "pointwise"] * 3, "linear"]
    spoilt = done.graph.nodes[3].name
    damaged = Graph(
        tuple(
            replace(node, weight=node.weight // 32 * 32) if node.name == spoilt else node for node in done.graph.nodes
        ),
        done.graph.quant,
    )
    found = {loss.layer: loss for loss in layer_losses(done.plain, damaged, images)}
    assert min(found.values(), key=lambda loss: loss.alone_db).layer == spoilt
    for loss in losses:
        same = loss.layer == spoilt
        assert (found[loss.layer].alone_db < loss.alone_db - 6) is same
        assert 0 <= loss.alone_same <= 1
    before = done.graph.nodes[2].name
    assert found[before].noise_db == next(loss.noise_db for loss in losses if loss.layer == before)


def test_losses_need_both_graphs(uneven, draw):
    graph, images = uneven(), draw(2)
    small = compress(graph, images).graph
    with pytest.raises(GraphError, match="float graph and, second"):
        layer_losses(small, graph, images)
    with pytest.raises(GraphError, match="with an ending"):
        layer_losses(Graph(graph.nodes[:-1]), small, images)
