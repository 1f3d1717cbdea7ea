"""One image in every encoding that a phone meets sooner or later: what a file answers to it, from its bytes on."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.errors import ImageError
from pocketvision.images.prepare import load
from pocketvision.runtime import Runner
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_of
from pocketvision.values import Manifest

SIDES = (320, 240)
LARGE = (5200, 3900)
"""20 megapixels."""
OTHER_CONTENT = {"grey", "1 pixel wide", "truncated"}
ROTATED = 6
"""EXIF orientation: to be turned a quarter clockwise to stand upright."""
ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class EncodingAnswer:
    """What a file said of one image in one encoding."""

    kind: str
    """How the image is stored."""
    label: str
    """Empty where the image could not be read."""
    probability: float
    """Of that label."""
    as_plain: bool | None
    """Whether the answer is that of the plain image; None where the content is another, or could not be read."""
    error: str | None = None
    """Why there is no answer, or None."""


@dataclass(frozen=True, eq=False)
class Robustness:
    """Answers by kind, and the probabilities [N, C] or boxes [N, M, 6], zeros where an image could not be read."""

    answers: tuple[EncodingAnswer, ...]
    probabilities: NDArray[np.float32]


def check_robustness(runner: Runner, shown: Manifest | None = None) -> Robustness:
    """Ask a file for one image stored in many ways, the first one plain: its own probe, or that of `shown`."""
    found: list[EncodingAnswer] = []
    spec = spec_of(runner.manifest)
    rows = np.zeros((0, *runner.answer_shape), np.float32)
    for kind, content in encodings(shown or runner.manifest):
        try:
            row = np.nan_to_num(runner.run(load(content, runner.manifest.image)[None]), nan=0.0)
        except ImageError as error:
            found.append(EncodingAnswer(kind, "", 0.0, as_plain=None, error=str(error)))
            row = np.zeros_like(rows[:1])
        else:
            decided = load_task(spec.name).decide(row, spec)
            label = decided.told[0]
            same = None if kind in OTHER_CONTENT else not found or label == found[0].label
            found.append(EncodingAnswer(kind, label, float(decided.probability[0]), same))
        rows = np.concatenate([rows, row])
    return Robustness(tuple(found), rows)


def encodings(manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    """Yield kinds and bytes, all made of the file's first probe, or of a color gradient where it has none."""
    plain = _base(manifest).resize(SIDES, Image.Resampling.BICUBIC)
    yield "plain JPEG", _stored(plain, "JPEG")
    turned = Image.Exif()
    turned[ORIENTATION_TAG] = ROTATED
    yield "turned by EXIF", _stored(plain.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=turned)
    yield "CMYK", _stored(plain.convert("CMYK"), "JPEG")
    yield "palette", _stored(plain.quantize(256), "PNG")
    see_through = plain.copy()
    see_through.putalpha(255)
    yield "alpha channel", _stored(see_through, "PNG")
    yield "animated", _stored(plain, "WEBP", save_all=True, append_images=[plain.rotate(180)], lossless=True)
    yield "20 megapixels", _stored(plain.resize(LARGE, Image.Resampling.NEAREST), "JPEG")
    yield "grey", _stored(plain.convert("L"), "JPEG")
    yield "1 pixel wide", _stored(plain.resize((1, SIDES[1]), Image.Resampling.BOX), "PNG")
    yield "truncated", _stored(plain, "JPEG")[:2000]


def _base(manifest: Manifest) -> Image.Image:
    if manifest.probes:
        with Image.open(io.BytesIO(base64.b64decode(manifest.probes[0].png_base64))) as probe:
            return probe.convert("RGB")
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    grid = np.broadcast_to(ramp, (64, 64))
    return Image.fromarray(np.stack([grid, grid.T, grid[::-1]], axis=2))


def _stored(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 95} if kind == "JPEG" else {}), **options)
    return stream.getvalue()
