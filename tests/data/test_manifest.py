"""Tables of labels and of 0/1 attributes: columns, splits, escapes, contradictions, speed of reading."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.check import load_dataset
from pocketvision.data.layout import root_of, scan
from pocketvision.data.splits import read_dataset, write_splits
from pocketvision.errors import DataError
from pocketvision.values import Dataset, from_json, to_json
from pocketvision.verbs.check import check


def folder(root: Path, count: int = 12) -> Path:
    (root / "img").mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(np.full((8, 8, 3), index * 20, np.uint8)).save(root / f"img/{index}.png")
    return root


def table(root: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder(root) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ROWS = "img/0.png,cat\nimg/1.png,dog\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "filename,label\n" + ROWS),
        ("labels.csv", '\ufeffImage Path;Class\r\n\r\nimg/0.png;cat\r\n;\r\n"img/1.png";"dog"\r\n'),
        ("labels.tsv", "path\tcategory\n./img//0.png\t cat \nimg\\1.png\tdog\n"),
        ("labels.csv", ("file,target\n" + ROWS).encode("utf-16")),
        ("labels.csv", "file_name, label\n" + ROWS.replace(",", ", ")),
        ("labels.jsonl", '{"file_name": "img/0.png", "label": "cat"}\n\n{"label": "dog", "file_name": "img/1.png"}\n'),
    ],
)
def test_spellings(tmp_path, name, text):
    path = table(tmp_path, text, name)
    listing = scan(path)
    assert [(found.file, found.label, found.split) for found in listing.found] == [
        ("img/0.png", "cat", None),
        ("img/1.png", "dog", None),
    ]
    assert (listing.root, listing.kind, listing.problems) == (root_of(path), "classes", ())


def test_splits_and_unused_columns(tmp_path):
    names = ("train", "Training", "val", "valid", "validation", "dev", "test", "")
    lines = [f"img/{index}.png,{'ab'[index % 2]},{name},me" for index, name in enumerate(names)]
    listing = scan(table(tmp_path, "filename,label,split,author\n" + "\n".join(lines)))
    by_file = {found.file: found.split for found in listing.found}
    wanted = ("train", "train", "val", "val", "val", "val", "test", None)
    assert [by_file[f"img/{index}.png"] for index in range(8)] == list(wanted)
    assert listing.warnings == ("Columns of 'labels.csv' that are not used: 'author'.",)


def test_metadata_is_found_in_a_folder_and_in_split_folders(tmp_path):
    table(tmp_path / "one", "file_name,label\n" + ROWS, "metadata.csv")
    assert len(scan(tmp_path / "one").found) == 2
    table(tmp_path / "two/train", "file_name,label\n" + ROWS, "metadata.csv")
    table(tmp_path / "two/test", '{"file_name": "img/2.png", "label": "cat"}', "metadata.jsonl")
    listing = scan(tmp_path / "two")
    assert {(found.file, found.split) for found in listing.found} == {
        ("train/img/0.png", "train"),
        ("train/img/1.png", "train"),
        ("test/img/2.png", "test"),
    }
    assert listing.labels == ("cat", "dog"), "a split that lacks a class renumbers nothing"


def test_captions_are_no_labels(tmp_path):
    for label in "ab":
        folder(tmp_path / label)
    table(tmp_path, "file_name,text\na/img/0.png,a cat\n", "metadata.csv")
    (tmp_path / "img").rename(tmp_path / "c")
    listing = scan(tmp_path)
    assert listing.labels == ("a", "b", "c")
    assert "'metadata.csv' has no column for a label and is not used." in listing.warnings


@pytest.mark.parametrize(
    "name",
    [
        "../x.png",
        "img/../../x.png",
        "/etc/passwd",
        "C:\\x.png",
        "\\\\server\\x.png",
        "https://a.b/x.png",
        "file:/x",
        "..",
    ],
)
def test_paths_stay_in_the_folder(tmp_path, name):
    with pytest.raises(DataError, match=r"line 3 of .*only paths below"):
        scan(table(tmp_path, f"filename,label\nimg/0.png,a\n{name},b\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no column for the file"),
        ("filename,label\n", "names no image"),
        (ROWS, "names no column for the file.*img/0.png"),
        ("filename,image,label\n1,2,3", "2 columns for the file: 'filename', 'image'"),
        ("filename,label,Label\n1,2,3", "'label' twice"),
        ("filename,text\nimg/0.png,a", "no column for the label"),
        ("filename,label\nimg/0.png,a\nimg/1.png,b,c", "line 3 of .* has 3 values, not 2"),
        ('filename,label\n"img/0.png,a\nimg/1.png,b', "is no CSV"),
        (b"filename,label\nimg/0.png,a\nimg/\xff.png,b", "line 3 of .* is no UTF-8"),
        ("filename,label,split\nimg/0.png,a,train\nimg/1.png,b,trian", "line 3 of .*'trian'; known are train"),
        ("filename,label,split\nimg/0.png,a,val\nimg/1.png,b,test", "none for train"),
        ("filename,label,split\nimg/0.png,cat,train\nimg/1.png,dog,train\nimg/2.png,cats,val", "did you mean 'cat'"),
        ("filename,label\nimg/0.png,a\nimg/1.png,a", "only one class"),
        ("filename,label\nx/0.png,a\nx/1.png,b", r"none of the 2 .*The first: x/0\.png: there is no such file"),
        ("filename,label\n,a\nimg/1.png,b", "line 2 of .* names no file"),
    ],
)
def test_errors_name_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        scan(table(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 of .* is no JSON"),
        ("[1]", "line 2 of .* is no JSON object"),
        ("[" * 100_000, "line 2 of .* is no JSON"),
        ('{"file_name": "img/1.png", "label": ["a", "b"]}', "a list or an object as its label"),
        ('{"file_name": ["img/1.png"], "label": "a"}', "line 2 of .*only paths"),
    ],
)
def test_hostile_json_lines(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        scan(table(tmp_path, '{"file_name": "img/0.png", "label": "a"}\n' + line, "labels.jsonl"))


def test_problems_have_line_numbers(tmp_path):
    text = (
        "filename,label,split\nimg/0.png,a,train\nimg/1.png,b,train\nimg/0.png,a,test\nimg/2.png,a,\nimg/2.png,b,\n"
        "img/3.png,,train\nimg/gone.png,a,train\n"
    )
    listing = scan(table(tmp_path, text))
    where = f"of '{tmp_path / 'labels.csv'}'"
    assert {(p.file, p.kind, p.detail, p.left_out) for p in listing.problems} == {
        ("img/3.png", "unlabeled", f"line 7 {where} has no label", True),
        ("img/0.png", "listed twice", f"in line 2 {where} and line 4 {where}; it stays in test", False),
        ("img/2.png", "conflict", f"'a' and 'b' in line 5 {where} and line 6 {where}", True),
        ("img/gone.png", "missing", f"there is no such file; named in line 8 {where}", True),
    }
    assert [(found.file, found.split) for found in listing.found] == [("img/0.png", "test"), ("img/1.png", "train")]


def test_label_lists_beside_the_data(tmp_path):
    path = table(tmp_path, "filename,label\n" + ROWS)
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    assert scan(path).labels == ("dog", "cat")
    (tmp_path / "labels.txt").write_text("dog\nCat\n")
    with pytest.raises(DataError, match=r"only in .*labels.txt': 'Cat'; only in .*labels.csv': 'cat'"):
        scan(path)
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match="different orders"):
        scan(path)


def test_names_that_are_nearly_the_same_are_told(tmp_path):
    (note,) = scan(table(tmp_path, "filename,label\nimg/0.png,Hot dog\nimg/1.png,hotdog\nimg/2.png,cat\n")).warnings
    assert note.startswith("'Hot dog', 'hotdog' differ only by")


# ---------------------------------------------------------------- attributes


def test_attributes(tmp_path):
    lines = [f"img/{index}.png,{index % 2},{'' if index == 3 else '1.0'},x{index}" for index in range(12)]
    listing = scan(path := table(tmp_path, "filename,smiling,young,name\n" + "\n".join(lines)))
    assert (listing.kind, listing.labels, listing.attributes) == ("attributes", (), ("smiling", "young"))
    assert [found.attributes for found in listing.found[:4]] == [(0, 1), (1, 1), (0, 1), (1, None)]
    health = check(path)
    assert health.kind == "attributes"
    assert {name: sum(splits.values()) for name, splits in health.counts.items()} == {"smiling": 6, "young": 11}
    with pytest.raises(DataError, match=r"at least that have it, .*: 'young' is lacked by 0"):
        load_dataset(path)


def test_attributes_are_learned_from_with_what_is_unknown(tmp_path):
    lines = [f"img/{index}.png,{index % 2},{'' if index == 3 else index % 3 // 2},1" for index in range(12)]
    path = table(tmp_path, "filename,smiling,left eye open,face\n" + "\n".join(lines))
    with pytest.raises(DataError, match="'face' is lacked by 0"):
        load_dataset(path)
    path.write_text("\n".join(line.rpartition(",")[0] for line in path.read_text().splitlines()))
    dataset, health, _ = load_dataset(path, val=0.2, test=0.2)
    assert (dataset.kind, dataset.labels, dataset.mirror_safe) == ("attributes", ("smiling", "left eye open"), False)
    targets = {example.file: example.target for example in dataset.examples}
    assert targets["img/3.png"] == (1, None)
    assert targets["img/5.png"] == (1, 1)
    assert sum(health.split_images.values()) == 12
    assert "4% of all cells are unknown: they are neither learned from nor judged." in health.warnings
    write_splits(tmp_path / "splits.csv", dataset)
    assert read_dataset(path, dataset.labels, tmp_path / "splits.csv") == dataset
    with pytest.raises(DataError, match="has labels that the net does not"):
        read_dataset(path, dataset.labels[:1], tmp_path / "splits.csv")


def test_minus_one_is_no_unless_there_is_zero_too(tmp_path):
    rows = "filename,a,b\nimg/0.png,-1,1\nimg/1.png,1,-1\nimg/2.png,1,{}\n"
    assert scan(table(tmp_path, rows.format("1"))).found[0].attributes == (0, 1)
    with pytest.raises(DataError, match="has -1 in 'a', 'b' and 0 in 'b'"):
        scan(table(tmp_path, rows.format("0")))


def test_a_stray_value_is_named(tmp_path):
    lines = [f"img/{index}.png,1,{2 if index == 11 else 0}" for index in range(12)]
    with pytest.raises(DataError, match=r"line 13 of .* has '2' in the column 'b'"):
        scan(table(tmp_path, "filename,a,b\n" + "\n".join(lines)))


def test_celeba(tmp_path):
    folder(tmp_path)
    (tmp_path / "img").rename(tmp_path / "img_align_celeba")
    path = tmp_path / "list_attr_celeba.txt"
    path.write_text("2\nBald Young\n0.png  -1  1\n1.png   1 -1\n")
    (tmp_path / "list_eval_partition.txt").write_text("0.png 0\n1.png 2\n")
    listing = scan(tmp_path)
    assert listing == scan(path)
    assert listing.attributes == ("Bald", "Young")
    assert [(f.file, f.split, f.attributes) for f in listing.found] == [
        ("img_align_celeba/0.png", "train", (0, 1)),
        ("img_align_celeba/1.png", "test", (1, 0)),
    ]
    path.write_text("3\nBald Young\n0.png -1 1\n")
    with pytest.raises(DataError, match="promises 3 images and names 1"):
        scan(tmp_path)


# ---------------------------------------------------------------- the way through


def test_a_manifest_of_real_photos_is_what_its_folders_are(shared_data, tmp_path):
    root = tmp_path / "smiles"
    root.symlink_to(shared_data / "smiles")
    listing = scan(root)
    step = listing.found[::40]
    manifest = tmp_path / "some.csv"
    manifest.write_text("filename,label\n" + "".join(f"smiles/{found.file},{found.label}\n" for found in step))
    dataset, health, _ = load_dataset(manifest)
    assert dataset.labels == listing.labels
    assert [example.file for example in dataset.examples] == [f"smiles/{found.file}" for found in step]
    assert from_json(Dataset, to_json(dataset)) == dataset
    write_splits(tmp_path / "splits.csv", dataset)
    assert read_dataset(manifest, dataset.labels, tmp_path / "splits.csv") == dataset
    assert scan(tmp_path / "splits.csv").labels == dataset.labels, "our own list is a manifest"
    assert health.root == str(tmp_path)


def test_old_records_are_read():
    old = {"root": "r", "labels": ["a"], "examples": [{"file": "1", "target": 0, "split": "train", "sha256": "0"}]}
    dataset = from_json(Dataset, old)
    assert (dataset.kind, dataset.examples[0].target) == ("classes", 0)


@pytest.mark.slow
def test_a_hundred_thousand_lines(tmp_path):
    folder(tmp_path)
    (tmp_path / "many").mkdir()
    for index in range(100_000):
        (tmp_path / f"many/{index}.png").touch()
    text = "".join(f"many/{index}.png,{index % 7}\n" for index in range(100_000))
    path = table(tmp_path, "filename,label\n" + text)
    start = time.process_time()
    assert len(scan(path).found) == 100_000
    assert time.process_time() - start < 10


def test_what_other_programs_write_for_nothing_is_no_label_or_told(tmp_path):
    path = table(tmp_path, "filename,label\n" + ROWS.replace(",cat", ",NaN"))
    assert "'NaN' is taken for a class; leave the label empty where an image has none." in scan(path).warnings
    lines = [json.dumps({"file_name": line.split(",")[0], "label": line.split(",")[1]}) for line in ROWS.split()]
    lines.append(lines[0].replace("0.png", "7.png").replace('"cat"', "NaN").replace('"dog"', "NaN"))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    listing = scan(tmp_path / "a.jsonl")
    assert (listing.labels, [problem.kind for problem in listing.problems]) == (("cat", "dog"), ["unlabeled"])
