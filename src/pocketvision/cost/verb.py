"""The verb `cost`: what one net of the catalogue costs at one setting of its dials."""

from dataclasses import dataclass

from pocketvision.cost.count import LayerCost, count, layers
from pocketvision.models.catalogue import parse_name


@dataclass(frozen=True)
class CostOf:
    """The cost of one net; bytes of the float32 file's weights unless the name says int8."""

    name: str
    width: float
    resolution: int
    num_classes: int
    params: int
    macs: int
    weight_bytes: int
    weight_bytes_int8: int
    peak_activation_bytes: int
    peak_activation_bytes_int8: int
    layers: tuple[LayerCost, ...]


def cost(name: str, *, width: float | None = None, resolution: int | None = None, num_classes: int = 1000) -> CostOf:
    """Count parameters, multiply-adds, bytes and peak activation memory of a net, exactly, without its weights.

    Width and resolution default to what the name says (`mobilenetv2_050`), else 1.0 and 224.
    """
    from dataclasses import replace

    from pocketvision.graph.trace import trace_spec

    spec = replace(parse_name(name), num_classes=num_classes)
    spec = replace(spec, width=width or spec.width, resolution=resolution or spec.resolution)
    graph = trace_spec(spec)
    plain, small = count(graph), count(graph, precision="int8")
    return CostOf(
        name=spec.name,
        width=spec.width,
        resolution=spec.resolution,
        num_classes=num_classes,
        params=plain.params,
        macs=plain.macs,
        weight_bytes=plain.weight_bytes,
        weight_bytes_int8=small.weight_bytes,
        peak_activation_bytes=plain.peak_activation_bytes,
        peak_activation_bytes_int8=small.peak_activation_bytes,
        layers=layers(graph),
    )
