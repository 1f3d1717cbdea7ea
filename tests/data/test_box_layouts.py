"""YOLO, Create ML and tables of boxes: what they say, where their images lie, and files that mean harm."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.layout import root_of, scan
from pocketvision.errors import DataError
from pocketvision.values import Box
from pocketvision.verbs.check import check


def photos(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng([number, len(name)]).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / name)
    return root


def write(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def boxes(root: Path) -> dict[str, tuple[Box, ...]]:
    return {found.file: found.boxes for found in scan(root).found}


def splits(root: Path) -> dict[str, str | None]:
    return {found.file: found.split for found in scan(root).found}


def details(problems: Iterable[object]) -> list[str]:
    return [str(problem.detail).partition(") ")[2] for problem in problems]  # type: ignore[attr-defined]


# ---------------------------------------------------------------- YOLO

YAML = "names: [cat, 'no', dog]\nnc: 3\ntrain: images/train\nval: images/val\ntest:\ndownload: |\n  import os\n"


def yolo(root: Path, yaml: str = YAML) -> Path:
    photos(root, *(f"images/train/{name}.png" for name in "abc"), "images/val/d.png")
    write(root, **{"data.yaml": yaml, "labels/train/a.txt": "0 0.5 0.5 0.2 0.4\n2 0.1 0.1 0.2 0.2\n"})
    write(root, **{"labels/train/b.txt": "\n", "labels/val/d.txt": "1 .5 .5 .1 .1\n"})
    return root


def test_yolo(tmp_path):
    listing = scan(yolo(tmp_path))
    assert (listing.kind, listing.labels, listing.warnings) == ("boxes", ("cat", "no", "dog"), ())
    assert boxes(tmp_path)["images/train/a.png"] == (Box(0, 0.4, 0.3, 0.6, 0.7), Box(2, 0, 0, 0.2, 0.2))
    assert boxes(tmp_path)["images/train/b.png"] == boxes(tmp_path)["images/train/c.png"] == ()
    assert splits(tmp_path)["images/val/d.png"] == "val"
    assert {(found.shares, found.frame) for found in listing.found} == {(True, "upright")}
    assert scan(tmp_path / "data.yaml").found == listing.found
    assert root_of(tmp_path / "data.yaml") == tmp_path
    assert check(tmp_path).counts["cat"] == {"train": 1, "val": 0, "test": 0}


@pytest.mark.parametrize(
    "yaml",
    [
        "path: ../datasets/mine\nnames:\n  0: cat\n  2: dog\n  1: no\ntrain: images/train\nval: images/val\n",
        "names: [cat, no, dog]\ntrain: ../images/train\nval: ../images/val\n",
        "names: [cat, no, dog]\ntrain: /content/mine/images/train\nval: C:\\mine\\images\\val\n",
        "path: images\nnames: [cat, no, dog]\ntrain: train\nval: [val]\n",
        "names: [cat, no, dog]\ntrain: [images/train, images/train]\nvalid: images/val\ntest: images/val\n",
    ],
)
def test_yolo_as_others_write_it(tmp_path, yaml):
    root = yolo(tmp_path, yaml)
    listing = scan(root)
    assert set(listing.labels) == {"cat", "no", "dog"}
    assert listing.labels[2] == "dog"
    assert [split for _, split in sorted(splits(root).items())] == ["train"] * 3 + ["val"]


def test_yolo_lists_of_images(tmp_path):
    root = yolo(tmp_path, "names: [cat, no, dog]\ntrain: train.txt\nval: lists/val.txt\n")
    write(root, **{"train.txt": "./images/train/a.png\nimages/train/b.png\nimages/train/gone.png\n"})
    write(root, **{"lists/val.txt": "/content/mine/images/val/d.png\n"})
    listing = scan(root)
    assert splits(root) == {"images/train/a.png": "train", "images/train/b.png": "train", "images/val/d.png": "val"}
    assert [(problem.file, problem.kind) for problem in listing.problems] == [("images/train/gone.png", "missing")]
    assert listing.warnings == ("Paths of 'val.txt' lead out of the folder; their ends, which lie in it, are used.",)


def test_yolo_outlines_and_boxes_outside(tmp_path):
    root = yolo(tmp_path)
    outline = "0 0.1 0.2 0.3 0.2 0.3 0.6 0.2 0.7\n"
    write(root, **{"labels/train/c.txt": outline + "0 0.95 0.5 0.2 0.2\n0 3 3 1 1\n0 .5 .5 0 .1\n0 .5 .5 -.2 .2\n"})
    listing = scan(root)
    found = boxes(root)["images/train/c.png"]
    assert [box.label for box in found] == [0] * 3
    assert found[0] == Box(0, 0.1, 0.2, 0.3, 0.7)
    assert (found[1].x2, found[2].x1) == (1, pytest.approx(0.4))
    assert listing.warnings == ("1 lines hold an outline; the box around it is used.",)
    assert details(listing.problems) == [
        "sticks out of the image and is clipped",
        "lies outside the image and is not used",
        "has no area and is not used",
        "is the wrong way round; its corners are exchanged",
    ]


def test_yolo_without_yaml(tmp_path):
    photos(tmp_path, "images/1.png", "images/2.png")
    write(tmp_path, **{"labels/1.txt": "1 .5 .5 .5 .5"})
    with pytest.raises(DataError, match=r"nothing names their classes: add classes.txt"):
        scan(tmp_path)
    write(tmp_path, **{"classes.txt": "cat\ndog\n"})
    listing = scan(tmp_path)
    assert (listing.labels, splits(tmp_path)) == (("dog",), {"images/1.png": None, "images/2.png": None})
    photos(tmp_path / "images", "train/1.png", "val/2.png")
    for path in (tmp_path / "images").glob("*.png"):
        path.unlink()
    write(tmp_path, **{"labels/train/1.txt": "1 .5 .5 .5 .5"})
    assert splits(tmp_path) == {"images/train/1.png": "train", "images/val/2.png": "val"}


def test_yolo_beside_the_images(tmp_path):
    photos(tmp_path, "obj/1.png", "obj/2.png")
    write(tmp_path, **{"obj/1.txt": "0 .5 .5 .5 .5", "data.yml": "names: [cat]\ntrain: obj\n"})
    assert boxes(tmp_path) == {"obj/1.png": (Box(0, 0.25, 0.25, 0.75, 0.75),), "obj/2.png": ()}


@pytest.mark.parametrize(
    ("yaml", "text", "message"),
    [
        (YAML, "3 .5 .5 .1 .1", r"line 1 of .*a.txt' has the class 3; 'data.yaml' knows 0, 1, 2"),
        (YAML, "\n0.5 .5 .5 .1 .1", "line 2 of .* has the class 0.5"),
        (YAML, "nan .5 .5 .1 .1", "has no class number"),
        (YAML, "0 .5 .5 .1", "has 4 numbers; a box has 5"),
        (YAML, "0 .5 .5 .1 .1 .9", "has 6 numbers"),
        (YAML, "cat .5 .5 .1 .1", "is no box: a class number"),
        (YAML.replace("nc: 3", "nc: 2"), "", "says nc: 2, but has 3 names"),
        (YAML.replace("images/train", "images/gone"), "", "names 'images/gone', and there is no such folder"),
        (YAML.replace("images/train", "../../../etc"), "", "there is no such folder"),
        (YAML.replace("train:", "test:", 1).replace("\ntest:\n", "\n"), "", "none for train"),
        (YAML.replace("'no'", "cat"), "", "one name or number twice"),
        (YAML.replace("'no'", "[no]"), "", r"\['no'\], which is no name"),
        (YAML.replace("[cat, 'no', dog]", "{a: cat}"), "", "'a', which is no number"),
        (YAML.replace("images/val", "images/train/a.png"), "", "no UTF-8 text"),
    ],
)
def test_hostile_yolo(tmp_path, yaml, text, message):
    root = yolo(tmp_path, yaml)
    write(root, **{"labels/train/a.txt": text})
    with pytest.raises(DataError, match=message):
        scan(root)


def test_nothing_of_a_yaml_file_is_run(tmp_path):
    root = yolo(tmp_path)
    path = root / "data.yaml"
    path.write_text("names: !!python/object/apply:os.mkdir ['" + str(tmp_path / "made") + "']\ntrain: images/train\n")
    with pytest.raises(DataError, match="has the class 2"):  # the tag is passed over, its list is one name
        scan(path)
    assert not (tmp_path / "made").exists()
    path.write_text("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nnames: [*c]\ntrain: images/train\n")
    with pytest.raises(DataError, match="no name of a class"):
        scan(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="no YAML"):
        scan(path)


# ---------------------------------------------------------------- tables

HEAD = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def test_a_table_of_boxes(tmp_path):
    photos(tmp_path, "images/1.png", "images/2.png", "images/3.png")
    rows = "1.png,50,40,cat,1,2,30,40\n1.png,50,40,dog,20,10,5,30\n2.png,50,40,,,,,\n"
    write(tmp_path, **{"boxes.csv": HEAD + rows})
    listing = scan(tmp_path)
    assert (listing.kind, listing.labels) == ("boxes", ("cat", "dog"))
    assert boxes(tmp_path) == {"images/1.png": (Box(0, 1, 2, 30, 40), Box(1, 5, 10, 20, 30)), "images/2.png": ()}
    assert {(found.size, found.frame) for found in listing.found} == {((50, 40), "stored")}
    assert "no row for 1\N{NO-BREAK SPACE}image, which are not used: 'images/3.png'" in listing.warnings[0]
    assert details(listing.problems) == ["is the wrong way round; its corners are exchanged"]
    assert scan(tmp_path / "boxes.csv").found == listing.found


def test_tables_of_splits(tmp_path):
    photos(tmp_path, "1.png", "2.png")
    write(tmp_path, **{"train_labels.csv": HEAD + "1.png,50,40,cat,1,2,30,40\n"})
    write(tmp_path, **{"test_labels.csv": HEAD + "2.png,50,40,cat,1,2,30,40\n"})
    assert splits(tmp_path) == {"1.png": "train", "2.png": "test"}
    write(tmp_path, **{"test_labels.csv": HEAD + "1.png,50,40,cat,1,2,30,40\n"})
    with pytest.raises(DataError, match=r"'1.png' is in two splits: test, train"):
        scan(tmp_path)
    (tmp_path / "test_labels.csv").rename(tmp_path / "more.csv")
    with pytest.raises(DataError, match=r"name them train\.csv, val\.csv and test\.csv"):
        scan(tmp_path)


def test_tables_beside_the_images_of_each_split(tmp_path):
    photos(tmp_path, "train/1.png", "valid/1.png")
    for split in ("train", "valid"):
        write(tmp_path, **{f"{split}/_annotations.csv": HEAD + "1.png,50,40,cat,1,2,30,40\n"})
    assert splits(tmp_path) == {"train/1.png": "train", "valid/1.png": "val"}


def test_a_column_of_splits(tmp_path):
    photos(tmp_path, "1.png", "2.png")
    table = "image;label;x_min;y_min;x_max;y_max;split\n1.png;Cat;1;2;30;40;train\n2.png;cat;1;2;9;9;validation\n"
    write(tmp_path, **{"t.csv": table})
    assert splits(tmp_path) == {"1.png": "train", "2.png": "val"}
    assert "'Cat', 'cat' differ only by capitals" in scan(tmp_path).warnings[-1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1.png,50,40,cat,1,2,30,x", "line 2 of .* has 'x' as ymax"),
        ("1.png,50,40,cat,1,2,30,", "has '' as ymax"),
        ("1.png,50,40,,1,2,30,40", "a box without a class"),
        ("../1.png,50,40,cat,1,2,30,40", "only paths below"),
        ("9.png,50,40,cat,1,2,30,40", "there is no such file"),
        ("1.png,50,40,,,,,", "there is no box in"),
    ],
)
def test_hostile_tables(tmp_path, row, message):
    photos(tmp_path, "1.png")
    write(tmp_path, **{"boxes.csv": HEAD + row + "\n"})
    with pytest.raises(DataError, match=message):
        scan(tmp_path)


def test_a_table_of_one_class_for_each_image_stays_one(tmp_path):
    photos(tmp_path, "1.png", "2.png")
    write(tmp_path, **{"metadata.csv": "filename,label,width,height\n1.png,cat,50,40\n2.png,dog,50,40\n"})
    assert scan(tmp_path).kind == "classes"


# ---------------------------------------------------------------- Create ML


def create_ml(*boxes_: tuple[object, ...], image: str = "1.png") -> dict[str, object]:
    annotations = [
        {"label": label, "coordinates": {"x": x, "y": y, "width": w, "height": h}} for label, x, y, w, h in boxes_
    ]
    return {"image": image, "annotations": annotations}


def test_create_ml(tmp_path):
    photos(tmp_path, "1.png", "2.png", "3.png")
    content = [create_ml(("cat", 20, 10, 30, 20), ("dog", 48, 20, 6, 10)), create_ml(image="2.png")]
    write(tmp_path, **{"annotations.json": json.dumps(content)})
    listing = scan(tmp_path)
    assert (listing.kind, listing.labels) == ("boxes", ("cat", "dog"))
    assert boxes(tmp_path) == {"1.png": (Box(0, 5, 0, 35, 20), Box(1, 45, 15, 51, 25)), "2.png": ()}
    assert {found.frame for found in listing.found} == {"upright"}
    assert "does not list 1\N{NO-BREAK SPACE}image beside it, which are not used: 3.png" in listing.warnings[0]
    assert scan(tmp_path / "annotations.json").found == listing.found
    assert root_of(tmp_path / "annotations.json") == tmp_path


def test_create_ml_in_split_folders(tmp_path):
    photos(tmp_path, "train/1.png", "valid/1.png")
    for split in ("train", "valid"):
        write(tmp_path, **{f"{split}/_annotations.createml.json": json.dumps([create_ml(("cat", 20, 10, 30, 20))])})
    assert splits(tmp_path) == {"train/1.png": "train", "valid/1.png": "val"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ([1], "entry 1 of .* is no object"),
        ([{"image": "1.png"}], "needs image, the name of a file, and annotations"),
        ([create_ml(("", 1, 1, 1, 1))], "a box without a label"),
        ([create_ml(("cat", 1, 1, 1, "x"))], "coordinates are not x, y, width, height"),
        ([create_ml(("cat", 1, 1, 1, True))], "coordinates are not x, y, width, height"),
        ([create_ml(("cat", 5, 5, 5, 5), image="../1.png")], "only paths below"),
        ([create_ml(("cat", 5, 5, 5, 5), image="9.png")], "no such file"),
        ([create_ml(("cat", 5, 5, 5, 5))] * 2, "'1.png' of .* is listed twice"),
    ],
)
def test_hostile_create_ml(tmp_path, content, message):
    photos(tmp_path, "1.png")
    write(tmp_path, **{"a.json": content if isinstance(content, str) else json.dumps(content)})
    with pytest.raises(DataError, match=message):
        scan(tmp_path / "a.json")
