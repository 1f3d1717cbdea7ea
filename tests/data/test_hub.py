"""`hf://name` against a stand-in for the package `datasets`: nothing here reaches a network."""

import io
import sys
import types

import pytest
from PIL import Image

from pocketvision.data.digits import resolve
from pocketvision.data.layout import scan
from pocketvision.errors import DataError, MissingExtra, UsageError


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


class ClassLabel:
    names = ("dog", "cat, tabby")


class StandIn:
    def __init__(self, rows, **features):
        self.rows, self.features = rows, features

    def cast_column(self, column, feature):
        assert not feature.decode
        assert type(self.features[column]).__name__ == "Image"
        return self.rows


class Hub(types.ModuleType):
    def __init__(self):
        super().__init__("datasets")
        self.calls = []

        class Image:
            def __init__(self, decode=True):
                self.decode = decode

        self.Image = Image
        rows = [{"img": {"bytes": png(index * 9), "path": None}, "fine": index % 2} for index in range(6)]
        test = [
            {"img": {"bytes": png(99), "path": None}, "fine": 0},
            {"img": {"bytes": png(98), "path": None}, "fine": -1},
        ]
        self.tables = {
            "train": StandIn(rows, img=Image(), fine=ClassLabel()),
            "test": StandIn(test, img=Image(), fine=ClassLabel()),
            "unsupervised": StandIn([], img=Image(), fine=ClassLabel()),
        }

    def load_dataset(self, name, config, *, revision):
        self.calls.append((name, config, revision))
        if name == "gone":
            raise ConnectionError("no such data set")
        return self.tables


@pytest.fixture
def hub(monkeypatch, tmp_path):
    stand_in = Hub()
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    return stand_in


def test_images_become_files_and_a_manifest_once(hub):
    folder = resolve("hf://someone/pets@v1.0:small")
    assert resolve("hf://someone/pets@v1.0:small") == folder
    assert hub.calls == [("someone/pets", "small", "v1.0")]
    listing = scan(folder)
    assert listing.labels == ("cat, tabby", "dog")
    assert [found.split for found in listing.found].count("test") == 1
    assert len(listing.found) == 7
    assert (folder / listing.found[0].file).read_bytes().startswith(b"\x89PNG")
    assert resolve("hf://someone/pets") != folder
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_what_can_go_wrong(hub, monkeypatch):
    with pytest.raises(DataError, match="hf://gone cannot be loaded: no such data set"):
        resolve("hf://gone")
    hub.tables["train"].features["coarse"] = ClassLabel()
    with pytest.raises(DataError, match="has 0 columns for the label; it has 'img', 'fine', 'coarse'"):
        resolve("hf://pets")
    for name in ("hf://", "hf://a/b/c", "hf://a b", "hf://../../x"):
        with pytest.raises(UsageError, match="is no data set of the hub"):
            resolve(name)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pocketvision\[hub\]"):
        resolve("hf://pets")
