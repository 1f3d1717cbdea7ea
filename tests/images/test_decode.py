"""Images of every odd kind, made with Pillow, come out as the colors that went in, or as an ImageError."""

import re
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.errors import ImageError
from pocketvision.images.decode import decode, quiet, read
from pocketvision.images.upright import UPRIGHT
from tests.images.strange import chunk, clear, encoded, png

RED, GREEN, BLUE, WHITE = (200, 30, 20), (20, 180, 40), (30, 40, 190), (250, 250, 250)


def quarters(width=64, height=48) -> Image.Image:
    """Red, green above blue, white: tells every orientation apart."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(WHITE, (width // 2, height // 2, width, height))
    return image


def corners(pixels: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(int(v) for v in pixels[y, x]) for y, x in ((3, 3), (3, -4), (-4, 3), (-4, -4))]


def near(pixels: np.ndarray, expected, tolerance=6) -> bool:
    return bool(np.abs(np.array(corners(pixels)) - np.array(expected)).max() <= tolerance)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_lossless_kinds_keep_every_pixel(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = read(encoded(quarters(), kind, **options))
    assert decoded.format == kind
    assert not decoded.animated
    assert decoded.pixels.dtype == np.uint8
    assert np.array_equal(decoded.pixels, np.asarray(quarters()))


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_jpeg_keeps_its_colors(mode):
    assert near(decode(encoded(quarters().convert(mode), "JPEG", quality=95)), [RED, GREEN, BLUE, WHITE], 12)


def test_cmyk_is_inverted_in_a_jpeg_only():
    jpeg = encoded(quarters().convert("CMYK"), "JPEG", quality=95)
    mark = jpeg.index(b"\xff\xee")
    unmarked = jpeg[:mark] + jpeg[mark + 2 + int.from_bytes(jpeg[mark + 2 : mark + 4], "big") :]
    for content in (jpeg, unmarked, encoded(quarters().convert("CMYK"), "TIFF")):
        assert near(decode(content), [RED, GREEN, BLUE, WHITE], 12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_undone(orientation, kind):
    inverse = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    upright = quarters()
    stored = upright if orientation == 1 else upright.transpose(UPRIGHT[str(inverse)])
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(stored, kind, exif=exif))
    assert pixels.shape == (48, 64, 3)
    assert near(pixels, [RED, GREEN, BLUE, WHITE], 12)


def test_orientations_turn_as_the_standard_says():
    # 6: the stored 0th row is the image's right side, the 0th column its top.
    turned = np.asarray(quarters().transpose(UPRIGHT["6"]))
    assert np.array_equal(turned, np.rot90(np.asarray(quarters()), -1))
    assert np.array_equal(np.asarray(quarters().transpose(UPRIGHT["8"])), np.rot90(np.asarray(quarters())))


def test_damaged_exif_leaves_the_image(recwarn):
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x05\x01\x12\x00\x03\xff\xff\xff\xff\x00\x06"
    assert decode(encoded(quarters(), "JPEG", exif=exif)).shape == (48, 64, 3)
    assert not recwarn.list


@pytest.mark.parametrize("byte_order", ["I;16", "I;16B"])
def test_16_bit_grey_is_scaled_by_its_full_range(byte_order):
    values = np.array([[0, 128 * 257, 65535]], dtype="<u2" if byte_order == "I;16" else ">u2")
    image = Image.frombytes(byte_order, (3, 1), values.tobytes())
    assert decode(encoded(image, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    if byte_order == "I;16":
        assert decode(encoded(image, "PNG"))[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([0.0, 0.5, 1.0], np.float32, [0, 128, 255]),
        ([0.0, 100.0, 200.0], np.float32, [0, 100, 200]),
        ([-5.0, float("nan"), 255.0], np.float32, [0, 0, 255]),
        ([0, 1, 255], np.int32, [0, 1, 255]),
        ([0, 257, 65535], np.int32, [0, 1, 255]),
        ([0, 500_000, 1_000_000], np.int32, [0, 128, 255]),
        ([-3, -2, -1], np.int32, [0, 0, 0]),
    ],
)
def test_32_bit_grey(values, kind, expected):
    image = Image.fromarray(np.array([values], dtype=kind))
    assert decode(encoded(image, "TIFF"))[0, :, 2].tolist() == expected


def test_one_bit_and_grey():
    assert decode(encoded(Image.new("1", (4, 4), 1), "PNG")).tolist() == np.full((4, 4, 3), 255).tolist()
    assert decode(encoded(Image.new("L", (4, 4), 77), "PNG")).tolist() == np.full((4, 4, 3), 77).tolist()


def test_16_bit_color_png():
    row = struct.pack(">6H", 65535, 32896, 0, 0, 0, 65535)
    assert decode(png([row, row], 16, 2, 2))[0].tolist() == [[255, 128, 0], [0, 0, 255]]


def transparent(mode: str) -> Image.Image:
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    return image.convert(mode)


def test_transparency_is_laid_on_white():
    for content in (
        encoded(transparent("RGBA"), "PNG"),
        encoded(transparent("RGBA"), "WEBP", lossless=True),
        encoded(transparent("RGBA"), "TIFF"),
    ):
        assert decode(content)[0].tolist() == [list(RED), [255, 255, 255]]
    grey = decode(encoded(transparent("LA"), "PNG"))[0]
    assert grey[1].tolist() == [255, 255, 255]
    assert grey[0, 0] < 100
    half = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert abs(int(decode(encoded(half, "PNG"))[0, 0, 0]) - 127) <= 1


def test_palette_with_transparency():
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE] + [0] * 759)
    image.putdata([0, 1, 2])
    expected = [list(RED), [255, 255, 255], list(BLUE)]
    assert decode(encoded(image, "PNG", transparency=1))[0].tolist() == expected
    assert decode(encoded(image, "PNG", transparency=b"\xff\x00\xff"))[0].tolist() == expected
    assert decode(encoded(image, "GIF", transparency=1))[0].tolist() == expected
    assert decode(encoded(image, "PNG"))[0].tolist() == [list(RED), list(GREEN), list(BLUE)]
    rgb = Image.new("RGB", (1, 1), GREEN)
    assert decode(encoded(rgb, "PNG", transparency=GREEN))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("bits", "kind", "row", "named", "expected"),
    [
        (16, 0, struct.pack(">3H", 0, 300, 65535), (0,), [255, 1, 255]),
        (16, 0, struct.pack(">3H", 257, 258, 60000), (257,), [255, 1, 233]),
        (8, 0, bytes([3, 4, 0]), (3,), [255, 4, 0]),
        (4, 0, b"\x3c\x00", (12,), [51, 255, 0]),
        (2, 0, b"\x18", (1,), [0, 255, 170]),
        (1, 0, b"\x40", (0,), [255, 255, 255]),
        (8, 2, bytes([1, 1, 1, 2, 2, 2, 3, 3, 3]), (2, 2, 2), [1, 255, 3]),
        # The lower bytes tell the colors apart.
        (16, 2, struct.pack(">9H", *[0x1001] * 3, *[0x1002] * 3, *[0x10FF] * 3), (0x1002,) * 3, [16, 255, 16]),
    ],
)
def test_the_transparent_grey_or_color_of_a_png_is_white(bits, kind, row, named, expected):
    decoded = read(png([row], bits, kind, 3, clear(*named)))
    assert decoded.pixels[0, :, 0].tolist() == expected
    assert decoded.transparent


def test_a_sixteen_bit_image_with_a_transparent_color_is_whole_and_turned():
    pixels = np.random.default_rng(0).integers(0, 65536, (50, 70, 3))
    exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    rows = [row.astype(">u2").tobytes() for row in pixels]
    decoded = read(png(rows, 16, 2, 70, exif, clear(*(int(value) for value in pixels[9, 8]))))
    expected = (pixels >> 8).astype(np.uint8)
    expected[9, 8] = 255
    assert np.array_equal(decoded.pixels, np.rot90(expected, -1))
    with pytest.raises(ImageError):
        decode(png(rows, 16, 2, 70, clear(1, 2, 3))[:9000])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_image_counts(kind):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = read(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert decoded.animated
    assert decoded.format == kind
    assert decoded.pixels[0, 0].tolist() == list(RED)


def test_a_cameras_mpo_is_a_jpeg_and_no_animation():
    content = encoded(quarters(), "MPO", save_all=True, append_images=[quarters(16, 16)])
    decoded = read(content)
    assert decoded.format == "JPEG"
    assert not decoded.animated
    assert decoded.pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(("kind", "keep"), [("JPEG", 0.6), ("PNG", 0.6), ("WEBP", 0.6), ("BMP", 0.6), ("TIFF", 0.6)])
def test_truncated(kind, keep):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError):
        decode(content[: int(len(content) * keep)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_any_cut_and_any_damaged_byte_is_a_image_or_an_image_error(kind, recwarn):
    content = encoded(quarters(), kind)
    random = np.random.default_rng(1)
    for cut in random.integers(0, len(content), 20):
        _tolerated(content[:cut])
    for place in random.integers(0, min(len(content), 400), 60):
        _tolerated(content[:place] + bytes([random.integers(256)]) + content[place + 1 :])
    assert not recwarn.list


def _tolerated(content: bytes) -> None:
    reason = ""
    try:
        assert decode(content).shape[2] == 3
    except ImageError as error:
        reason = str(error)
    assert "object at 0x" not in reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "not an image"),
        (b"<!doctype html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n", "a pointer of Git LFS"),
        (b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40, "HEIC"),
        (b"\x00\x00\x00\x18ftypavif" + b"\x00" * 40, "AVIF"),
    ],
)
def test_what_is_no_image_is_called_so(content, reason):
    with pytest.raises(ImageError, match=reason):
        decode(content)


def test_paths(tmp_path: Path):
    file = tmp_path / "name says.jpg"
    file.write_bytes(encoded(quarters(), "PNG"))
    assert read(file).format == "PNG"
    with pytest.raises(ImageError) as missing:
        decode(tmp_path / "absent.jpg")
    assert "No such file" in str(missing.value)
    assert "absent" not in str(missing.value)
    with pytest.raises(ImageError, match="cannot be read"):
        decode(tmp_path)


def test_smallest_and_widest():
    assert decode(encoded(Image.new("RGB", (1, 1), RED), "PNG")).tolist() == [[list(RED)]]
    assert decode(encoded(Image.new("RGB", (5000, 10), RED), "JPEG")).shape == (10, 5000, 3)


def test_bombs_are_refused_and_large_images_are_not(monkeypatch, recwarn):
    bomb = encoded(Image.new("1", (20_000, 9_000)), "PNG")
    with pytest.raises(ImageError, match="million pixels"):
        decode(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError, match=re.escape("179 million pixels")):
        decode(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert decode(encoded(quarters(), "PNG")).shape == (48, 64, 3)  # Pillow would warn: over its limit, under twice
    assert not recwarn.list


def test_quiet_gives_the_filters_back_whatever_the_order_of_threads():
    before = list(warnings.filters)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first():
        with quiet():
            first_in.set()
            second_in.wait(5)
        first_out.set()

    def second():
        first_in.wait(5)
        with quiet():
            second_in.set()
            first_out.wait(5)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_only_pillow_is_quiet():
    with quiet(), pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)
