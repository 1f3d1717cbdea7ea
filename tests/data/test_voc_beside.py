"""Pascal VOC's annotations beside their images: labelImg's default, and Roboflow's split folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.check import load_dataset
from pocketvision.data.layout import scan
from pocketvision.errors import DataError
from pocketvision.progress import Silent

BOX = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>4</ymin><xmax>{}</xmax><ymax>30</ymax></bndbox></object>"


def annotate(folder: Path, stem: str, *boxes: tuple[str, int, int], suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(stem) * 100 + sum(map(ord, stem))).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"{stem}{suffix}")
    inside = "".join(BOX.format(*box) for box in boxes)
    text = f"<annotation><filename>{stem}{suffix}</filename><size><width>64</width><height>48</height></size>{inside}"
    (folder / f"{stem}.xml").write_text(f"{text}</annotation>", encoding="utf-8")


def test_a_folder_of_images_with_annotations_beside_them(tmp_path):
    for number in range(3):
        annotate(tmp_path, f"photo {number}", ("cat", 0, 20), ("dog", 30, 60))
    annotate(tmp_path, "empty")
    Image.new("RGB", (64, 48)).save(tmp_path / "loose.png")
    (tmp_path / "loose.xml").write_text("<other/>", encoding="utf-8")
    listing = scan(tmp_path)
    assert (listing.kind, listing.labels) == ("boxes", ("cat", "dog"))
    assert [found.file for found in listing.found] == ["empty.png", *(f"photo {place}.png" for place in range(3))]
    assert [len(found.boxes) for found in listing.found] == [0, 2, 2, 2]
    first = listing.found[1].boxes[0]
    assert (first.label, first.x1, first.y1, first.x2, first.y2) == (0, 0, 4, 20, 30)
    assert listing.warnings == ("1 images have no .xml beside them and were not used.",)


def test_split_folders_keep_their_splits(tmp_path):
    for split, count in (("train", 4), ("valid", 2), ("test", 1)):
        for number in range(count):
            annotate(tmp_path / split, f"{split}{number}", ("cat", 1, 20), ("dog", 30, 60), suffix=".jpg")
    dataset, _, _ = load_dataset(tmp_path, val=0.15, test=0.15, seed=42, progress=Silent())
    assert [len(dataset.of(split)) for split in ("train", "val", "test")] == [4, 2, 1]
    box = dataset.of("train")[0].target[0]
    assert (box.x1, box.x2) == (0.0, pytest.approx(20 / 64))  # they count from 1


def test_annotations_without_any_box_are_told(tmp_path):
    annotate(tmp_path, "empty")
    with pytest.raises(DataError, match=r"no box in the \.xml files"):
        scan(tmp_path)


def test_other_xml_beside_images_is_nothing_of_ours(tmp_path):
    for label in ("cats", "dogs"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (64, 48)).save(tmp_path / label / "one.png")
        (tmp_path / label / "one.xml").write_text("<xmp/>", encoding="utf-8")
    assert scan(tmp_path).kind == "classes"
