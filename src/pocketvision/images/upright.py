"""An opened image as upright RGB on white. Needs Pillow and NumPy alone: `code.py` gives these lines to people."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

UPRIGHT = {
    "2": Image.Transpose.FLIP_LEFT_RIGHT,
    "3": Image.Transpose.ROTATE_180,
    "4": Image.Transpose.FLIP_TOP_BOTTOM,
    "5": Image.Transpose.TRANSPOSE,
    "6": Image.Transpose.ROTATE_270,
    "7": Image.Transpose.TRANSVERSE,
    "8": Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, tag Orientation: what turns the stored rows upright."""


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return what turns a loaded image upright: by EXIF, or by XMP where EXIF names no orientation."""
    try:
        value = image.getexif().get(0x0112)
    except Exception:  # damaged EXIF raises anything; the image itself is whole
        return None
    return UPRIGHT.get(str(value)) if isinstance(value, int | str) else None


def rgb_of(image: ImageFile.ImageFile) -> Image.Image:
    """Load an image; return it in RGB, not turned."""
    packed = image.tile[0][3] if image.format == "PNG" and image.tile else ""
    clear = image.info.get("transparency")
    if clear is not None and packed == "RGB;16B":
        return _rgb_16(image, clear)
    if clear is not None and packed in ("L;2", "L;4"):  # Pillow widens the values to 8 bits, but not this one
        image.info["transparency"] = clear * (85 if packed == "L;2" else 17)
    image.load()
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_grey(np.asarray(image), image.mode, clear)).convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    transparent = image.convert("RGBA")
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(transparent, mask=transparent.getchannel("A"))
    return opaque


def _grey(stored: NDArray[np.generic], mode: str, clear: int | None) -> NDArray[np.uint8]:
    values = np.nan_to_num(stored.astype(np.float64), posinf=0.0, neginf=0.0)
    largest = float(values.max())
    usual = {"I": (255.0, 65535.0), "F": (1.0, 255.0, 65535.0)}.get(mode, (65535.0,))
    white = next((value for value in usual if value >= largest), largest)
    values[stored == clear] = white
    return np.asarray(np.rint(values.clip(0, white) * (255 / white)), np.uint8)


def _rgb_16(image: ImageFile.ImageFile, clear: tuple[int, ...]) -> Image.Image:
    """Make white what has the transparent color in all 16 bits, of which Pillow keeps the upper 8."""
    assert image.fp is not None
    place = image.fp.tell()
    image.fp.seek(0)
    lower = Image.open(image.fp, formats=["PNG"])
    lower.tile = [lower.tile[0]._replace(args="RGB;16L")]
    low = np.asarray(lower)
    image.fp.seek(place)
    pixels = np.array(image)
    pixels[(pixels * np.uint16(256) + low == clear).all(axis=-1)] = 255
    return Image.fromarray(pixels)
