"""`USE.md`: the few lines that load a delivered file right, in the languages of its runtimes, with real names."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from pocketvision.errors import WeightsError
from pocketvision.export.c import symbol
from pocketvision.export.coreml_boxes import padded
from pocketvision.export.io_types import FACTS, NO_BROWSER, io_of
from pocketvision.graph.boxes import anchors
from pocketvision.graph.storage import STORAGES, Floats, Integers, Palette
from pocketvision.images.code import prepare_code
from pocketvision.runs import ExportFolder
from pocketvision.runtime.boxes import suppression
from pocketvision.runtime.litert import read_manifest
from pocketvision.values import BoxEnds, ImageSpec, Io, Manifest

_MOST_LABELS = 12
"""More labels than these are not listed on the page."""
_TWO_FORMS = ("onnx", "tflite", "xml")
"""Suffixes of files that give boxes or, raw, what is said of every anchor."""
_IN_BROWSERS = (".onnx", ".tflite")
_OUTCOME = "**What comes out.** $classes probabilities$sums, in this order: $labels. $unsure"
_BOX_OUTCOME = """\
**What comes out.** Boxes, each with a label and a score. Corners are y1, x1, y2, x2 as shares of the prepared image,
from 0 at its upper left to 1, and may lie a little outside it. Labels are counted from 0: $labels. A box counts from a
score of **$threshold** on; the file gives those from $least on, for other choices."""
_FROM_15, _FROM_16, _FROM_18 = (f"iOS {ios} or macOS {mac}, or newer." for ios, mac in ((15, 12), (16, 13), (18, 15)))
_CORE_ML = {Floats: _FROM_15, Integers: _FROM_16, Palette: _FROM_18}


def write_use(folder: Path, manifest: Manifest) -> Path:
    """Write `USE.md` for all delivered files in a folder; they were made from the same net."""
    found = sorted(file.name for file in folder.iterdir() if _page(file.name) is not None)
    page = ExportFolder(folder).use
    if manifest.model.detector is not None:
        page.write(boxes_text(found, manifest, ends={name: ends_of(folder / name, manifest) for name in found}))
    else:
        needs = {name: text for name in found if (text := needs_of(folder / name))}
        page.write(use_text(found, manifest, io_types={name: io_of(folder / name) for name in found}, needs=needs))
    return page.path


def use_text(
    names: Sequence[str],
    manifest: Manifest,
    *,
    io_types: Mapping[str, Io] | None = None,
    needs: Mapping[str, str] | None = None,
) -> str:
    """Return the page for files of these names; each suffix that has a page of its own gets its section.

    `io_types` are the types of the files' inputs and outputs, `needs` the systems that Core ML's need, by default those
    of the manifest.
    """
    known, pages = io_types or {}, [(name, page) for name in names if (page := _page(name)) is not None]
    facts_of = {name: _facts(name, manifest, known.get(name, manifest.io)) for name, _ in pages}
    own = {name: {"needs": text} for name, text in (needs or {}).items()}
    sections = [Template(page).substitute(facts_of[name] | own.get(name, {})) for name, page in pages]
    facts = _facts(manifest.name, manifest, manifest.io)
    head, tail = (Template(_text(part)).substitute(facts) for part in ("head", "tail"))
    return "\n".join((head, *sections, *_hosting(names), tail))


def boxes_text(names: Sequence[str], manifest: Manifest, *, ends: Mapping[str, BoxEnds] | None = None) -> str:
    """Return the page for a detector's files; `ends` are what each of them gives, by default as the manifest says."""
    known = ends or {}
    sections = []
    suppressing = False
    for name in (name for name in names if _page(name) is not None):
        raw = known.get(name, manifest.ends) == "raw"
        page = f"boxes/{_kind(name)}{'-raw' if raw and _kind(name) in _TWO_FORMS else ''}"
        sections.append(Template(_text(page)).substitute(_box_facts(name, manifest)))
        suppressing |= "suppress" in sections[-1]
    facts = _box_facts(manifest.name, manifest)
    parts = ("head", *(["boxes/suppress"] if suppressing else []), "tail")
    head, *tail = (Template(_text(part)).substitute(facts) for part in parts)
    return "\n".join((head, *sections, *_hosting(names), *tail))


def needs_of(package: Path) -> str:
    """Return which systems a Core ML package needs, as it says itself; empty for other files."""
    program = package / "Data" / "com.apple.CoreML" / "model.mlmodel"
    if not program.is_file():
        return ""
    with program.open("rb") as stream:
        head = stream.read(2)  # protobuf's first field is the version
    return {b"\x08\x06": _FROM_15, b"\x08\x07": _FROM_16, b"\x08\x09": _FROM_18}.get(head, "")


def ends_of(file: Path, manifest: Manifest) -> BoxEnds:
    """Return what a detector's delivered file gives: as a LiteRT file says itself, else as the manifest does."""
    try:
        own = read_manifest(file)
    except WeightsError:  # an older file in the folder, damaged since
        own = None
    return (own or manifest).ends


def python_code(page: str) -> str:
    """Return the Python of a page's first section, below the lines that prepare an image; to be run by a test."""
    first, *others, prepare = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    suppress = "".join(block for block in others if block.startswith("def suppress"))
    return f"{prepare}\n{suppress}\n{first}"


def _page(name: str) -> str | None:
    try:
        return _text(_kind(name))
    except FileNotFoundError:
        return None


def _kind(name: str) -> str:
    return Path(name).suffix.removeprefix(".") or "none"


def _text(page: str) -> str:
    return files("pocketvision.export").joinpath("pages", f"{page}.md").read_text(encoding="utf-8")


def _hosting(names: Sequence[str]) -> list[str]:
    """Return how a web server sends the first file that browsers run; nothing where none is there."""
    found = [name for name in names if Path(name).suffix in _IN_BROWSERS]
    return [Template(_text("hosting")).substitute(file=name) for name in found[:1]]


def _facts(name: str, manifest: Manifest, io: Io) -> dict[str, object]:
    """Return what the pages' placeholders stand for."""
    facts = _named(name, manifest) | FACTS[io]
    facts["outcome"] = Template(_OUTCOME).substitute(facts)
    return facts | {"js": Template(_text("litertjs")).substitute(facts) if FACTS[io]["js_answer"] else NO_BROWSER}


def _box_facts(name: str, manifest: Manifest) -> dict[str, object]:
    """Return what the placeholders of a detector's pages stand for."""
    assert manifest.model.detector is not None
    rule, classes = suppression(manifest), len(manifest.labels)
    facts = _named(name, manifest) | {
        "threshold": f"{manifest.thresholds[0] if manifest.thresholds else rule.score:.4g}",
        "overlap": f"{rule.overlap:.4g}",
        "least": f"{rule.score:.4g}",
        "most": rule.most,
        "anchors": len(anchors(manifest.model.detector.maps, manifest.image.resolution)),
        "padded": padded(classes),
    }
    return facts | {"outcome": Template(_BOX_OUTCOME).substitute(facts)}


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
        "needs": _CORE_ML[type(STORAGES[manifest.precision])],
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
