"""The verb `probe`."""

from pocketvision.fit.choose import Comparison, compare
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import ProbeOptions


@verb(ProbeOptions)
def probe(options: ProbeOptions) -> Comparison:
    """Compare published nets on a folder of images: frozen, with a head of the user's classes on each.

    `weights` are files or names of nets, by default every file in POCKETVISION_WEIGHTS and the cache; `resolution` are
    pixels a side, by default what each was published at. The best on the validation images is taken; test images
    are looked at afterwards. `max_latency` is measured on this machine, on files with fresh weights; of `min_accuracy`
    frozen weights give an estimate, by which nothing is left out. With `views` above 1 the head also learns from
    augmented views. Features are kept on disk: asking again takes seconds. Raises BudgetMissed where no start keeps
    the limits.
    """
    return compare(options)
