"""The verb `models`: every net of the catalogue with its figures, filtered, sorted, drawn; nothing is built."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

from pocketvision.budget.parse import parse_budget
from pocketvision.errors import UsageError
from pocketvision.models.catalogue import families, parse_name
from pocketvision.models.figures import CatalogueLine, Figures, figures
from pocketvision.models.published import Published, main_figures
from pocketvision.values import Budget
from pocketvision.weights.sources import sources

Sort = Literal["top1", "params", "macs", "size", "memory", "year", "name"]
PLOTS = (".html", ".svg", ".png")


def models(  # noqa: PLR0913  each is an option of the command line
    name: str | None = None,
    *,
    max_params: str | None = None,
    max_macs: str | None = None,
    max_size: str | None = None,
    max_memory: str | None = None,
    min_accuracy: str | None = None,
    every: bool = False,
    sort: Sort | None = None,
    plot: Path | None = None,
) -> list[CatalogueLine]:
    """List the catalogue: one line a net, or every width and resolution for one net, under limits, or with `every`.

    `max_size` and `max_memory` are limits on the int8 file's weights and its peak of activations; `min_accuracy` one
    on the published top-1. `plot` draws accuracy against multiply-adds of all that is left: .html, .svg or .png.
    Without `sort` the plain list is in order of multiply-adds. Raises UsageError where nothing is left.
    """
    budget = parse_budget(
        max_params=max_params,
        max_macs=max_macs,
        max_size=max_size,
        max_memory=max_memory,
        min_accuracy=min_accuracy,
    )
    chosen = parse_name(name).name if name is not None else None
    whole = every or chosen is not None or not budget.empty
    lines = [line for line in _catalogue() if chosen in (None, line.name) and _fits(line, budget)]
    if not lines:
        raise UsageError("no net of the catalogue keeps all these limits; loosen one, or see `pocketvision models`")
    shown = lines if whole else _plain(lines)
    if sort is not None or not whole:
        shown.sort(key=_order(sort or "macs"))
    if plot is not None:
        _write_plot(lines, plot)
    return shown


def _fits(line: CatalogueLine, budget: Budget) -> bool:
    limits = (
        (budget.max_params, line.params),
        (budget.max_macs, line.macs),
        (budget.max_size_bytes, line.int8_bytes),
        (budget.max_memory_bytes, line.peak_bytes_int8),
    )
    enough = budget.min_accuracy is None or _imagenet(line) >= 100 * budget.min_accuracy
    return enough and all(limit is None or value <= limit for limit, value in limits)


def _plain(lines: list[CatalogueLine]) -> list[CatalogueLine]:
    """Take each net's line at the paper's settings, or at the resolution nearest to these that has an accuracy."""
    chosen: dict[str, CatalogueLine] = {}
    for line in lines:
        family = families()[line.name]
        if line.width == 1.0 and line.groups == (family.groups[0] if family.groups else None):
            held = chosen.setdefault(line.name, line)
            chosen[line.name] = min(held, line, key=lambda one: _far(one, family.resolution))
    return list(chosen.values())


def _far(line: CatalogueLine, resolution: int) -> tuple[bool, int]:
    return line.top1 is None, abs(line.resolution - resolution)


def _order(sort: Sort) -> Callable[[CatalogueLine], tuple[float | str, ...]]:
    """Order the best first: high accuracy, low cost, early year; the name decides between equals."""
    keys: dict[Sort, Callable[[CatalogueLine], float | str]] = {
        "top1": lambda line: -_imagenet(line),
        "params": lambda line: line.params,
        "macs": lambda line: line.macs,
        "size": lambda line: line.int8_bytes,
        "memory": lambda line: line.peak_bytes_int8,
        "year": lambda line: line.year,
        "name": lambda line: line.name,
    }
    if sort not in keys:
        raise UsageError(f"the catalogue cannot be sorted by '{sort}'. Known: {', '.join(keys)}")
    return lambda line: (keys[sort](line), line.name, -line.width, -line.resolution)


@cache
def _catalogue() -> tuple[CatalogueLine, ...]:
    printed: dict[tuple[object, ...], Published] = {}
    for figure in main_figures():
        printed.setdefault((figure.name, figure.width, figure.resolution, figure.groups), figure)
    providers: dict[tuple[str, float], list[str]] = {}
    for source in sources():
        held = providers.setdefault((source.name, source.width), [])
        held += [provider] if (provider := _provider(source.provider)) not in held else []
    return tuple(
        _line(row, _printed(row, printed), tuple(providers.get((row.name, row.width), []))) for row in figures()
    )


def _provider(said: str) -> str:
    """Shorten 'Keras VGG, ResNet' and 'torchvision, longer recipe' to who gives them."""
    return "authors" if said.endswith("authors") else said.partition(",")[0].split()[0]


def _imagenet(line: CatalogueLine) -> float:
    """Return the top-1 that can be compared with others', 0 where there is none."""
    return line.top1 or 0.0 if line.data == "ImageNet" else 0.0


def _printed(row: Figures, printed: dict[tuple[object, ...], Published]) -> Published | None:
    groups = families()[row.name].groups
    found = printed.get((row.name, row.width, row.resolution, row.groups))
    if found is None and groups and row.groups == groups[0]:
        return printed.get((row.name, row.width, row.resolution, None))
    return found


def _line(row: Figures, printed: Published | None, weights: tuple[str, ...]) -> CatalogueLine:
    family = families()[row.name]
    return CatalogueLine(
        name=row.name,
        width=row.width,
        resolution=row.resolution,
        groups=row.groups,
        num_classes=row.num_classes,
        year=family.year,
        idea=family.idea_of(row.name),
        params=row.params,
        macs=row.macs,
        float_bytes=row.float_bytes,
        int8_bytes=row.int8_bytes,
        peak_bytes_float=row.peak_bytes_float,
        peak_bytes_int8=row.peak_bytes_int8,
        top1=printed.top1 if printed else None,
        top5=printed.top5 if printed else None,
        data=printed.data if printed else "",
        source=printed.source if printed else "",
        weights=weights,
    )


def _write_plot(lines: list[CatalogueLine], path: Path) -> None:
    from pocketvision import files
    from pocketvision.report import catalogue_plot

    if path.suffix not in PLOTS:
        raise UsageError(f"a plot is written as {', '.join(PLOTS)}, not as '{path.name}'")
    drawn = [line for line in lines if line.top1 is not None and line.data == "ImageNet"]
    if not drawn:
        raise UsageError("none of these nets has a published ImageNet accuracy to draw")
    files.write_bytes(path, catalogue_plot.render(drawn, path.suffix))
