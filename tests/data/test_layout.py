"""What `scan` makes of folders: layouts, order, litter, odd names, and errors that say what to add."""

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from pocketvision.data.layout import natural_key, scan
from pocketvision.errors import DataError
from pocketvision.files import csv_text


def put(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png"):
            Image.new("RGB", (4, 4)).save(path)
        else:
            path.write_text("a text")
    return root


def test_classes_are_in_natural_order(tmp_path):
    put(tmp_path, *(f"{name}/{number}.jpg" for name in ("10", "2", "1", "b", "A") for number in (10, 9, 1)))
    listing = scan(tmp_path)
    assert listing.labels == ("1", "2", "10", "A", "b")
    assert [found.file for found in listing.found][:3] == ["1/1.jpg", "1/9.jpg", "1/10.jpg"]
    assert all(found.split is None for found in listing.found)
    assert listing.problems == ()
    assert listing.warnings == ()


def test_natural_order_is_total():
    names = ["a2", "A2", "a10", "a02", "²", "1a", "", "a"]
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)


def test_the_operating_systems_order_does_not_matter(tmp_path, monkeypatch):
    put(tmp_path, *(f"{name}/{number}.jpg" for name in "abc" for number in range(12)), "a/x/1.jpg", "a/x.txt")
    straight, real = scan(tmp_path), os.scandir

    class Backwards:
        def __init__(self, path):
            self.entries = real(path)

        def __enter__(self):
            return reversed(sorted(self.entries, key=lambda entry: entry.name))

        def __exit__(self, *_):
            self.entries.close()

    monkeypatch.setattr(os, "scandir", Backwards)
    assert scan(tmp_path) == straight


def test_litter_is_passed_over_and_strangers_are_named(tmp_path):
    put(tmp_path, "a/1.jpg", "b/1.jpg", "a/readme.txt", "a/sub/deep/2.jpg", "readme.md")
    put(tmp_path, "a/.DS_Store", "a/._1.jpg", "b/Thumbs.db", "__MACOSX/a/1.jpg", ".git/x/1.jpg", "a/.hidden/3.jpg")
    (tmp_path / "b/photo").write_bytes((tmp_path / "b/1.jpg").read_bytes())
    listing = scan(tmp_path)
    assert [found.file for found in listing.found] == ["a/1.jpg", "a/sub/deep/2.jpg", "b/1.jpg", "b/photo"]
    assert [(problem.file, problem.kind, problem.left_out) for problem in listing.problems] == [
        ("a/readme.txt", "not an image", True)
    ]


def test_names_in_any_script(tmp_path):
    put(tmp_path, "Katze 🐈/ä ö.jpg", "chien d'été/1, 2.jpg", "犬/'\"%20.jpg")
    assert len(scan(tmp_path).found) == 3


ODD = [
    "cat\nkitty",
    "cat\r",
    " cat",
    "cat\u2028kitty",
    "cat\x85",
    "cat\tkitty",
    "\ufeffcat",
    "cat\x0bkitty",
    "cat\x1e",
    "cat\x07",
]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("layout", ["folders", "splits", "csv", "jsonl", "coco", "attributes"])
def test_names_stand_on_one_line_and_what_was_replaced_is_told(tmp_path, layout, name):
    if "\n" in name and sys.platform == "win32" and layout in ("folders", "splits"):
        pytest.skip("Windows has no such folders")
    if layout in ("folders", "splits"):
        below = "train/" if layout == "splits" else ""
        put(tmp_path, f"{below}{name}/1.jpg", f"{below}dog/1.jpg")
    put(tmp_path, *(("c/1.jpg", "d/1.jpg") if layout not in ("folders", "splits") else ()))
    data = tmp_path / f"data.{'json' if layout == 'coco' else 'jsonl' if layout == 'jsonl' else 'csv'}"
    if layout == "csv":
        data.write_text(csv_text(("file", "label"), [("c/1.jpg", name), ("d/1.jpg", "dog")]), newline="")
    elif layout == "jsonl":
        rows = ({"file": "c/1.jpg", "label": name}, {"file": "d/1.jpg", "label": "dog"})
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif layout == "attributes":
        data.write_text(csv_text(("file", name, "dog"), [("c/1.jpg", "1", "0"), ("d/1.jpg", "0", "1")]), newline="")
    elif layout == "coco":
        images = [{"id": 1, "file_name": "c/1.jpg"}, {"id": 2, "file_name": "d/1.jpg"}]
        boxes = [{"image_id": n, "category_id": n, "bbox": [0, 0, 2, 2]} for n in (1, 2)]
        classes = [{"id": 1, "name": name}, {"id": 2, "name": "dog"}]
        data.write_text(json.dumps({"images": images, "annotations": boxes, "categories": classes}))
    listing = scan(data if data.exists() else tmp_path)
    line = "cat kitty" if "kitty" in name else "cat"
    assert sorted(listing.labels or listing.attributes) == [line, "dog"]
    assert {found.label for found in listing.found} <= {line, "dog", ""}
    stripped = layout in ("csv", "jsonl", "attributes") and name.strip() == line
    assert stripped or f"{name!r} is now '{line}'" in " ".join(listing.warnings)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("cat ", "cat", r"'cat ' and 'cat' in .* are one name, 'cat'"),
        ("cat\nkitty", "cat\tkitty", "are one name, 'cat kitty'"),
        (" \n", "cat", r"' \\n' in .* is no name for a class"),
    ],
)
def test_names_that_would_become_one_or_nothing_are_refused(tmp_path, first, second, message):
    put(tmp_path, f"{first}/1.jpg", f"{second}/1.jpg", "dog/1.jpg")
    with pytest.raises(DataError, match=message):
        scan(tmp_path)


def test_json_that_holds_no_unicode_is_refused(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg")
    rows = [{"file": "1.jpg", "label": "a"}, {"file": "2.jpg", "label": "b\ud800"}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"'b\\ud800' in .* is no name for a class"):
        scan(tmp_path / "x.jsonl")
    rows[1] = {"file": "\ud800.jpg", "label": "b"}
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="line 2 of"):
        scan(tmp_path / "x.jsonl")


def test_one_name_in_two_unicode_forms_is_one_class(tmp_path):
    put(tmp_path, "train/caf\u00e9/1.jpg", "train/b/1.jpg", "test/cafe\u0301/2.jpg")
    assert scan(tmp_path).labels == ("b", "caf\u00e9")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are no Unicode")
def test_names_that_are_no_unicode(tmp_path):
    put(tmp_path, "a/1.jpg", "b/1.jpg")
    os.rename(tmp_path / "a/1.jpg", os.fsencode(tmp_path) + b"/a/\xff.jpg")
    put(tmp_path, "a/2.jpg")
    (problem,) = scan(tmp_path).problems
    assert problem.kind == "unreadable"
    assert problem.file.encode() == b"a/?.jpg"
    os.mkdir(os.fsencode(tmp_path) + b"/\xfe")
    with pytest.raises(DataError, match="not valid Unicode"):
        scan(tmp_path)


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_split_folders(tmp_path, val):
    put(tmp_path, "train/a/1.jpg", "train/b/1.jpg", f"{val}/a/2.jpg", "test/b/3.jpg", "notes/x.txt")
    listing = scan(tmp_path)
    assert listing.labels == ("a", "b")
    assert {(found.file.split("/", 1)[1], found.label, found.split) for found in listing.found} == {
        ("a/1.jpg", "a", "train"),
        ("b/1.jpg", "b", "train"),
        ("a/2.jpg", "a", "val"),
        ("b/3.jpg", "b", "test"),
    }
    assert listing.warnings == ("No image in the folder 'notes': left alone.",)


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("training", "validation", "testing"),
        ("Train_Set", "eval", "holdout"),
        ("train-data", "dev", "hold-out"),
        ("train_images", "evaluation", "test set"),
    ],
)
@pytest.mark.parametrize(
    "beside",
    [
        ["unlabeled/1.jpg", "unlabeled/2.jpg"],
        ["extra/a/1.jpg", "extra/b/1.jpg", "README"],
        ["annotations/x.json", "plots/loss.png"],
        ["models/net.bin", "samples/1.jpg", "a/1.jpg"],
    ],
)
def test_split_folders_by_other_names_and_beside_anything(tmp_path, train, val, test, beside):
    put(tmp_path, f"{train}/a/1.jpg", f"{train}/b/2.jpg", f"{val}/a/3.jpg", f"{test}/b/4.jpg", *beside)
    listing = scan(tmp_path)
    assert listing.labels == ("a", "b")
    assert {(found.file.split("/")[0], found.split) for found in listing.found} == {
        (train, "train"),
        (val, "val"),
        (test, "test"),
    }
    (*_, folder), said = beside[0].split("/")[:1], " ".join(listing.warnings)
    assert f"'{folder}'" in said
    assert "left alone" in said


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (["train/1.jpg", "bus/1.jpg", "car/1.jpg"], ("bus", "car", "train")),
        (["test/1.jpg", "control/1.jpg"], ("control", "test")),
        (["valid/1.jpg", "invalid/1.jpg"], ("invalid", "valid")),
        (["train/old/1.jpg", "train/2.jpg", "train/3.jpg", "bus/1.jpg"], ("bus", "train")),
        (["test/monday/1.jpg", "test/friday/1.jpg", "control/sunday/1.jpg"], ("control", "test")),
        (["trained/1.jpg", "untrained/1.jpg"], ("trained", "untrained")),
    ],
)
def test_a_class_may_have_the_name_of_a_split(tmp_path, files, labels):
    listing = scan(put(tmp_path, *files))
    assert listing.labels == labels
    assert {found.split for found in listing.found} == {None}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["train/a/1.jpg", "train/b/1.jpg", "bus/1.jpg", "car/1.jpg"],
            r"'train' of .* holds the folders 'a', 'b'\. .*'bus'",
        ),
        (["train/a/1.jpg", "train/b/1.jpg", "photos/a/1.jpg", "photos/b/1.jpg"], "move what is beside it elsewhere"),
        (["val/a/1.jpg", "val/b/1.jpg", "photos/a/1.jpg", "photos/b/1.jpg"], "'val' of .* has the name of a split"),
        (["train/1.jpg", "test/1.jpg", "sample/1.jpg"], "names of splits, but hold no class folders, and .*'sample'"),
        (["train/1.jpg", "unlabeled/2.jpg"], "has images but no class folders"),
        (["test/a/1.jpg", "test/b/1.jpg", "unlabeled/2.jpg"], "but no train"),
    ],
)
def test_in_doubt_a_split_is_no_class(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        scan(put(tmp_path, *files))


def test_splits_inside_the_classes_are_splits(tmp_path):
    put(tmp_path, "a/train/1.jpg", "a/train/more/2.jpg", "a/test/3.jpg", "b/Train/4.jpg", "b/val/5.jpg")
    listing = scan(tmp_path)
    assert [(found.file, found.split) for found in listing.found] == [
        ("a/test/3.jpg", "test"),
        ("a/train/1.jpg", "train"),
        ("a/train/more/2.jpg", "train"),
        ("b/Train/4.jpg", "train"),
        ("b/val/5.jpg", "val"),
    ]
    assert "inside the class folders" in listing.warnings[0]
    put(tmp_path, "a/other/1.jpg")
    with pytest.raises(DataError, match=r"'a' of .* holds split folders such as train, but other"):
        scan(tmp_path)


def test_splits_one_folder_further_down_are_no_class(tmp_path):
    put(tmp_path, "data/train/a/1.jpg", "data/train/b/1.jpg", "data/val/a/1.jpg", "samples/1.jpg")
    with pytest.raises(DataError, match=r"'data' of .* holds split folders .* Give .*data if it holds the classes"):
        scan(tmp_path)


def test_annotations_beside_classes_are_left_alone_and_what_is_unlabeled_is_told_of(tmp_path):
    put(tmp_path, "a/1.jpg", "b/1.jpg", "annotations/a.json", "Unlabeled/1.jpg")
    listing = scan(tmp_path)
    assert listing.labels == ("a", "b", "Unlabeled")
    assert listing.warnings == (
        "No image in the folder 'annotations': left alone.",
        "'Unlabeled' is taken for a class as any other folder.",
    )


def test_train_may_be_a_class(tmp_path):
    put(tmp_path, "train/1.jpg", "car/1.jpg")
    assert scan(tmp_path).labels == ("car", "train")


def test_an_unlabeled_test_folder_is_left_alone(tmp_path):
    put(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.jpg")
    listing = scan(tmp_path)
    assert {found.split for found in listing.found} == {"train"}
    assert "2 images lie directly in a split folder" in listing.warnings[0]


def test_notes_on_loose_images_and_on_nested_classes(tmp_path):
    put(tmp_path, "set_1/a/1.jpg", "set_1/b/1.jpg", "set_2/a/1.jpg", "set_2/b/1.jpg", "loose.png")
    nested, loose = scan(tmp_path).warnings
    assert "holds the folders 'a', 'b'" in nested
    assert "1 images lie directly in the folder itself" in loose


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "there is no image"),
        (["a/readme.txt"], "there is no image"),
        (["1.jpg", "2.jpg"], r"2 images lie directly in .* no class folder.*/cat/1\.jpg"),
        (["a/1.jpg"], "only one class folder, 'a'; a second"),
        (["flowers/rose/1.jpg", "flowers/tulip/1.jpg"], r"did you mean .*flowers\?"),
        (["a/1.jpg", "b/readme.txt"], "no image in the folder 'b'.*add some, or remove"),
        (["val/a/1.jpg", "test/a/1.jpg"], "but no train"),
        (["train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg"], "'c' of .*val' has no counterpart"),
        (["train/cat/1.jpg", "train/dog/1.jpg", "val/cats/1.jpg"], r"mean 'cat'\?: only in .*'cat', 'dog'; .*'cats'"),
        (["train/a/1.jpg", "train/b/1.jpg", "train/c/x.txt"], "no image in the folder 'c'"),
        (["train/a/1.jpg", "val/a/1.jpg"], "only one class folder"),
        (["train/1.jpg", "val/a/1.jpg"], "no class folders"),
        (["train/a/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"], "two folders for one split"),
    ],
)
def test_errors_say_what_to_add(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        scan(put(tmp_path, *files))


def test_a_list_of_classes_beside_the_folders(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg", "Dog/2.jpg")
    assert scan(tmp_path).warnings[0].startswith("'Dog', 'dog' differ only by")
    (tmp_path / "classes.txt").write_text("dog\ncat\nDog\n")
    assert scan(tmp_path).labels == ("dog", "cat", "Dog")
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(DataError, match=r"disagree: only in the folders of .*: 'Dog'\. Make them"):
        scan(tmp_path)
    (tmp_path / "classes.txt").write_text("dog\ncat\ndog\n")
    with pytest.raises(DataError, match="'dog' in line 1 and again in line 3"):
        scan(tmp_path)


def test_a_manifest_in_a_folder_without_classes_is_pointed_to(tmp_path):
    put(tmp_path, "images/1.jpg")
    (tmp_path / "train.csv").write_text("filename,label\n")
    with pytest.raises(DataError, match=r"If 'train.csv' is the manifest, give it instead: .*train.csv"):
        scan(tmp_path)


def test_a_root_that_is_none(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        scan(tmp_path / "absent")
    with pytest.raises(DataError, match="is a file, not a folder; unpack"):
        scan(put(tmp_path, "x.zip") / "x.zip")


def test_links_and_pipes(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    put(tmp_path, "data/a/1.jpg", "data/b/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "data/a/loop").symlink_to(tmp_path / "data")
    (tmp_path / "data/c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/b/gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "data/b/pipe.jpg")
    listing = scan(tmp_path / "data")
    files = {found.file for found in listing.found}
    assert {"a/1.jpg", "b/1.jpg", "b/gone.jpg", "c/2.jpg"} <= files
    assert len(files) < 12
    assert [problem.file for problem in listing.problems if problem.kind == "not an image"][-1] == "b/pipe.jpg"


@pytest.mark.parametrize("deep", ["{0}/a/{1}.jpg", "{0}/{0}/a/{1}.jpg"])
@pytest.mark.parametrize("names", [("seg_train", "seg_test"), ("my-train", "my-val"), ("train.1", "valid.1", "more")])
def test_folders_whose_names_only_hold_a_splits_are_no_classes(tmp_path, names, deep):
    put(tmp_path, *(deep.format(name, number) for name in names for number in range(2)))
    with pytest.raises(DataError, match=r"look like splits: name them train, val and test"):
        scan(tmp_path)


def test_classes_may_hold_the_word_of_a_split(tmp_path):
    put(tmp_path, "train_station/1.jpg", "test_tube/1.jpg")
    assert scan(tmp_path).labels == ("test_tube", "train_station")
    put(tmp_path / "toys", "toy_train/red/1.jpg", "toy_car/red/1.jpg")
    assert scan(tmp_path / "toys").labels == ("toy_car", "toy_train")
