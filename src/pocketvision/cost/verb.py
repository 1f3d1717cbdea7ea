"""The verb `cost`: what one net of the catalogue costs at one setting of its dials."""

from dataclasses import dataclass

from pocketvision.cost.count import KindCost, LayerCost, by_kind, count, layers
from pocketvision.cost.memory import peak
from pocketvision.graph.graph import Graph
from pocketvision.models.catalogue import family_of
from pocketvision.values import ModelSpec


@dataclass(frozen=True)
class CostOf:
    """The cost of one net; bytes are those of float32 values unless the name says otherwise."""

    name: str
    """Name in the catalogue."""
    width: float
    """Multiplier of the channels."""
    resolution: int
    """Side of the input in pixels."""
    num_classes: int
    """Outputs of the classifier."""
    groups: int | None
    """Of the pointwise convolutions; None for nets that offer no choice."""
    in_channels: int
    """Channels of the image."""
    depth: int | None
    """Layers that are kept; None for the whole net."""
    params: int
    """Learned values; moving statistics of batch norms are left out."""
    params_without_norms: int
    """Batch norms left out, as TensorFlow's tables of MobileNetV2 do."""
    macs: int
    """Multiply-adds of one image."""
    weight_bytes: int
    """Weights and biases as float32, batch norms folded."""
    weight_bytes_int8: int
    """The same in 8 bit."""
    peak_activation_bytes: int
    """Largest sum of activations alive at once in the best order of layers."""
    peak_activation_bytes_16bit: int
    """The same with 16 bits a value."""
    peak_activation_bytes_int8: int
    """The same in 8 bit."""
    peak_layer: str
    """The layer that runs when the peak is reached."""
    peak_tensors: tuple[str, ...]
    """What is in memory then, by the layers that made it."""
    peak_least_bytes: int
    """No order of layers needs less; the same as the peak unless there were too many orders to try."""
    kinds: tuple[KindCost, ...]
    """The most multiply-adds first."""
    layers: tuple[LayerCost, ...]
    """In running order."""


def cost_of(graph: Graph, spec: ModelSpec) -> CostOf:
    """Count the graph of a net."""
    plain, small, most = count(graph), count(graph, precision="int8"), peak(graph)
    return CostOf(
        name=spec.name if spec.detector is None else f"{spec.name}_{spec.detector.head}",
        width=spec.width,
        resolution=spec.resolution,
        num_classes=spec.num_classes,
        groups=spec.groups or next(iter(family_of(spec.name).groups), None),
        in_channels=spec.in_channels,
        depth=spec.depth,
        params=plain.params,
        params_without_norms=plain.params - plain.norm_params,
        macs=plain.macs,
        weight_bytes=plain.weight_bytes,
        weight_bytes_int8=small.weight_bytes,
        peak_activation_bytes=most.bytes(32),
        peak_activation_bytes_16bit=most.bytes(16),
        peak_activation_bytes_int8=most.bytes(8),
        peak_layer=most.layer,
        peak_tensors=most.tensors,
        peak_least_bytes=most.least * 4,
        kinds=by_kind(graph),
        layers=layers(graph),
    )
