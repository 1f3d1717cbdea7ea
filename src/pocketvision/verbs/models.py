"""The verb `models`."""

from pocketvision.budget.limits import budget_of
from pocketvision.errors import UsageError
from pocketvision.models.catalogue import parse_name
from pocketvision.models.figures import CatalogueLine
from pocketvision.report.models import catalogue, fits, order, plain, write_plot
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import ModelsOptions


@verb(ModelsOptions)
def models(options: ModelsOptions) -> list[CatalogueLine]:
    """List the catalogue: one line a net, or every width and resolution for one net, under limits, or with `every`.

    `max_size` and `max_memory` are limits on the int8 file's weights and its peak of activations; `min_accuracy` one
    on the published top-1. `plot` draws accuracy against multiply-adds of all that is left: .html, .svg or .png.
    Without `sort` the plain list is in order of multiply-adds. Raises UsageError where nothing is left.
    """
    budget = budget_of(options)
    chosen = parse_name(options.name).name if options.name is not None else None
    whole = options.every or chosen is not None or not budget.empty
    lines = [line for line in catalogue() if chosen in (None, line.name) and fits(line, budget)]
    if not lines:
        raise UsageError("no net of the catalogue keeps all these limits; loosen one, or see `pocketvision models`")
    shown = lines if whole else plain(lines)
    if options.sort is not None or not whole:
        shown.sort(key=order(options.sort or "macs"))
    if options.plot is not None:
        write_plot(lines, options.plot)
    return shown
