"""The verb `cost`: what one net of the catalogue costs at one setting of its dials."""

from dataclasses import dataclass, replace

from pocketvision.cost.count import KindCost, LayerCost, by_kind, count, layers
from pocketvision.cost.memory import peak
from pocketvision.graph.graph import Graph
from pocketvision.models.catalogue import family_of, parse_name
from pocketvision.values import ModelSpec
from pocketvision.values.ranges import check_ranges


@dataclass(frozen=True)
class CostOf:
    """The cost of one net; bytes are those of float32 values unless the name says otherwise."""

    name: str
    width: float
    resolution: int
    num_classes: int
    groups: int | None
    in_channels: int
    params: int
    params_without_norms: int
    """Batch norms left out, as TensorFlow's tables of MobileNetV2 do."""
    macs: int
    weight_bytes: int
    weight_bytes_int8: int
    peak_activation_bytes: int
    peak_activation_bytes_16bit: int
    peak_activation_bytes_int8: int
    peak_layer: str
    """The layer that runs when the peak is reached."""
    peak_tensors: tuple[str, ...]
    """What is in memory then, by the layers that made it."""
    peak_least_bytes: int
    """No order of layers needs less; the same as the peak unless there were too many orders to try."""
    kinds: tuple[KindCost, ...]
    layers: tuple[LayerCost, ...]


def cost(
    name: str,
    *,
    width: float | None = None,
    resolution: int | None = None,
    num_classes: int = 1000,
    groups: int | None = None,
    in_channels: int = 3,
) -> CostOf:
    """Count parameters, multiply-adds, bytes and peak activation memory of a net, exactly, without its weights.

    Width, resolution and groups default to what the name says (`mobilenetv2_050`), else to the paper's.
    """
    from pocketvision.graph.trace import trace_spec

    check_ranges(locals())
    said = parse_name(name)
    spec = replace(
        said,
        width=said.width if width is None else width,
        resolution=said.resolution if resolution is None else resolution,
        num_classes=num_classes,
        groups=said.groups if groups is None else groups,
        in_channels=in_channels,
    )
    return cost_of(trace_spec(spec), spec)


def cost_of(graph: Graph, spec: ModelSpec) -> CostOf:
    """Count the graph of a net."""
    plain, small, most = count(graph), count(graph, precision="int8"), peak(graph)
    return CostOf(
        name=spec.name,
        width=spec.width,
        resolution=spec.resolution,
        num_classes=spec.num_classes,
        groups=spec.groups or next(iter(family_of(spec.name).groups), None),
        in_channels=spec.in_channels,
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
