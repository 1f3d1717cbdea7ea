"""The verb `cost`."""

from dataclasses import replace

from pocketvision.cost.verb import CostOf, cost_of
from pocketvision.models.catalogue import parse_name
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import CostOptions


@verb(CostOptions)
def cost(options: CostOptions) -> CostOf:
    """Count parameters, multiply-adds, bytes and peak activation memory of a net, exactly, without its weights.

    Width, resolution and groups default to what the name says (`mobilenetv2_050`), else to the paper's. With `_ssdlite`
    or `_ssd` behind a net's name it is the papers' detector on it.
    """
    from pocketvision.cost.graphs import traced

    said = parse_name(options.name)
    spec = replace(
        said,
        width=said.width if options.width is None else options.width,
        resolution=said.resolution if options.resolution is None else options.resolution,
        num_classes=said.num_classes if options.num_classes is None else options.num_classes,
        groups=said.groups if options.groups is None else options.groups,
        in_channels=options.in_channels,
        depth=options.depth,
    )
    return cost_of(traced(spec), spec)
