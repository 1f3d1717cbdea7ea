"""The verb `cost`."""

from dataclasses import replace

from pocketvision.cost.verb import CostOf, cost_of
from pocketvision.models.catalogue import parse_name
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import CostOptions


@verb(CostOptions)
def cost(options: CostOptions) -> CostOf:
    """Count parameters, multiply-adds, bytes and peak activation memory of a net, exactly, without its weights.

    Width, resolution and groups default to what the name says (`mobilenetv2_050`), else to the paper's.
    """
    from pocketvision.graph.trace import trace_spec

    said = parse_name(options.name)
    spec = replace(
        said,
        width=said.width if options.width is None else options.width,
        resolution=said.resolution if options.resolution is None else options.resolution,
        num_classes=options.num_classes,
        groups=said.groups if options.groups is None else options.groups,
        in_channels=options.in_channels,
        depth=options.depth,
    )
    return cost_of(trace_spec(spec), spec)
