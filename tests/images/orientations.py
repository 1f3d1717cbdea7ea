"""Files that hold an image's orientation in every place and form, with the number that counts. Python and the page are
held to the same ones; browsers heed only some of them."""

import base64
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from tests.images.strange import chunk, png

WIDTH, HEIGHT = 3, 2
ROWS = [bytes(range(50 * row, 50 * row + 9)) for row in range(1, HEIGHT + 1)]
BYTE, ASCII, SHORT, LONG, RATIONAL, SIGNED_SHORT, SIGNED_LONG, FLOAT = 1, 2, 3, 4, 5, 8, 9, 11
TAG, XMP_TAG = 0x0112, 700
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
# What Pillow writes for 3 x 2 pixels; constants, so that the cases are the same with every version of the codecs.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggL"
    "DAsKDAkKCgr/2wBDAQICAgICAgUDAwUKBwYHCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgr/wAAR"
    "CAACAAMDAREAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEG"
    "E1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWG"
    "h4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEB"
    "AQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYk"
    "NOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0"
    "tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDw2z+HXw++yp/xQmjfd/6BcX/xNaGZ/9k="
)
VP8L = base64.b64decode("LwJAAAAvICRIQ4E7NoUEaShwx6SQIA0F7hid//gDVACgpm0DNtT5l1Mj+h/TCw==")
"""The chunk of a lossless WebP."""


class Case(NamedTuple):
    """A file, and the orientation by which it is turned."""

    name: str
    content: bytes
    orientation: int


def exif(*entries: tuple[int, int, int, bytes], order: str = "<", after: bytes = b"") -> bytes:
    """Return a TIFF directory of entries (tag, type, count, value of 4 bytes); `after` follows it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "LH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHL", *entry[:3]) + entry[3] for entry in entries) + bytes(4) + after


def short(value: int, order: str = "<", count: int = 1, second: int = 0) -> tuple[int, int, int, bytes]:
    return TAG, SHORT, count, struct.pack(order + "HH", value, second)


def xmp(value: object, element: bool = False) -> bytes:
    said = f"<tiff:Orientation>{value}</tiff:Orientation>" if element else f'<a tiff:Orientation="{value}"/>'
    return f"<x:xmpmeta>{said}</x:xmpmeta>".encode()


def app1(body: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def jpeg(*blocks: bytes, before: bytes = b"") -> bytes:
    return JPEG[:2] + before + b"".join(map(app1, blocks)) + JPEG[2:]


def marked(*entries: tuple[int, int, int, bytes], order: str = "<", after: bytes = b"") -> bytes:
    return b"Exif\0\0" + exif(*entries, order=order, after=after)


def portable(*chunks: bytes, last: bytes = b"") -> bytes:
    whole = png(ROWS, 8, 2, WIDTH, *chunks)
    return whole[:-12] + last + whole[-12:]


def webp(flags: int, *chunks: tuple[bytes, bytes]) -> bytes:
    size = struct.pack("<L", WIDTH - 1)[:3] + struct.pack("<L", HEIGHT - 1)[:3]
    parts = [(b"VP8X", bytes([flags, 0, 0, 0]) + size), (b"VP8L", VP8L), *chunks]
    body = b"".join(name + struct.pack("<L", len(part)) + part + bytes(len(part) % 2) for name, part in parts)
    return b"RIFF" + struct.pack("<L", 4 + len(body)) + b"WEBP" + body


def tiff(*more: tuple[int, int, int, bytes], order: str = "<", after: bytes = b"") -> bytes:
    """Return a TIFF whose strip lies at the end; the entries are added to those that it needs."""
    pixels = b"".join(ROWS)
    count = 9 + len(more)
    start = 8 + 2 + 12 * count + 4

    def entry(tag: int, value: int) -> tuple[int, int, int, bytes]:
        return tag, LONG, 1, struct.pack(order + "L", value)

    bits = struct.pack(order + "3H", 8, 8, 8)
    values = {256: WIDTH, 257: HEIGHT, 259: 1, 262: 2, 273: start + 6, 277: 3, 278: HEIGHT, 279: len(pixels)}
    entries = [*(entry(*item) for item in values.items()), (258, SHORT, 3, struct.pack(order + "L", start)), *more]
    return exif(*sorted(entries), order=order, after=bits + pixels + after)


def cases() -> Iterator[Case]:
    yield from _numbers()
    yield from _directories()
    yield from _blocks()
    yield from _pngs()
    yield from _webps()
    yield from _tiffs()


def _numbers() -> Iterator[Case]:
    yield Case("no mark", jpeg(), 1)
    for value in range(10):
        yield Case(f"short {value}", jpeg(marked(short(value))), value if 1 <= value <= 8 else 1)
    yield Case("short, big-endian", jpeg(marked(short(6, ">"), order=">")), 6)
    yield Case("long", jpeg(marked((TAG, LONG, 1, struct.pack("<L", 8)))), 8)
    yield Case("long, big-endian", jpeg(marked((TAG, LONG, 1, struct.pack(">L", 8)), order=">")), 8)
    yield Case("long that is too large", jpeg(marked((TAG, LONG, 1, struct.pack("<L", 0x10006)))), 1)
    yield Case("signed short", jpeg(marked((TAG, SIGNED_SHORT, 1, struct.pack("<hh", 5, 0)))), 5)
    yield Case("signed long", jpeg(marked((TAG, SIGNED_LONG, 1, struct.pack("<l", -6)))), 1)
    yield Case("text", jpeg(marked((TAG, ASCII, 2, b"6\0\0\0"))), 6)
    yield Case("text without an end", jpeg(marked((TAG, ASCII, 1, b"7\0\0\0"))), 7)
    yield Case("text with a blank", jpeg(marked((TAG, ASCII, 3, b"6 \0\0"))), 1)
    yield Case("text elsewhere", jpeg(marked((TAG, ASCII, 5, struct.pack("<L", 26)), after=b"6\0\0\0\0")), 1)
    yield Case("words", jpeg(marked((TAG, ASCII, 9, struct.pack("<L", 26)), after=b"Right-top")), 1)
    yield Case("byte", jpeg(marked((TAG, BYTE, 1, b"\6\0\0\0"))), 1)
    yield Case("two values", jpeg(marked(short(6, count=2, second=3))), 6)
    three = jpeg(marked((TAG, SHORT, 3, struct.pack("<L", 26)), after=struct.pack("<3H", 8, 3, 1)))
    yield Case("three values elsewhere", three, 8)
    yield Case("no value", jpeg(marked((TAG, SHORT, 0, b"\6\0\0\0"))), 1)
    yield Case("a type that is none", jpeg(marked((TAG, 99, 1, b"\6\0\0\0"))), 1)


def _directories() -> Iterator[Case]:
    make, outside = (271, ASCII, 3, b"me\0\0"), (271, ASCII, 40, struct.pack("<L", 5000))
    yield Case("after another tag", jpeg(marked(make, short(6))), 6)
    yield Case("twice: the first", jpeg(marked(short(6), short(8))), 6)
    yield Case("a tag before it lies outside", jpeg(marked(outside, short(6), after=bytes(99))), 1)
    yield Case("a tag after it lies outside", jpeg(marked(short(6), (305, ASCII, 40, struct.pack("<L", 5000)))), 6)
    yield Case("a tag before it is larger than all", jpeg(marked((271, ASCII, 1 << 30, bytes(4)), short(6))), 6)
    yield Case("cut within its entry", jpeg(marked(short(6))[:-9]), 1)
    yield Case("cut after its entry", jpeg(marked(short(6))[:-4]), 6)
    yield Case("more entries promised than there are", jpeg(marked(short(6)).replace(b"\1\0\x12", b"\5\0\x12")), 6)
    yield Case("directory outside", jpeg(b"Exif\0\0II*\0" + struct.pack("<L", 900)), 1)
    yield Case("head of no TIFF", jpeg(b"Exif\0\0XX*\0" + exif(short(6))[4:]), 1)
    yield Case("head written twice", jpeg(b"Exif\0\0" + marked(short(6))), 6)


def _blocks() -> Iterator[Case]:
    told = XMP_HEAD + xmp(6)
    yield Case("two blocks: the first", jpeg(marked(short(6)), marked(short(8))), 6)
    yield Case("two blocks: only the second has it", jpeg(marked(), marked(short(8))), 1)
    yield Case("one block in two", jpeg(marked(short(6))[:20], b"Exif\0\0" + marked(short(6))[20:]), 6)
    yield Case("XMP", jpeg(told), 6)
    yield Case("XMP, an element", jpeg(XMP_HEAD + xmp(8, element=True)), 8)
    yield Case("XMP before EXIF without it", jpeg(told, marked((271, ASCII, 3, b"me\0\0"))), 6)
    yield Case("XMP and EXIF that differ: EXIF", jpeg(told, marked(short(3))), 3)
    yield Case("XMP and upright EXIF", jpeg(marked(short(1)), told), 1)
    yield Case("XMP and EXIF of 0", jpeg(marked(short(0)), told), 1)
    yield Case("XMP and damaged EXIF", jpeg(b"Exif\0\0nothing of use", told), 1)
    yield Case("XMP and empty EXIF", jpeg(b"Exif\0\0", told), 6)
    yield Case("XMP twice: the last", jpeg(told, XMP_HEAD + xmp(3)), 3)
    yield Case("XMP of 0 and 9", jpeg(XMP_HEAD + xmp(0) + xmp(6)), 1)
    yield Case("XMP of words", jpeg(XMP_HEAD + xmp("six")), 1)
    yield Case("padding between markers", jpeg(marked(short(6)), before=b"\xff\xff"), 6)
    yield Case("a comment before", jpeg(marked(short(6)), before=b"\xff\xfe\0\x08Exif\0\0"), 6)
    second = jpeg(marked(short(6)))
    yield Case("a second image behind the first", jpeg() + second, 1)
    yield Case("camera's two images", second + jpeg(marked(short(3))), 6)


def _pngs() -> Iterator[Case]:
    keyword, packed = b"XML:com.adobe.xmp", zlib.compress(xmp(6), 0)
    raw = f"\nexif\n{len(marked(short(6))):8}\n{marked(short(6)).hex()}\n".encode()
    yield Case("PNG", portable(chunk(b"eXIf", exif(short(6)))), 6)
    yield Case("PNG, at the end", portable(last=chunk(b"eXIf", exif(short(6, ">"), order=">"))), 6)
    yield Case("PNG, with a head", portable(chunk(b"eXIf", marked(short(6)))), 6)
    yield Case("PNG, XMP", portable(chunk(b"iTXt", keyword + b"\0\0\0\0\0" + xmp(6))), 6)
    yield Case("PNG, XMP with languages", portable(chunk(b"iTXt", keyword + b"\0\0\0en\0xmp\0" + xmp(8))), 8)
    yield Case("PNG, XMP packed", portable(chunk(b"iTXt", keyword + b"\0\1\0\0\0" + packed)), 6)
    yield Case("PNG, XMP packed and damaged", portable(chunk(b"iTXt", keyword + b"\0\1\0\0\0" + packed[5:])), 1)
    yield Case("PNG, XMP as text", portable(chunk(b"tEXt", keyword + b"\0" + xmp(6))), 6)
    yield Case("PNG, other text", portable(chunk(b"tEXt", b"Comment\0" + xmp(6))), 1)
    yield Case("PNG, raw profile", portable(chunk(b"tEXt", b"Raw profile type exif\0" + raw)), 6)
    packed_raw = b"Raw profile type exif\0\0" + zlib.compress(raw, 0)
    yield Case("PNG, raw profile packed", portable(chunk(b"zTXt", packed_raw)), 6)
    yield Case("PNG, raw profile and EXIF", portable(chunk(b"zTXt", packed_raw), chunk(b"eXIf", exif(short(3)))), 3)


def _webps() -> Iterator[Case]:
    odd = exif(short(6), after=b"!")
    yield Case("WebP", webp(8, (b"EXIF", exif(short(6)))), 6)
    yield Case("WebP, odd length, with a head", webp(12, (b"EXIF", b"Exif\0\0" + odd), (b"XMP ", xmp(3))), 6)
    yield Case("WebP, XMP", webp(4, (b"XMP ", xmp(8))), 8)
    yield Case("WebP, EXIF without it, XMP", webp(12, (b"EXIF", exif()), (b"XMP ", xmp(8))), 8)
    yield Case("WebP, not announced", webp(0, (b"EXIF", exif(short(6)))), 1)
    yield Case("WebP, long", webp(8, (b"EXIF", exif((TAG, LONG, 1, struct.pack(">L", 5)), order=">"))), 5)


def _tiffs() -> Iterator[Case]:
    yield Case("TIFF", tiff(short(6)), 6)
    yield Case("TIFF, big-endian", tiff(short(8, ">"), order=">"), 8)
    yield Case("TIFF, long", tiff((TAG, LONG, 1, struct.pack("<L", 5))), 5)
    yield Case("TIFF, text", tiff((TAG, ASCII, 2, b"6\0\0\0")), 6)
    packet = xmp(6)
    place = len(tiff((XMP_TAG, BYTE, len(packet), bytes(4))))
    yield Case("TIFF, XMP", tiff((XMP_TAG, BYTE, len(packet), struct.pack("<L", place)), after=packet), 6)
