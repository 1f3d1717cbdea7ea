"""What a file weighs on its way to the phone: bytes under the compressors of stores and web servers."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from pocketvision.errors import MissingExtra, UnknownName

_ZSTD_LEVEL = 19
"""The highest that needs no more memory to unpack than browsers grant."""


def _deflate(content: bytes) -> bytes:
    return zlib.compress(content, 9)


def _brotli(content: bytes, quality: int = 11) -> bytes:
    try:
        import brotli
    except ImportError as error:
        raise MissingExtra("brotli", "download") from error
    packed: bytes = brotli.compress(content, quality=quality)
    return packed


def _zstd(content: bytes) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtra("zstandard", "download") from error
    packed: bytes = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(content)
    return packed


DEFLATE = "deflate"
COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {DEFLATE: _deflate, "brotli": _brotli, "zstd": _zstd}
"""By name, each at its best: a file is packed once and sent many times."""
_PACKAGES = {"brotli": "brotli", "zstd": "zstandard"}

CODINGS: Mapping[str, str] = {"br": ".br", "gzip": ".gz"}
"""What HTTP calls a packed content, with the suffix of a copy beside the file; the smaller first."""
_LARGE = 4_000_000
"""Bytes from which copies are packed less thoroughly: 14 MB of WebAssembly take 53 s at brotli's best, 1 s at 5, which
leaves a fifth more."""


def packed_bytes(content: bytes, compressor: str = DEFLATE) -> int:
    """Return the bytes that are left of a content; raises UnknownName, or MissingExtra where a package is absent."""
    if compressor not in COMPRESSORS:
        raise UnknownName("compressor", compressor, COMPRESSORS)
    return len(COMPRESSORS[compressor](content))


def installed() -> tuple[str, ...]:
    """Return the compressors that are at hand here."""
    return tuple(name for name in COMPRESSORS if name not in _PACKAGES or find_spec(_PACKAGES[name]) is not None)


def copies_of(content: bytes) -> dict[str, bytes]:
    """Return what a web server may send instead of a content, by suffix: gzip, and brotli where that is installed."""
    large = len(content) >= _LARGE
    found = {CODINGS["gzip"]: gzip.compress(content, 6 if large else 9, mtime=0)}
    return found | ({CODINGS["br"]: _brotli(content, 5 if large else 11)} if "brotli" in installed() else {})
