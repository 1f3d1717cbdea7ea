"""A run that goes on has the images and the labels that it began with, whatever the files' names and times say."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.arrays import prepared
from pocketvision.data.check import load_dataset
from pocketvision.errors import DataError
from pocketvision.progress import Silent
from pocketvision.train.inputs import Loaded, load_data
from pocketvision.values import ImageSpec


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a table of images that all have one size, in pixels and in bytes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = ["filename,label"]
    for number in range(16):
        draw(folder / f"{number}.bmp", number)
        rows.append(f"{number}.bmp,{'cat' if number % 2 else 'dog'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def draw(path: Path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    os.utime(path, (1_000_000_000, 1_000_000_000))


def begin(photos: Path) -> Loaded:
    run = photos.parent / "run"
    run.mkdir(exist_ok=True)
    return load_data(photos / "labels.csv", run, val=0.2, test=0.2, seed=0, progress=Silent())


def test_the_same_data_goes_on(photos: Path) -> None:
    first = begin(photos)
    assert begin(photos).dataset.examples == first.dataset.examples
    assert first.given == photos / "labels.csv"


def test_a_label_that_changed_in_the_table_is_told(photos: Path) -> None:
    begin(photos)
    table = photos / "labels.csv"
    table.write_text(table.read_text().replace("\n3.bmp,cat", "\n3.bmp,dog"))
    with pytest.raises(DataError, match=r"of 1 images have changed .*'3\.bmp' was labeled 'cat' and is labeled 'dog'"):
        begin(photos)
    table.write_text(table.read_text().replace("\n3.bmp,dog", ""))
    with pytest.raises(DataError, match=r"'3\.bmp' was labeled 'cat' and is no longer named"):
        begin(photos)


def test_another_image_of_the_same_name_size_and_time_is_told(photos: Path) -> None:
    begin(photos)
    before = (photos / "3.bmp").stat()
    draw(photos / "3.bmp", 99)
    after = (photos / "3.bmp").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(DataError, match=r"1 images have changed since the run began, '3\.bmp' first"):
        begin(photos)


def test_no_cache_takes_another_image_for_the_one_that_had_its_name(photos: Path) -> None:
    spec = ImageSpec(16)

    def pixels() -> dict[str, np.ndarray]:
        dataset, _, decoded = load_dataset(photos / "labels.csv", seed=0)
        rows = prepared(dataset, dataset.examples, spec, decoded=decoded)
        return {example.file: row for example, row in zip(dataset.examples, rows, strict=True)}

    before = pixels()
    draw(photos / "3.bmp", 99)
    after = pixels()
    differ = {file for file in before if not np.array_equal(before[file], after[file])}
    assert differ == {"3.bmp"}


def test_a_run_goes_on_with_the_folder_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for seed, place in enumerate(("one", "two")):
        for number in range(16):
            path = tmp_path / place / "photos" / ("cat", "dog")[number % 2] / f"{number}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(path, 100 * seed + number)
    for place in ("one", "two"):
        monkeypatch.chdir(tmp_path / place)
        loaded = load_data("photos", run, val=0.2, test=0.2, seed=0, progress=Silent())
        assert loaded.given == tmp_path / "one" / "photos"
    (tmp_path / "one").rename(tmp_path / "away")
    with pytest.raises(DataError, match="images have changed"):
        load_data("photos", run, val=0.2, test=0.2, seed=0, progress=Silent())
    monkeypatch.chdir(tmp_path / "away")
    assert load_data("photos", run, val=0.2, test=0.2, seed=0, progress=Silent()).given.parent == tmp_path / "away"
