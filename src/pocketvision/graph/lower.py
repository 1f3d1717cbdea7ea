"""Kernels that files have no fast form for become those that they have."""

from dataclasses import replace

import numpy as np

from pocketvision.graph.graph import Activate, Activation, Affine, AvgPool, Conv, Graph, Linear, Mul, Node, Quant
from pocketvision.graph.storage import FLOAT, INT8

_GATES: dict[Activation, Activation] = {"silu": "sigmoid", "hardswish": "hardsigmoid"}
"""Activations that weigh each value by a function of itself."""


def without_affines(graph: Graph) -> Graph:
    """Return the same net with a depthwise 1x1 convolution for every Affine: files have no faster kernel for it."""
    return Graph(tuple(as_conv(node) if isinstance(node, Affine) else node for node in graph.nodes), graph.quant)


def as_conv(node: Affine) -> Conv:
    """Return the depthwise 1x1 convolution that does the same."""
    channels = len(node.weight)
    return Conv(
        node.name,
        node.inputs,
        weight=node.weight.reshape(channels, 1, 1, 1),
        bias=node.bias,
        stride=(1, 1),
        padding=(0, 0, 0, 0),
        groups=channels,
        activation=node.activation,
        learned=node.learned,
        norm=node.learned,
    )


def average_as_conv(node: AvgPool, channels: int) -> Conv:
    """Return the quantized depthwise convolution that averages whole windows, padding and all."""
    height, width = node.kernel
    return Conv(
        node.name,
        node.inputs,
        weight=np.ones((channels, 1, height, width), np.int8),
        bias=np.zeros(channels, np.int32),
        stride=node.stride,
        padding=node.padding,
        groups=channels,
        activation="none",
        learned=0,
        weight_scale=np.full(channels, 1 / (height * width), np.float32),
        storage=INT8,
    )


def with_gates(graph: Graph) -> tuple[Graph, tuple[str, ...]]:
    """Return the same net with every SiLU and hard swish as a gate and a product, and the names of the gates.

    Runtimes have integer kernels for these two parts only.
    """
    nodes: list[Node] = []
    gates: list[str] = []
    for node in graph.nodes:
        gate = _GATES.get(node.activation) if isinstance(node, Activate) else None
        if gate is None:
            nodes.append(node)
            continue
        gates.append(f"{node.name}.gate")
        nodes.append(Activate(gates[-1], node.inputs, gate))
        nodes.append(Mul(node.name, (*node.inputs, gates[-1])))
    return Graph(tuple(nodes), graph.quant), tuple(gates)


def with_real_weights(graph: Graph) -> Graph:
    """Return the float net that has an int8 graph's weights and biases: what stores integers, but computes in floats.

    A float graph comes back as it is.
    """
    if graph.quant is None:
        return graph
    quant = graph.quant
    return Graph(
        tuple(
            real_layer(node, quant[node.inputs[0]]) if isinstance(node, Conv | Linear) else node for node in graph.nodes
        )
    )


def real_layer(node: Conv | Linear, source: Quant) -> Conv | Linear:
    """Return a quantized layer with the real values of its weights and biases; `source` is its input's quant."""
    assert node.weight_scale is not None
    scale = node.weight_scale.astype(np.float64)
    weight = node.weight.astype(np.float64) * scale.reshape(-1, *[1] * (node.weight.ndim - 1))
    bias = node.bias.astype(np.float64) * (scale * source.scale)
    real = weight.astype(np.float32), bias.astype(np.float32)
    return replace(node, weight=real[0], bias=real[1], weight_scale=None, storage=FLOAT)
