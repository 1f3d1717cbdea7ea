"""COCO and Pascal VOC: real annotations, ids, splits, boxes that stick out, and files that mean harm."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.check import load_dataset
from pocketvision.data.layout import scan
from pocketvision.errors import DataError
from pocketvision.values import Box, Dataset, Example, from_json, to_json
from pocketvision.verbs.check import check


def image_batch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(np.full((40, 50, 3), number * 9, np.uint8)).save(folder / name)
    return folder


# ---------------------------------------------------------------- Pascal VOC


def page(*boxes: tuple[object, ...], head: str = "") -> str:
    things = "".join(
        f"<object><name>{name}</name><difficult>{int(name == 'hard')}</difficult><part><name>x</name></part><bndbox>"
        f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, x1, y1, x2, y2 in boxes
    )
    return f"{head}<annotation><size><width>50</width><height>40</height></size>{things}</annotation>"


def voc(root: Path, **pages: str) -> Path:
    image_batch(root / "JPEGImages", *(f"{name}.jpg" for name in pages))
    (root / "Annotations").mkdir(exist_ok=True)
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (root / f"Annotations/{name}.xml").write_text(text)
    return root


def test_real_voc(shared_data):
    listing = scan(shared_data / "bccd")
    assert (listing.kind, listing.labels) == ("boxes", ("Platelets", "RBC", "WBC"))
    assert [sum(found.split == split for found in listing.found) for split in ("train", "val", "test")] == [205, 87, 72]
    assert sum(len(found.boxes) for found in listing.found) == 4886
    assert [problem.detail.partition(") ")[2] for problem in listing.problems] == ["has no area and is not used"] * 2
    assert listing.warnings == ("No box begins at 0: they are taken to count pixels from 1, as VOC's do.",)
    width, height = 640, 480
    assert all(0 <= b.x1 < b.x2 <= width and 0 <= b.y1 < b.y2 <= height for f in listing.found for b in f.boxes)


def test_voc_boxes_and_their_first_pixel(tmp_path):
    root = voc(tmp_path, a=page(("cat", 1, 1, 50, 40), ("hard", 5, 6, 7, 8)), b=page())
    listing = scan(root)
    assert listing.labels == ("cat", "hard")
    assert listing.found[0].boxes == (Box(0, 0, 0, 50, 40), Box(1, 4, 5, 7, 8, difficult=True))
    assert listing.found[1].boxes == ()
    voc(root, b=page(("cat", 0, 0, 10, 10)))
    assert scan(root).found[0].boxes[0] == Box(0, 1, 1, 50, 40), "one zero shows that all count from 0"


def test_voc_boxes_outside(tmp_path):
    boxes = (
        ("cat", 40, 30, 70, 39),
        ("cat", 60, 5, 70, 9),
        ("cat", 9, 9, 4, 9),
        ("cat", "nan", 1, 5, 5),
        ("cat", 9, 5, 4, 8),
    )
    listing = scan(voc(tmp_path, a=page(*boxes)))
    assert listing.found[0].boxes == (Box(0, 39, 29, 50, 39), Box(0, 3, 4, 9, 8))
    assert listing.warnings == ("No box begins at 0: they are taken to count pixels from 1, as VOC's do.",)
    assert [problem.detail.partition(") ")[2] for problem in listing.problems] == [
        "sticks out of the image and is clipped",
        "lies outside the image and is not used",
        "has no area and is not used",
        "has no area and is not used",
        "is the wrong way round; its corners are exchanged",
    ]
    assert {(problem.file, problem.left_out) for problem in listing.problems} == {("JPEGImages/a.jpg", False)}


def test_voc_sets(tmp_path):
    root = voc(tmp_path, **{name: page(("cat", 1, 1, 9, 9)) for name in "abcd"})
    sets = root / "ImageSets/Main"
    (sets / "train.txt").write_text("a 1\n\nb -1\n")
    (sets / "val.txt").write_text("c\ngone\n")
    (sets / "cat_train.txt").write_text("a 1\n")
    listing = scan(root)
    assert [(found.file[-5:], found.split) for found in listing.found] == [
        ("a.jpg", "train"),
        ("b.jpg", "train"),
        ("c.jpg", "val"),
    ]
    assert "1 annotations are in no set" in listing.warnings[0]
    assert "have no annotation and were not used: gone" in listing.warnings[1]
    (sets / "val.txt").write_text("a\n")
    with pytest.raises(DataError, match=r"'a' of .* is in train.txt and in val.txt"):
        scan(root)


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (page(("&b;", 1, 1, 5, 5), head=LAUGHS).encode(), "declares a document type"),
        (page(head='<!DOCTYPE x SYSTEM "file:///etc/passwd">').encode(), "declares a document type"),
        (('<?xml version="1.0" encoding="utf-16"?>' + LAUGHS + page()).encode("utf-16"), "declares a document type"),
        (page(("&b;", 1, 1, 5, 5)).encode(), "is no XML: undefined entity"),
        (b"<annotation>", "is no XML"),
        (b"", "is no XML"),
        (b"<a>" * 500_000, "is no XML"),
        (b" " * 5_000_000, "more than 4000000 bytes"),
        (page(("cat", "one", 1, 5, 5)).encode(), "'one' as bndbox/xmin"),
        (page(("", 1, 1, 5, 5)).encode(), "an object without a name"),
    ],
)
def test_hostile_xml(tmp_path, content, message):
    root = voc(tmp_path, a=page(("cat", 1, 1, 9, 9)))
    (root / "Annotations/a.xml").write_bytes(content)
    with pytest.raises(DataError, match=message):
        scan(root)


# ---------------------------------------------------------------- COCO


def coco(**changes: object) -> dict[str, object]:
    content: dict[str, object] = {
        "images": [{"id": 7, "file_name": "1.png", "width": 50, "height": 40}, {"id": 5, "file_name": "2.png"}],
        "annotations": [
            {"image_id": 7, "category_id": 90, "bbox": [1, 2, 3.5, 4], "iscrowd": 1},
            {"image_id": 7, "category_id": 3, "bbox": [0, 0, 50, 40]},
        ],
        "categories": [{"id": 90, "name": "brush"}, {"id": 3, "name": "car"}, {"id": 4, "name": "unused"}],
    }
    return content | changes


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_coco_ids_become_dense_and_images_without_boxes_stay(tmp_path):
    image_batch(tmp_path, "1.png", "2.png")
    path = put(tmp_path / "boxes.json", coco())
    listing = scan(path)
    assert listing.labels == ("car", "brush")
    assert listing.warnings == ("Classes without a box, which are left away: 'unused'.",)
    assert [(found.file, found.boxes) for found in listing.found] == [
        ("1.png", (Box(1, 1, 2, 4.5, 6, crowd=True), Box(0, 0, 0, 50, 40))),
        ("2.png", ()),
    ]


def test_coco_folders_of_equal_names(tmp_path):
    for split in ("train", "val"):
        image_batch(tmp_path / f"{split}2017", "1.png", "2.png")
        put(tmp_path / f"annotations/instances_{split}2017.json", coco())
    listing = scan(tmp_path)
    assert [(found.file, found.split) for found in listing.found] == [
        ("train2017/1.png", "train"),
        ("train2017/2.png", "train"),
        ("val2017/1.png", "val"),
        ("val2017/2.png", "val"),
    ]
    alone = scan(tmp_path / "annotations/instances_val2017.json")
    assert {(found.file, found.split) for found in alone.found} == {("val2017/1.png", None), ("val2017/2.png", None)}


def test_coco_beside_the_images_of_each_split(tmp_path):
    for split in ("train", "valid"):
        image_batch(tmp_path / split, "1.png", "2.png")
        put(tmp_path / split / "_annotations.coco.json", coco())
    assert {found.file.split("/")[0]: found.split for found in scan(tmp_path).found} == {
        "train": "train",
        "valid": "val",
    }


def test_coco_splits_must_have_the_same_categories(tmp_path):
    image_batch(tmp_path, "1.png", "2.png")
    put(tmp_path / "instances_train.json", coco())
    other = [{"id": 3, "name": "cars"}, {"id": 4, "name": "unused"}, {"id": 90, "name": "brush"}]
    put(tmp_path / "instances_val.json", coco(categories=other, annotations=[]))
    with pytest.raises(DataError, match=r"only in .*train.json': 'car'; only in .*val.json': 'cars'"):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ({}, "is no COCO file"),
        ([], "there is no box in"),
        (coco(images={}), "'images' of .* is no list"),
        (coco(images=[{"id": 1}]), "entry 1 of 'images' .* no file_name of type str"),
        (coco(images=[{"id": 1, "file_name": "../1.png"}]), "the image 1 of .*only paths below"),
        (coco(images=[{"id": 1, "file_name": "gone.png"}]), "there is no such file"),
        (
            coco(images=[{"id": 1, "file_name": "1.png"}, {"id": 1, "file_name": "2.png"}]),
            "one id to two of its images",
        ),
        (coco(images=[{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "1.png"}]), "'1.png' .*listed twice"),
        (coco(categories=[]), "no categories"),
        (coco(categories=[{"id": 3, "name": "a"}, {"id": 90, "name": "a"}]), "two categories of one name"),
        (coco(annotations=[{"image_id": 7, "category_id": 1, "bbox": [1, 1, 1, 1]}]), "category 1; known are '3'"),
        (coco(annotations=[{"image_id": 7, "category_id": 3, "bbox": [1, 1, 1]}]), "not x, y, width, height"),
    ],
)
def test_hostile_coco(tmp_path, content, message):
    image_batch(tmp_path, "1.png", "2.png")
    with pytest.raises(DataError, match=message):
        scan(put(tmp_path / "boxes.json", content))


def test_coco_boxes_that_are_none(tmp_path):
    image_batch(tmp_path, "1.png", "2.png")
    text = '{"image_id": 7, "category_id": 3, "bbox": [%s, 0, 5, 5]}'
    stray = '{"image_id": 99, "category_id": 3, "bbox": [0, 0, 5, 5]}'
    boxes = ", ".join([text % "NaN", text % "1e999", text % ("9" * 400), stray])
    content = json.dumps(coco(annotations=[])).replace('"annotations": []', f'"annotations": [{boxes}]')
    listing = scan(put(tmp_path / "boxes.json", content))
    assert [problem.kind for problem in listing.problems] == ["box"] * 3
    assert listing.found[0].boxes == ()
    assert listing.warnings == ("1 boxes of 'boxes.json' are of images it does not list; they are not used.",)


# ---------------------------------------------------------------- the way through


def test_boxes_are_counted_and_examples_have_them_as_shares(tmp_path):
    root = voc(
        tmp_path, **{name: page(("cat", 1, 1, 9, 9), ("dog", 1, 1, 9, 9), ("dog", 3, 3, 9, 9)) for name in "abcdef"}
    )
    health = check(root)
    assert (health.kind, health.labels) == ("boxes", ("cat", "dog"))
    assert {label: sum(splits.values()) for label, splits in health.counts.items()} == {"cat": 6, "dog": 12}
    dataset, again, _ = load_dataset(root)
    assert again == health
    cat, dog, other = sorted(dataset.examples[0].target, key=lambda box: (box.label, box.x1))
    assert cat == Box(0, 0, 0, 0.18, 0.225, area=81), "shares of 50 x 40, from 1"
    assert (dog.label, other) == (1, Box(1, 0.04, 0.05, 0.18, 0.225, area=49))


def test_boxes_go_to_json_and_back():
    example = Example("1.png", (Box(0, 1, 2, 3.5, 4, crowd=True),), "train", "0")
    dataset = Dataset(
        "r",
        ("a",),
        (
            example,
            Example("2.png", (0, None), "val", "1"),
            Example("3.png", 2, "val", "2"),
            Example("4.png", None, "val", "3"),
        ),
        kind="boxes",
    )
    assert from_json(Dataset, json.loads(json.dumps(to_json(dataset)))) == dataset
