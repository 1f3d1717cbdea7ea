"""Kernels that files have no fast form for become those that they have."""

from pocketvision.graph.graph import Activate, Activation, Affine, Conv, Graph, Mul, Node

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
