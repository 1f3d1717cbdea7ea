"""Bytes under the compressors that stores and web servers use."""

import gzip
import zlib

import pytest

from pocketvision.errors import MissingExtra, UnknownName
from pocketvision.packing import COMPRESSORS, copies_of, installed, packed_bytes

TEXT = b"the same words, " * 500


def test_deflate_is_always_there():
    assert packed_bytes(TEXT) == packed_bytes(TEXT, "deflate") == len(zlib.compress(TEXT, 9))
    assert "deflate" in installed()


@pytest.mark.parametrize("name", COMPRESSORS)
def test_every_compressor_packs_or_names_its_extra(name):
    if name in installed():
        assert 0 < packed_bytes(TEXT, name) < 200
    else:
        with pytest.raises(MissingExtra, match=r"pocketvision\[download\]"):
            packed_bytes(TEXT, name)


@pytest.mark.extra("brotli")
def test_brotli_restores():
    import brotli

    packed = COMPRESSORS["brotli"](TEXT)
    assert brotli.decompress(packed) == TEXT
    assert len(packed) < packed_bytes(TEXT)


@pytest.mark.extra("zstandard")
def test_zstd_restores():
    import zstandard

    assert zstandard.ZstdDecompressor().decompress(COMPRESSORS["zstd"](TEXT)) == TEXT


def test_another_name_is_told():
    with pytest.raises(UnknownName, match="brotli"):
        packed_bytes(TEXT, "brotly")


def test_copies_restore_and_are_the_same_bytes_each_time():
    found = copies_of(TEXT)
    assert gzip.decompress(found[".gz"]) == TEXT
    assert found == copies_of(TEXT)
    assert (".br" in found) == ("brotli" in installed())


@pytest.mark.extra("brotli")
def test_copies_of_large_files_restore():
    import brotli

    content = TEXT * 600
    found = copies_of(content)
    assert len(content) > 4_000_000
    assert brotli.decompress(found[".br"]) == gzip.decompress(found[".gz"]) == content
