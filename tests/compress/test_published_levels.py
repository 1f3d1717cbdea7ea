"""A published quantized file as our integer graph."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.compress.published import as_published
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear, Quant
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.models import build_spec
from pocketvision.weights import load_into, read


@pytest.fixture(scope="module")
def small(shared_weights):
    weights = read(shared_weights / "mobilenet_v1_0.25_128_quant.tflite")
    net = build_spec(weights.spec)
    load_into(net, weights, keep_head=True)
    return weights, trace(net.eval(), weights.image)


def test_the_files_own_numbers_are_kept(small):
    weights, graph = small
    whole = as_published(graph, weights.levels)
    assert whole.quant["image"] == Quant(0.0078125, 128)
    assert set(whole.quant) == {node.name for node in graph.nodes[:-1]}
    for node in whole.nodes:
        if isinstance(node, Conv | Linear):
            spread = node.weight_scale.reshape(-1, *[1] * (node.weight.ndim - 1))
            real = weights.tensors[f"{node.name}.weight"]
            assert np.allclose(node.weight * spread, real, rtol=1e-6, atol=0)
            source = whole.quant[node.inputs[0]].scale
            assert np.allclose(node.bias * source * node.weight_scale, weights.tensors[f"{node.name}.bias"], rtol=1e-5)


def test_whole_numbers_answer_nearly_as_real_ones(small):
    weights, graph = small
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 8, 8, 3), np.uint8)
    images = coarse.repeat(16, axis=1).repeat(16, axis=2)
    whole, real = run(as_published(graph, weights.levels), images), run(graph, images)
    assert np.abs(whole - real).max() < 0.25
    assert np.abs(whole.sum(axis=1) - 1).max() < 1e-5


def test_another_net_is_refused(small):
    weights, graph = small
    levels = weights.levels
    with pytest.raises(GraphError, match="quantized already"):
        as_published(as_published(graph, levels), levels)
    with pytest.raises(GraphError, match="no whole numbers for"):
        as_published(graph, replace(levels, layers={}))
    with pytest.raises(GraphError, match="no scale for"):
        as_published(graph, replace(levels, between=()))
    with pytest.raises(GraphError, match="more tensors of the kinds add, mean"):
        as_published(graph, replace(levels, between=(*levels.between, *levels.between, ("add", (0.1, 0)))))
    narrow = Graph(tuple(_halved(node) for node in graph.nodes))
    with pytest.raises(GraphError, match="no whole numbers for"):
        as_published(narrow, levels)


def _halved(node):
    return replace(node, weight=node.weight[: len(node.weight) // 2]) if isinstance(node, Conv) else node
