"""Folders of the program's own that lie among the user's images: known as such, and never mistaken for a class."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.data.layout import scan
from pocketvision.errors import DataError, RunExists
from pocketvision.files import claim, write_bytes, write_text
from pocketvision.runs import open_run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number in range(24):
        put(root / ("cat", "dog")[number % 2] / f"{number}.png", number)
    return root


def put(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def test_a_training_inside_its_data_can_be_repeated(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    tiny = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "epochs": 1, "weights": "none"}
    first = pocketvision.train(".", **tiny)
    again = pocketvision.train(".", **tiny)
    assert Path(again.run).parent == Path(first.run).parent == Path("runs/train")
    assert first.trained.data_digest == again.trained.data_digest
    assert pocketvision.check(".").labels == ("cat", "dog")


def test_runs_reports_and_exports_are_no_classes(photos: Path) -> None:
    before = scan(photos)
    open_run(photos, "fit", "at-the-top", settings={})
    open_run(photos / "runs", "fit", "one", settings={})
    run = open_run(photos / "cat" / "runs", "train", "two", settings={})
    put(run / "wrong" / "1.png", 99)
    (photos / "runs" / ".DS_Store").write_text("")
    pocketvision.check(photos, output=photos / "report")
    pocketvision.check(photos, output=photos / "dog" / "reports" / "new")
    claim(photos / "net-export", "manifest.json")
    write_text(photos / "net-export" / "manifest.json", "{}")
    claim(photos / "demo", "demo.json")
    write_bytes(photos / "demo" / "icons" / "1.png", (photos / "cat" / "0.png").read_bytes())
    assert scan(photos) == before


def test_images_that_the_user_put_into_such_a_folder_count(photos: Path) -> None:
    pocketvision.check(photos, output=photos / "bird")
    put(photos / "bird" / "1.png", 1000)
    assert scan(photos).labels == ("bird", "cat", "dog")


def test_a_class_that_gets_a_report_stays_a_class(photos: Path) -> None:
    pocketvision.check(photos, output=photos / "cat")
    pocketvision.check(photos, output=photos / "cat")
    listing = scan(photos)
    assert listing.labels == ("cat", "dog")
    assert len(listing.found) == 24


def test_a_class_named_runs_is_a_class(photos: Path) -> None:
    put(photos / "runs" / "1.png", 1000)
    open_run(photos / "runs", "fit", "one", settings={})
    assert scan(photos).labels == ("cat", "dog", "runs")


def test_an_empty_folder_is_still_told(photos: Path) -> None:
    (photos / "runs" / "fit").mkdir(parents=True)
    with pytest.raises(DataError, match="runs"):
        scan(photos)


def test_a_report_overwrites_no_file_of_the_users(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "check.json").write_text("{}")
    with pytest.raises(RunExists, match=r"check\.json exists .*--output"):
        pocketvision.check(photos, output=tmp_path / "mine")
    assert [path.read_text() for path in (tmp_path / "mine").iterdir()] == ["{}"]
    for _ in range(2):
        pocketvision.check(photos, output=tmp_path / "report")
