"""An image's bytes to an RGB array: orientation, color modes, limits. Judged by content, never by the file's name.

Decided here, once for the whole project:

- The orientation is applied: EXIF's first tag of that name, or XMP's where EXIF has none. A whole number of any size
  counts, and text; unless it is 2 to 8 the image is upright. The page of the verb `demo` has the same rule.
- What is transparent is laid on white.
- Of an animation or a multi-page file the first image counts.
- CMYK (Adobe's inverted kind too) is converted without its color profile; other profiles are ignored as well.
- 16-bit grey is scaled by its full range. Grey of 32 bits names no white: that is the first of 1 (float only), 255 and
  65535 which is not below the largest value, or else the largest value itself; negative values become black.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

from pocketvision.errors import ImageError, MissingExtra
from pocketvision.files import stand_in
from pocketvision.images.upright import UPRIGHT, rgb_of, turn_of

MAX_PIXELS = 178_956_970
"""Width times height above which a file is refused: where Pillow, too, takes it for an attack on memory."""

FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)

AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
"""Bytes 8 to 12 of files whose bytes 4 to 8 are `ftyp`."""

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\x00", b"MM\x00*")

SIDEWAYS = frozenset(UPRIGHT[number] for number in "5678")
_ORIENTATIONS: dict[Image.Transpose | None, int] = {None: 1, **{turn: int(name) for name, turn in UPRIGHT.items()}}


@dataclass(frozen=True)
class Decoded:
    """An image and what its bytes say of themselves."""

    pixels: NDArray[np.uint8]
    """RGB, [height, width, 3], upright."""
    format: str
    """Pillow's name of it: one of `FORMATS`, AVIF or HEIF."""
    animated: bool
    """The file holds more images than the one returned."""
    size: tuple[int, int]
    """Width and height of the whole image, upright; `pixels` may be reduced."""
    mode: str
    """Pillow's name of how the file holds colors, such as RGB, L or CMYK."""
    orientation: int
    """As EXIF numbers it: 1 where the image is stored upright, 2 to 8 where it was turned or mirrored."""
    transparent: bool
    small: bytes = b""
    """RGB of the upright image squashed to the side that was asked for; empty where none was."""

    @property
    def turned(self) -> bool:
        """Whether its orientation differs from how it is stored."""
        return self.orientation != 1

    @property
    def reduced(self) -> bool:
        """Whether `pixels` hold a smaller image than the file."""
        return self.pixels.shape[:2] != self.size[::-1]


def decode(source: bytes | Path) -> NDArray[np.uint8]:
    """Decode an image to uint8 RGB [height, width, 3]; any failure is an `ImageError` that gives the reason only."""
    return read(source).pixels


def read(source: bytes | Path, *, least: int | None = None, small: int | None = None) -> Decoded:
    """Decode an image as `decode` does and tell of its file too; `source` is a file's path or content.

    With `least`, pixels of the shorter side that are enough, a JPEG is decoded at 1/8, 1/4 or 1/2 of its size, which is
    up to six times faster. The whole file is read all the same, and a damaged one told. With `small`, pixels of a side,
    the image is also squashed to that, unless it is smaller.
    """
    content = source if isinstance(source, bytes) else content_of(source)
    if not content:
        raise ImageError("the file is empty (0 bytes)")
    with quiet():
        try:
            with Image.open(io.BytesIO(content), formats=_formats(content)) as image:
                return _read(image, least, small)
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise ImageError(_foreign(content)) from None
        except Image.DecompressionBombError:
            raise ImageError(_too_large()) from None
        except MemoryError:
            raise ImageError("not enough memory to decode it") from None
        except Exception as error:  # decoders raise a dozen kinds on damaged bytes, and each means the same to a user
            raise ImageError(f"damaged: {str(error) or type(error).__name__}") from None


def content_of(path: str | Path) -> bytes:
    """Read a file's bytes; where that fails, an `ImageError` gives the reason."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or type(error).__name__}") from None


def looks_like_image(head: bytes) -> bool:
    """Tell from a file's first 12 bytes whether it claims to be a JPEG, PNG, GIF, WebP, TIFF, AVIF or HEIC."""
    if head.startswith(SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return _brand(head) in (*AVIF_BRANDS, *HEIC_BRANDS)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings to itself, from any number of threads at once; the filters return when the last leaves.

    `warnings.catch_warnings` alone would leave the filters of one thread to all others.
    """
    with _Quiet.lock:
        if _Quiet.inside == 0:
            _Quiet.saved = warnings.catch_warnings()
            _Quiet.saved.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        _Quiet.inside += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.inside -= 1
            if _Quiet.inside == 0:
                _Quiet.saved.__exit__(None, None, None)


@cache
def open_heic() -> None:
    """Teach Pillow to read HEIC; raises MissingExtra without the package `pi-heif`."""
    try:
        import pi_heif
    except ImportError as error:
        raise MissingExtra("pi-heif", "heic") from error
    pi_heif.register_heif_opener()


class _Quiet:
    lock = threading.Lock()
    inside = 0
    saved: "warnings.catch_warnings[None]"


def _formats(content: bytes) -> tuple[str, ...]:
    """Return what Pillow may take the content for, by names of its own."""
    brand = _brand(content)
    if brand in AVIF_BRANDS and features.check("avif"):
        from PIL import AvifImagePlugin

        return (AvifImagePlugin.AvifImageFile.format,)
    if brand in HEIC_BRANDS:
        try:
            open_heic()
        except MissingExtra as error:
            raise ImageError(f"a HEIC photo, as iPhones take them; {error}, or convert it to JPEG first") from None
        return ("HEIF",)
    return FORMATS


def _brand(content: bytes) -> bytes:
    if content[4:8] != b"ftyp":
        return b""
    others = content[16 : int.from_bytes(content[:4], "big")]
    # What calls itself mif1, an image of any codec, names the codec among its other brands.
    return b"avif" if content[8:12] == b"mif1" and b"avif" in others else content[8:12]


def _read(image: ImageFile.ImageFile, least: int | None, small: int | None) -> Decoded:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(_too_large())
    kind, animated = _kind(image)
    mode, stored = image.mode, image.size
    if least is not None:
        image.draft(None, (least, least))
    # TIFF turns itself upright while loading, so what is left to do must be asked for afterwards.
    itself = turn_of(image) if kind == "TIFF" else None
    colors = rgb_of(image)
    turn = turn_of(image)
    upright = colors if turn is None else colors.transpose(turn)
    # A TIFF has turned itself while loading, and only a JPEG can be reduced.
    whole = stored if kind == "JPEG" else image.size
    size = (whole[1], whole[0]) if turn in SIDEWAYS else whole
    pixels, transparent = np.array(upright), bool(image.has_transparency_data)
    return Decoded(
        pixels,
        kind,
        animated,
        size,
        mode,
        _ORIENTATIONS[itself if turn is None else turn],
        transparent,
        _squashed(upright, small),
    )


def _squashed(image: Image.Image, side: int | None) -> bytes:
    if side is None or min(image.size) < side:
        return b""
    gap = 2.0 if min(image.size) > 8 * side else None  # only for large images the two steps are faster
    return image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=gap).tobytes()


def _kind(image: Image.Image) -> tuple[str, bool]:
    # MPO is a JPEG to which a camera has added previews: one image to its owner.
    if image.format == "MPO":
        return "JPEG", False
    return image.format or "", bool(getattr(image, "is_animated", False))


def _too_large() -> str:
    return f"larger than {MAX_PIXELS / 1e6:.0f} million pixels; make it smaller first"


def _foreign(content: bytes) -> str:
    """Say what a file is that none of our decoders knows."""
    brand = _brand(content)
    if brand in AVIF_BRANDS and not features.check("avif"):
        return "an AVIF image, which this build of Pillow cannot read; run pip install -U pillow, or convert it"
    if brand in (*AVIF_BRANDS, *HEIC_BRANDS):
        return f"damaged: no image in this {'AVIF' if brand in AVIF_BRANDS else 'HEIC'} file"
    if (foreign := stand_in(content[:64])) and content.startswith(b"v"):
        return foreign
    if content.lstrip()[:1] == b"<":
        return "a web page or drawing (HTML, XML or SVG), not an image"
    return "not an image, or damaged at its start; JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF and HEIC can be read"
