"""Image files of every odd kind, small; what reads them rightly reads most of what people have."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

WIDTH, HEIGHT = 40, 30


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(rows: list[bytes], bits: int, kind: int, width: int, *chunks: bytes) -> bytes:
    """Return a PNG of rows that are packed already; `kind` is the color type of its header."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", header), *chunks, chunk(b"IDAT", body), chunk(b"IEND", b"")])


def clear(*values: int) -> bytes:
    """Return the chunk that names a grey or a color which is transparent."""
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def deep(channels: int, color: int, *chunks: bytes) -> bytes:
    """Return a PNG of 16 bits with every value of its upper byte, and many lower ones."""
    values = np.random.default_rng(channels).integers(0, 65536, (HEIGHT, WIDTH, channels))
    values[::3, ::2] = 257 * 9
    return png([row.astype(">u2").tobytes() for row in values], 16, color, WIDTH, *chunks)


def photo() -> Image.Image:
    coarse = np.random.default_rng(3).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def see_through(mode: str) -> Image.Image:
    image = photo().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


def oriented(kind: str, value: int, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(photo(), kind, exif=exif, **options)


def _all() -> dict[str, bytes]:
    image, values = photo(), np.random.default_rng(5).random((HEIGHT, WIDTH), np.float32)
    palette = image.quantize(16)
    xmp = b'<rdf:Description tiff:Orientation="8"/>'
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    narrow = [bytes(row) for row in np.random.default_rng(6).integers(0, 256, (HEIGHT, 10), np.uint8)]
    return {
        "plain": encoded(image, "JPEG", quality=95),
        "rgba": encoded(see_through("RGBA")),
        "rgba-webp": encoded(see_through("RGBA"), "WEBP", lossless=True),
        "rgba-tiff": encoded(see_through("RGBA"), "TIFF"),
        "grey-alpha": encoded(see_through("LA")),
        "palette": encoded(palette),
        "palette-one-clear": encoded(palette, transparency=3),
        "palette-alpha": encoded(palette, transparency=bytes(range(0, 256, 16))),
        "palette-and-alpha-tiff": encoded(see_through("RGBA").convert("PA").convert("RGBA"), "TIFF"),
        "gif-clear": encoded(palette, "GIF", transparency=3),
        "gif-animated": encoded(image, "GIF", save_all=True, append_images=[image.rotate(180)]),
        "apng": encoded(image, save_all=True, append_images=[image.rotate(180)]),
        "rgb-clear": encoded(image, transparency=image.getpixel((7, 7))),
        "grey": encoded(image.convert("L")),
        "grey-clear": encoded(image.convert("L"), transparency=image.convert("L").getpixel((7, 7))),
        "grey-2-bit-clear": png(narrow, 2, 0, 4 * 10, clear(2)),
        "grey-4-bit-clear": png(narrow, 4, 0, 2 * 10, clear(11)),
        "one-bit": encoded(image.convert("1")),
        "one-bit-clear": png(narrow, 1, 0, 8 * 10, clear(0)),
        "grey-16": deep(1, 0),
        "grey-16-clear": deep(1, 0, clear(257 * 9)),
        "grey-alpha-16": deep(2, 4),
        "rgb-16": deep(3, 2),
        "rgb-16-clear": deep(3, 2, clear(257 * 9, 257 * 9, 257 * 9)),
        "rgba-16": deep(4, 6),
        "grey-16-tiff": encoded(Image.fromarray((values * 65535).astype(np.uint16)), "TIFF"),
        "grey-32-tiff": encoded(Image.fromarray((values * 70_000).astype(np.int32)), "TIFF"),
        "float-tiff": encoded(Image.fromarray(values), "TIFF"),
        "cmyk": encoded(image.convert("CMYK"), "JPEG", quality=95),
        "cmyk-tiff": encoded(image.convert("CMYK"), "TIFF"),
        "profile": encoded(image, icc_profile=profile),
        "one-pixel": encoded(image.resize((1, 1))),
        "wide": encoded(image.resize((3000, 3))),
        "tall": encoded(image.resize((2, 900))),
        "bmp": encoded(image, "BMP"),
        "mpo": encoded(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "turned": oriented("JPEG", 6, quality=95),
        "turned-png": oriented("PNG", 5),
        "turned-webp": oriented("WEBP", 7, lossless=True),
        "turned-tiff": oriented("TIFF", 3),
        "turned-xmp": encoded(image, "JPEG", quality=95, xmp=xmp),
        "turned-nowhere": oriented("JPEG", 9, quality=95),
    }


STRANGE = _all()
