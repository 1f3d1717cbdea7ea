"""Where published weights come from: the list itself."""

import hashlib

import pytest

from pocketvision.errors import UnknownName
from pocketvision.models.catalogue import family_of, names
from pocketvision.weights import find, sources
from pocketvision.weights.recognize import settings, widths

LAYOUTS = {"torchvision", "timm", "lukemelas", "keras", "authors", "tflite"}


def test_the_list_is_sound():
    assert len({entry.file for entry in sources()}) == len(sources())
    assert {entry.layout for entry in sources()} == LAYOUTS
    for entry in sources():
        assert entry.name in names()
        assert entry.width in widths(entry.name)
        assert entry.padding in family_of(entry.name).paddings, entry.file
        assert [bool(place) for place in (entry.url, entry.repo, entry.package)].count(True) == 1
        assert entry.page.startswith("https://")
        assert entry.package or entry.page.endswith((".pth", ".safetensors", ".tflite", ".h5", ".net", ".tar"))
        assert entry.license
        assert entry.published
        assert entry.recipe
        if entry.top1 is not None and entry.top5 is not None:
            assert 30 < entry.top1 < entry.top5 < 100


def test_digests_are_whole_or_written_into_the_file_name():
    unchecked = set()
    for entry in sources():
        if entry.layout == "torchvision":
            assert entry.file.endswith(f"-{entry.sha256}.pth")
            assert len(entry.sha256) in (8, 10)
        elif entry.repo is None and not entry.md5:
            assert len(entry.sha256) in (0, 64)
            unchecked |= {entry.provider} if not entry.sha256 else set()
        assert not (entry.md5 and entry.sha256)
        assert len(entry.md5) in (0, 32)
        assert entry.repo is None or entry.revision == "main"
    assert unchecked == {"Keras MobileNetV2"}


def test_every_width_of_the_catalogue_that_is_published_is_recognized_by_its_number_of_weights():
    counted = {(setting.name, setting.width) for setting in settings()}
    assert {(entry.name, entry.width) for entry in sources() if entry.layout == "tflite"} <= counted


def test_the_grids_are_whole():
    keras = [(entry.name, entry.width, entry.image.resolution) for entry in sources() if entry.layout == "keras"]
    first = {("mobilenet_v1", width, side) for width in (1, 0.75, 0.5, 0.25) for side in (224, 192, 160, 128)}
    second = {("mobilenet_v2", width, side) for width in (1, 0.75, 0.5, 0.35) for side in (224, 192, 160, 128, 96)}
    assert set(keras) >= first | second | {("mobilenet_v2", 1.3, 224), ("mobilenet_v2", 1.4, 224)}


def test_digests_and_sizes_are_those_of_the_real_files(shared_weights):
    here = [entry for entry in sources() if (shared_weights / entry.file).is_file()]
    assert len(here) == 9
    for entry in here:
        content = (shared_weights / entry.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry.sha256
        assert len(content) == entry.size_bytes


def test_find_gives_the_preferred_source_or_none():
    assert find("mobilenet_v2", 1.0).file == "mobilenet_v2-b0353104.pth"
    assert find("mobilenet_v2", 0.5).repo == "timm/mobilenetv2_050.lamb_in1k"
    assert find("mobilenet_v1", 0.25).image.resolution == 128
    assert find("mobilenet_v1", 0.25, 224).file == "mobilenet_2_5_224_tf.h5"
    assert find("mobilenet_v2", 0.1) is None
    with pytest.raises(UnknownName, match="Did you mean 'mobilenet_v2'"):
        find("mobilenet_v22", 1.0)
