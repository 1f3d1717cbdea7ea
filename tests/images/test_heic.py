"""HEIC and AVIF: read where a decoder is, and a sentence with what to do where none is."""

import base64
import io
import sys
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, features

from pocketvision.errors import ImageError, MissingExtra
from pocketvision.images import decode as room
from pocketvision.images.decode import decode, looks_like_image, read

RED, GREEN, BLUE, WHITE = (200, 30, 20), (20, 180, 40), (30, 40, 190), (250, 250, 250)

PHOTO = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAA"
    "AAABoQABAAAAAAAAAG8AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAA"
    "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAh"
    "YgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAADAAAAABAAAAIAAAAAH////wAAAAAv///+AAAAACAAAA"
    "EHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAHdtZGF0AAAAaygBrwng48CcI//vja/+qR0PlqLe5QeW+keAH/0LH/XAjasavGkZAf8/QEed"
    "AF/k1qaRksh8OTnjWnsLOhnnQrzgB0D+r7LMhcm6ApwCYmkYMkt6tFYrD+9TF27H7mBX4B76YxRqTbjdLCJg"
)
"""48 x 32: red, green above blue, white, encoded by x265."""


@pytest.fixture
def plain():
    """Leave Pillow as it was."""
    room.open_heic.cache_clear()
    yield
    room.open_heic.cache_clear()


def quarters() -> Image.Image:
    image = Image.new("RGB", (48, 32), RED)
    image.paste(GREEN, (24, 0, 48, 16))
    image.paste(BLUE, (0, 16, 24, 32))
    image.paste(WHITE, (24, 16, 48, 32))
    return image


def close(pixels: np.ndarray, expected=(RED, GREEN, BLUE, WHITE)) -> bool:
    height, width = pixels.shape[:2]
    found = [pixels[y, x].astype(int) for y in (4, height - 5) for x in (4, width - 5)]
    return bool(np.abs(np.array(found) - np.array(expected)).max() <= 25)


def test_heic_without_its_package_says_what_to_install(monkeypatch, plain):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageError, match=r"HEIC.*'pi-heif'.*pip install 'pocketvision\[heic\]'.*convert it to JPEG"):
        decode(PHOTO)
    with pytest.raises(MissingExtra, match="pi-heif"):
        room.open_heic()


def test_names_do_not_matter():
    assert looks_like_image(PHOTO[:12])
    assert looks_like_image(b"\x00\x00\x00\x20ftypavif")
    assert not looks_like_image(b"\x00\x00\x00\x20ftypisom")


@pytest.mark.extra("pi_heif")
def test_heic_is_read(plain):
    photo = read(PHOTO)
    assert (photo.format, photo.size, photo.animated, photo.turned) == ("HEIF", (48, 32), False, False)
    assert close(photo.pixels)


@pytest.mark.extra("pi_heif")
def test_damaged_heic_is_an_image_error(plain):
    random = np.random.default_rng(0)
    places = [(int(cut), None) for cut in random.integers(0, len(PHOTO), 20)]
    places += [(int(place), int(random.integers(256))) for place in random.integers(0, len(PHOTO), 40)]
    for place, byte in places:
        content = PHOTO[:place] if byte is None else PHOTO[:place] + bytes([byte]) + PHOTO[place + 1 :]
        with suppress(ImageError):
            assert decode(content).shape[2] == 3


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs a build of Pillow with AVIF")


def avif(**options) -> bytes:
    stream = io.BytesIO()
    quarters().save(stream, "AVIF", quality=90, **options)
    return stream.getvalue()


@needs_avif
@pytest.mark.parametrize("brand", [b"avif", b"mif1"])
def test_avif_is_read(brand):
    content = avif()
    image = read(content[:8] + brand + content[12:])
    assert (image.format, image.size, image.animated) == ("AVIF", (48, 32), False)
    assert close(image.pixels)


@needs_avif
def test_avif_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read(avif(exif=exif))
    assert image.size == (32, 48)
    assert close(image.pixels, (BLUE, RED, WHITE, GREEN))


@needs_avif
def test_damaged_avif_is_an_image_error():
    content = avif()
    for cut in range(0, len(content), 25):
        with pytest.raises(ImageError):
            decode(content[:cut])


def test_avif_that_pillow_cannot_read_says_what_to_do(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(ImageError, match=r"AVIF.*pip install -U pillow"):
        decode(b"\x00\x00\x00\x18ftypavif" + b"\x00" * 40)
