"""`USE.md`: the few lines that load a delivered file right, in the languages of its runtimes, with real names."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from pocketvision.export.c import symbol
from pocketvision.export.io_types import FACTS, NO_BROWSER, io_of
from pocketvision.images.code import prepare_code
from pocketvision.runs import ExportFolder
from pocketvision.values import ImageSpec, Io, Manifest, Precision

_MOST_LABELS = 12
"""More labels than these are not listed on the page."""
_FROM_15, _FROM_16, _FROM_18 = (f"iOS {ios} or macOS {mac}, or newer." for ios, mac in ((15, 12), (16, 13), (18, 15)))
_CORE_ML: dict[Precision, str] = {"float": _FROM_15, "float16": _FROM_15, "int8": _FROM_16}


def write_use(folder: Path, manifest: Manifest) -> Path:
    """Write `USE.md` for all delivered files in a folder; they were made from the same net."""
    found = sorted(file.name for file in folder.iterdir() if _page(file.name) is not None)
    page = ExportFolder(folder).use
    page.write(use_text(found, manifest, io_types={name: io_of(folder / name) for name in found}))
    return page.path


def use_text(names: Sequence[str], manifest: Manifest, *, io_types: Mapping[str, Io] | None = None) -> str:
    """Return the page for files of these names; each suffix that has a page of its own gets its section.

    `io_types` are the types of the files' inputs and outputs, by default those of the manifest.
    """
    known = io_types or {}
    pages = [(name, page) for name in names if (page := _page(name)) is not None]
    sections = [Template(page).substitute(_facts(name, manifest, known.get(name, manifest.io))) for name, page in pages]
    facts = _facts(manifest.name, manifest, manifest.io)
    head, tail = (Template(_text(part)).substitute(facts) for part in ("head", "tail"))
    return "\n".join((head, *sections, tail))


def python_code(page: str) -> str:
    """Return the Python of a page's first section, below the lines that prepare an image; to be run by a test."""
    first, *_, prepare = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return f"{prepare}\n{first}"


def _page(name: str) -> str | None:
    try:
        return _text(Path(name).suffix.removeprefix(".") or "none")
    except FileNotFoundError:
        return None


def _text(page: str) -> str:
    return files("pocketvision.export").joinpath("pages", f"{page}.md").read_text(encoding="utf-8")


def _facts(name: str, manifest: Manifest, io: Io) -> dict[str, object]:
    """Return what the pages' placeholders stand for."""
    facts = _named(name, manifest) | FACTS[io]
    return facts | {"js": Template(_text("litertjs")).substitute(facts) if FACTS[io]["js_answer"] else NO_BROWSER}


def _named(name: str, manifest: Manifest) -> dict[str, object]:
    image, labels = manifest.image, manifest.labels
    side = image.resolution
    return {
        "file": name,
        "stem": Path(name).stem,
        "symbol": symbol(Path(name).stem),
        "upper": symbol(Path(name).stem).upper(),
        "name": manifest.name,
        "side": side,
        "bytes": side * side * 3,
        "classes": len(labels),
        "labels": ", ".join(labels) if len(labels) <= _MOST_LABELS else f"{labels[0]}, {labels[1]}, and so on",
        "sums": "" if manifest.thresholds else " that sum to 1",
        "unsure": _unsure(manifest),
        "rule": _rule(image),
        "prepare": prepare_code(image),
        "vision": ".scaleFill" if image.crop_mode == "squash" else ".centerCrop",
        "visionnote": _vision_note(image),
        "needs": _CORE_ML.get(manifest.precision, _FROM_18),
    }


def _unsure(manifest: Manifest) -> str:
    if manifest.thresholds:
        each = zip(manifest.labels, manifest.thresholds, strict=True)
        listed = ", ".join(f"{label} {value:.4g}" for label, value in list(each)[:_MOST_LABELS])
        more = ", and so on, in the manifest's `thresholds`" if len(manifest.labels) > _MOST_LABELS else ""
        return (
            "Each is a probability by itself, any number of labels may be true, and a label counts as true from its "
            f"own threshold on: {listed}{more}. Where the code below names the largest, go through all of them instead."
        )
    if manifest.abstain_below is None:
        return "The largest one is the answer, whatever it is."
    return f"Where the largest one is below **{manifest.abstain_below:.4g}**, the answer counts as *not sure*."


def _rule(image: ImageSpec) -> str:
    side, larger = image.resolution, round(image.resolution / image.crop_pct)
    if image.crop_mode == "squash":
        first = f"Resize the whole image to {larger} x {larger}, whatever its shape"
    else:
        first = f"Resize the image so that its shorter side becomes {larger}, keeping its shape"
    cut = larger != side or image.crop_mode == "crop"
    return f"{first}; then keep the {side} x {side} pixels in the middle." if cut else f"{first}."


def _vision_note(image: ImageSpec) -> str:
    if image.crop_pct == 1:
        return (
            "Vision's own resizing differs a little from the one above; probabilities then differ in the third digit."
        )
    return (
        "Vision keeps the border that the rule above cuts away: cut the photo to its middle "
        f"{image.crop_pct:.1%} first, or resize it yourself."
    )
