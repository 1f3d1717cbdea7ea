"""The catalogue: every net of the catalogue with its figures, filtered, sorted, drawn; nothing is built."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

from pocketvision.budget.limits import Measured, broken
from pocketvision.errors import UsageError
from pocketvision.models.catalogue import families
from pocketvision.models.figures import CatalogueLine, Figures, figures
from pocketvision.models.published import Published, main_figures
from pocketvision.values import Budget, Cost
from pocketvision.weights.sources import sources

Sort = Literal["top1", "params", "macs", "size", "memory", "year", "name"]
PLOTS = (".html", ".svg", ".png")


def fits(line: CatalogueLine, budget: Budget) -> bool:
    """Tell whether a net keeps the limits: int8 bytes and memory, and the published top-1."""
    cost = Cost(line.params, line.macs, line.int8_bytes, line.peak_bytes_int8)
    return not broken(Measured(line.int8_bytes, cost, score=_imagenet(line) / 100), budget)


def plain(lines: list[CatalogueLine]) -> list[CatalogueLine]:
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


def order(sort: Sort) -> Callable[[CatalogueLine], tuple[float | str, ...]]:
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
def catalogue() -> tuple[CatalogueLine, ...]:
    """Return a line for every net and setting with shipped figures."""
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


def write_plot(lines: list[CatalogueLine], path: Path) -> None:
    """Draw accuracy against multiply-adds; raises UsageError for another suffix, or nothing to draw."""
    from pocketvision import files
    from pocketvision.report import catalogue_plot

    if path.suffix not in PLOTS:
        raise UsageError(f"a plot is written as {', '.join(PLOTS)}, not as '{path.name}'")
    drawn = [line for line in lines if line.top1 is not None and line.data == "ImageNet"]
    if not drawn:
        raise UsageError("none of these nets has a published ImageNet accuracy to draw")
    files.write_bytes(path, catalogue_plot.render(drawn, path.suffix))
