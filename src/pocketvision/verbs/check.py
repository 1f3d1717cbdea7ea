"""The verb `check`: an honest look at the images before training, and a page that shows what was found."""

from pathlib import Path

from pocketvision.data.check import examine
from pocketvision.data.digits import resolve
from pocketvision.data.fix import reasons_of, table_for, write_fix
from pocketvision.data.layout import scan
from pocketvision.data.splits import SplitRule
from pocketvision.files import claim
from pocketvision.report.gallery import render
from pocketvision.runs import RunFolder
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import CheckOptions
from pocketvision.values import Health
from pocketvision.words import plural


@verb(CheckOptions)
def check(options: CheckOptions) -> Health:
    """Check the images of DATA and tell what is wrong with them; nothing of the data is changed.

    `val` and `test` are shares of the images, 0..1. The folder `output` receives check.json and check.html, which
    shows the images in question. `fix` is a CSV file in the data's folder or above it that receives the table
    filename,label,split of what is sound; beside it, as `<name>.reasons.csv`, what was left out and why.

    What keeps a net from being trained is told in `faults`. A `DataError` is raised where there is no usable image;
    a `UsageError` where the shares are wrong or `fix` cannot be written.
    """
    rule = SplitRule(options.seed, options.val, options.test)
    listing = scan(resolve(options.data, options.progress))
    table = None if options.fix is None else table_for(options.fix, listing)
    examined = examine(listing, rule=rule, progress=options.progress)
    if options.output is not None:
        found = RunFolder(Path(options.output))
        claim(found.path, found.gallery.path.name, found.health.path.name)
        found.health.write(examined.health)
        found.gallery.write(render(examined.health, progress=options.progress))
        options.progress.say(f"images: {found.gallery.path}")
    if table is not None:
        cleaned = write_fix(table, examined, rule)
        options.progress.say(
            f"table: {options.fix} with {plural(len(cleaned.rows), 'image')}; what was left out or relabeled and why: "
            f"{reasons_of(table).name} beside it"
        )
    return examined.health
