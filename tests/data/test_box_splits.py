"""Images with boxes in train, val and test: the data's own splits, near copies, rare and missing classes."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.check import load_dataset
from pocketvision.data.splits import read_dataset, write_splits
from pocketvision.errors import DataError
from pocketvision.verbs.check import check

NAMES = ("nut", "bolt", "washer")


def scene(seed: int) -> Image.Image:
    """Return shapes that no other seed has, large enough to be told from noise."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((96, 80), Image.Resampling.BICUBIC)


def coco(path: Path, held: dict[str, tuple[int, ...]], *, crowd: tuple[int, ...] = ()) -> None:
    """Write boxes of these classes for these images."""
    images = [{"id": number, "file_name": name, "width": 96, "height": 80} for number, name in enumerate(held)]
    annotations = [
        {"image_id": number, "category_id": label, "bbox": [5 + label, 6, 20, 30], "iscrowd": int(label in crowd)}
        for number, labels in enumerate(held.values())
        for label in labels
    ]
    categories = [{"id": label, "name": name} for label, name in enumerate(NAMES)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def splits_by_class(root: Path) -> dict[str, set[str]]:
    dataset, _, _ = load_dataset(root)
    found = defaultdict(set)
    for example in dataset.examples:
        for box in example.target:
            found[dataset.labels[box.label]].add(example.split)
    return dict(found)


def test_every_class_is_validated_and_near_copies_stay_together(tmp_path: Path) -> None:
    held = {}
    for seed in range(24):
        scene(seed).save(tmp_path / f"{seed}.png")
        held[f"{seed}.png"] = (0, 2) if seed in (3, 9, 15) else (0, 1) if seed % 2 else ()
    for seed in (3, 8):
        scene(seed).save(tmp_path / f"again {seed}.jpg", quality=80)
        held[f"again {seed}.jpg"] = held[f"{seed}.png"]
    coco(tmp_path / "instances_all.json", held)
    assert splits_by_class(tmp_path) == {name: {"train", "val", "test"} for name in NAMES}
    dataset, health, _ = load_dataset(tmp_path)
    where = {example.file: example.split for example in dataset.examples}
    assert all(where[f"again {seed}.jpg"] == where[f"{seed}.png"] for seed in (3, 8))
    assert "13 of 26 images have no box: from them is learned where nothing is." in health.warnings
    assert "Fewer than 20 boxes of 'nut', 'bolt', 'washer': expect what is measured of it to be uncertain." in (
        health.warnings
    )
    assert Counter(where.values())["train"] > 14


def test_own_splits_stand_and_what_they_lack_is_cut_from_train(tmp_path: Path) -> None:
    for split, start, count in (("train", 0, 20), ("val", 50, 3)):
        (tmp_path / split).mkdir()
        names = [f"{seed}.png" for seed in range(start, start + count)]
        for seed, name in zip(range(start, start + count), names, strict=True):
            scene(seed).save(tmp_path / split / name)
        coco(tmp_path / f"instances_{split}.json", {name: (0, 1, 2) if start else (0, 1) for name in names})
    health = check(tmp_path)
    assert health.faults == (
        f"no training image of '{tmp_path}' has a box of 'washer': add some, or remove the class.",
    )
    with pytest.raises(DataError, match=r"no training image of .* has a box of 'washer'"):
        load_dataset(tmp_path)
    coco(tmp_path / "instances_train.json", {f"{seed}.png": (0, 1, 2) for seed in range(20)})
    dataset, _, _ = load_dataset(tmp_path)
    assert {example.file for example in dataset.of("val")} == {f"val/{seed}.png" for seed in range(50, 53)}
    assert 0 < len(dataset.of("test")) < 10
    assert all(example.file.startswith("train/") for example in dataset.of("test"))


def test_a_class_of_crowds_alone_cannot_be_learned(tmp_path: Path) -> None:
    for seed in range(6):
        scene(seed).save(tmp_path / f"{seed}.png")
    coco(tmp_path / "instances_all.json", {f"{seed}.png": (0, 1) for seed in range(6)}, crowd=(1,))
    health = check(tmp_path)
    assert health.faults == (
        f"no usable image of '{tmp_path}' has a box of 'bolt' that is neither difficult nor a crowd: add some, or "
        "remove the class.",
    )
    assert health.warnings[0] == "Classes without a box, which are left away: 'washer'."


def test_copies_with_other_boxes_contradict_each_other(tmp_path: Path) -> None:
    for seed in range(8):
        scene(seed % 6).save(tmp_path / f"{seed}.png")
    held = {f"{seed}.png": (0,) for seed in range(8)} | {"7.png": (0, 1), "5.png": (1,)}
    coco(tmp_path / "instances_all.json", held)
    problems = {problem.file: problem for problem in check(tmp_path).problems}
    assert problems["6.png"].kind == "duplicate"
    assert problems["1.png"].detail == "the same image is labeled with 2 boxes as 7.png"
    assert {file for file, problem in problems.items() if problem.left_out} == {"1.png", "6.png", "7.png"}


def test_splits_of_other_labels_are_refused(tmp_path: Path) -> None:
    for seed in range(6):
        scene(seed).save(tmp_path / f"{seed}.png")
    coco(tmp_path / "instances_all.json", {f"{seed}.png": (0, 1) for seed in range(6)})
    dataset, _, _ = load_dataset(tmp_path)
    write_splits(tmp_path / "splits.csv", dataset)
    with pytest.raises(DataError, match=r"splits.csv does not fit the net's labels: \['bolt'.* is no box"):
        read_dataset(tmp_path, ("nut", "screw"), tmp_path / "splits.csv")
