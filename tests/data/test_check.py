"""Checking real and broken folders: nothing bad gets in, everything bad is named, nothing good is lost."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.check import digest, load_dataset
from pocketvision.data.decoded import DecodedCache
from pocketvision.errors import DataError, UsageError
from pocketvision.files import read_json
from pocketvision.values import Dataset, Health
from pocketvision.verbs.check import check


def image(seed: int, size=(12, 10)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def content(seed: int, kind="PNG", **options) -> bytes:
    stream = io.BytesIO()
    image(seed).save(stream, kind, **options)
    return stream.getvalue()


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Two classes of 24 different images."""
    for label in ("cat", "dog"):
        for number in range(24):
            put(tmp_path / f"data/{label}/{number}.png", content(number + 100 * (label == "dog")))
    return tmp_path / "data"


def by_kind(health: Health) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for problem in health.problems:
        kinds.setdefault(problem.kind, set()).add(problem.file)
    return kinds


def splits(dataset: Dataset) -> dict[str, str]:
    return {example.file: example.split for example in dataset.examples}


def test_a_good_folder(good, tmp_path):
    health = check(good, output=tmp_path / "out")
    assert health.labels == ("cat", "dog")
    assert health.problems == ()
    assert health.warnings == ("48 of 48 images are smaller than 32 pixels; they are enlarged.",)
    assert sum(sum(counts.values()) for counts in health.counts.values()) == 48
    assert all(count for counts in health.counts.values() for count in counts.values())
    assert (health.median_short_side, health.smallest_short_side, health.largest_long_side) == (10, 10, 12)
    assert read_json(Health, tmp_path / "out/check.json") == health
    dataset, again, decoded = load_dataset(good)
    assert again == health
    assert dataset.mirror_safe
    assert digest(dataset) == health.digest
    assert len(decoded) == 48
    for example in dataset.examples:
        assert np.array_equal(decoded.get(example), np.asarray(Image.open(dataset.path(example))))


def spoil(data: Path) -> dict[str, int]:
    """Put some 40 broken and odd files beside the good ones."""
    jpeg = content(7, "JPEG")
    for number in range(6):
        put(data / f"cat/empty {number}.jpg", b"")
        put(data / f"cat/text {number}.jpg", b"I am no image, only named like one")
        put(data / f"dog/cut {number}.jpg", content(500 + number, "JPEG")[: 200 + 30 * number])
        put(data / f"dog/notes {number}.txt", b"a note")
        put(data / f"dog/copy {number}.png", content(100 + number))
    for number in range(3):
        put(data / f"cat/both {number}.png", content(900 + number))
        put(data / f"dog/both {number}.png", content(900 + number))
    put(data / "cat/really a png.jpg", content(800))
    put(data / "cat/no suffix", content(801))
    put(data / "cat/CAPITALS.JPG", jpeg)
    put(data / "dog/moving.gif", content(802, "GIF", save_all=True, append_images=[image(803)]))
    put(data / "dog/phone.heic", b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40)
    put(data / "dog/one.png", b"")
    Image.new("RGB", (1, 1), (9, 9, 9)).save(data / "dog/one.png")
    Image.new("RGB", (5000, 10), (9, 9, 9)).save(data / "dog/wide.png")
    return {
        "empty file": 6,
        "unreadable": 13,
        "not an image": 6,
        "duplicate": 6,
        "conflict": 6,
        "suffix": 2,
        "animated": 1,
    }


def test_broken_files_are_named_and_left_out(good):
    clean, _, _ = load_dataset(good)
    expected = spoil(good)
    dataset, health, _ = load_dataset(good)
    assert Counter(problem.kind for problem in health.problems) == expected
    left_out = {problem.file for problem in health.problems if problem.left_out}
    told = {problem.file for problem in health.problems if not problem.left_out}
    files = set(splits(dataset))
    assert told == {"cat/really a png.jpg", "cat/no suffix", "dog/moving.gif"}
    assert told <= files
    assert not left_out & files
    everything = {path.relative_to(good).as_posix() for path in good.rglob("*") if path.is_file()}
    assert left_out | files == everything
    assert all(problem.detail and "0x" not in problem.detail for problem in health.problems)
    reasons = {problem.file: problem.detail for problem in health.problems}
    assert "HEIC" in reasons["dog/phone.heic"]
    assert reasons["dog/copy 3.png"] == "the same image as dog/3.png"
    assert reasons["cat/both 0.png"] == "the same image is labeled 'dog' as dog/both 0.png"
    assert (health.smallest_short_side, health.largest_long_side) == (1, 5000)
    # What was there before has stayed where it was.
    assert {file: split for file, split in splits(dataset).items() if file in splits(clean)} == splits(clean)


def test_adding_renaming_and_removing_moves_nothing(good):
    before, health, _ = load_dataset(good)
    by_content = {example.sha256: example.split for example in before.examples}
    for number in range(40):
        put(good / f"cat/new {number}.png", content(2000 + number))
    (good / "dog/3.png").rename(good / "dog/zebra.png")
    (good / "dog/5.png").unlink()
    after, changed, _ = load_dataset(good)
    assert all(by_content.get(example.sha256, example.split) == example.split for example in after.examples)
    assert len(after.examples) == 48 + 40 - 1
    assert changed.digest != health.digest


def test_the_digest_names_contents_not_files(good):
    before = check(good).digest
    (good / "dog/3.png").rename(good / "dog/zebra.png")
    put(good / "dog/a copy.png", content(107))
    assert check(good).digest == before
    assert check(good, seed=7).digest == before
    (good / "cat").rename(good / "lion")
    assert check(good).digest != before


def test_seed_and_shares(good):
    assert splits(load_dataset(good, seed=1)[0]) != splits(load_dataset(good, seed=2)[0])
    counts = Counter(splits(load_dataset(good, val=0.4, test=0.4)[0]).values())
    assert counts["train"] < 20
    assert set(splits(load_dataset(good, val=0.2, test=0)[0]).values()) == {"train", "val"}
    with pytest.raises(UsageError, match="together below 1"):
        check(good, val=0.5, test=0.6)


def test_given_splits_stand_and_copies_never_straddle(tmp_path):
    for label, start in (("a", 0), ("b", 100)):
        for number in range(12):
            put(tmp_path / f"train/{label}/{number}.png", content(start + number))
        for number in range(4):
            put(tmp_path / f"val/{label}/v{number}.png", content(start + 50 + number))
            put(tmp_path / f"test/{label}/t{number}.png", content(start + 70 + number))
    put(tmp_path / "test/a/again.png", content(3))
    put(tmp_path / "val/b/again.png", content(104))
    put(tmp_path / "test/b/twice.png", content(150))
    dataset, health, _ = load_dataset(tmp_path)
    assert all(example.file.startswith(example.split) for example in dataset.examples)
    assert by_kind(health) == {"leak": {"train/a/3.png", "train/b/4.png", "val/b/v0.png"}}
    assert all(problem.left_out and problem.other for problem in health.problems)
    assert "Images that lie in two of your splits: 3. They are left out of the larger one." in health.warnings
    assert health.counts["a"] == {"train": 11, "val": 4, "test": 5}
    assert health.counts["b"] == {"train": 11, "val": 4, "test": 5}
    assert len({example.sha256 for example in dataset.examples}) == len(dataset.examples)


@pytest.mark.parametrize("given", ["val", "test"])
def test_what_is_missing_is_cut_from_train(tmp_path, given):
    for label, start in (("a", 0), ("b", 100)):
        for number in range(20):
            put(tmp_path / f"train/{label}/{number}.png", content(start + number))
        put(tmp_path / f"{given}/{label}/x.png", content(start + 50))
    dataset, health, _ = load_dataset(tmp_path)
    cut = {"val": "test", "test": "val"}[given]
    for counts in health.counts.values():
        assert counts[given] == 1
        assert counts[cut] >= 1
        assert counts["train"] + counts[cut] == 20
    assert {e.file for e in dataset.of(given)} == {f"{given}/a/x.png", f"{given}/b/x.png"}


def test_given_splits_that_lack_a_class_are_told_of(tmp_path):
    for label, start in (("a", 0), ("b", 100)):
        for number in range(5):
            put(tmp_path / f"train/{label}/{number}.png", content(start + number))
    put(tmp_path / "val/a/x.png", content(50))
    assert "No val image in 'b'." in check(tmp_path).warnings


def test_too_little_is_an_error_that_says_how_much(good):
    for number in range(1, 24):
        (good / f"dog/{number}.png").unlink()
    put(good / "dog/copy.png", content(100))
    put(good / "dog/broken.png", b"no image")
    with pytest.raises(
        DataError, match=r"'dog' has 1, add 2 \(1 unreadable, such as dog/broken\.png: not an .*; 1 repeated, such as"
    ) as raised:
        load_dataset(good)
    health = check(good)
    assert health.faults == (str(raised.value),)
    assert health.counts["dog"] == {"train": 1, "val": 0, "test": 0}
    assert by_kind(health)["duplicate"] == {"dog/copy.png"}
    put(good / "dog/2.png", content(102))
    put(good / "dog/3.png", content(103))
    assert check(good).counts["dog"] == {"train": 1, "val": 1, "test": 1}


def heic(number: int) -> bytes:
    return b"\0\0\0\x18ftypheic" + bytes([number]) * 40


def empty(number: int) -> bytes:
    return b""


def cut(number: int) -> bytes:
    return content(300 + number)[:60]


def of_a_cat(number: int) -> bytes:
    return content(number)


NOTHING_USABLE = [
    (heic, r"'bird' has 0, add 3 \(5 unreadable, such as (\w+/)?bird/0\.jpg: .*HEIC"),
    (empty, r"'bird' has 0, add 3 \(5 empty, such as (\w+/)?bird/0\.jpg: 0 bytes\)"),
    (cut, r"'bird' has 0, add 3 \(5 unreadable, such as (\w+/)?bird/0\.jpg: damaged"),
    (
        of_a_cat,
        r"'bird' has 0, add 3 \(5 under two labels, .* is labeled 'cat' as .*take away a folder that is no class",
    ),
]


def a_class_of(root: Path, layout: str, make: Callable[[int], bytes]) -> Path:
    """Three classes, of which `bird` is made; as folders, split folders, a CSV or JSON lines."""
    below = {"folders": "", "splits": "train/"}.get(layout, "images/")
    files = {f"{below}{label}/{n}.jpg": content(n + s) for label, s in (("cat", 0), ("dog", 100)) for n in range(12)}
    files |= {f"{below}bird/{number}.jpg": make(number) for number in range(5)}
    for file, data in files.items():
        put(root / file, data)
    labeled = [(file, file.split("/")[1]) for file in files]
    if layout == "csv":
        (root / "all.csv").write_text("filename,label\n" + "".join(f"{file},{label}\n" for file, label in labeled))
        return root / "all.csv"
    if layout == "jsonl":
        lines = (json.dumps({"file": file, "label": label}) + "\n" for file, label in labeled)
        (root / "all.jsonl").write_text("".join(lines))
        return root / "all.jsonl"
    return root


@pytest.mark.parametrize("layout", ["folders", "splits", "csv", "jsonl"])
@pytest.mark.parametrize(("make", "sentence"), NOTHING_USABLE)
def test_a_class_with_nothing_usable_is_named_with_the_cause(tmp_path, layout, make, sentence):
    data = a_class_of(tmp_path, layout, make)
    with pytest.raises(DataError, match=sentence) as raised:
        load_dataset(data)
    health = check(data)
    assert health.faults == (str(raised.value),)
    assert health.counts["bird"] == {"train": 0, "val": 0, "test": 0}
    assert not any("bird" in warning for warning in health.warnings)


def test_a_class_of_missing_files_and_one_of_strangers_are_named_with_the_cause(tmp_path):
    data = a_class_of(tmp_path / "table", "csv", empty)
    for number in range(5):
        (tmp_path / f"table/images/bird/{number}.jpg").unlink()
    with pytest.raises(
        DataError, match=r"'bird' has 0, add 3 \(5 missing, such as images/bird/0\.jpg: there is no such"
    ):
        load_dataset(data)
    folder = a_class_of(tmp_path / "folders", "folders", lambda number: content(200) if number == 0 else b"")
    for number in range(1, 5):
        (folder / f"bird/{number}.jpg").rename(folder / f"bird/{number}.cr2")
    with pytest.raises(DataError, match=r"'bird' has 1, add 2 \(4 no image, such as bird/1\.cr2: no image by its"):
        load_dataset(folder)


def test_where_nothing_at_all_is_usable_it_is_said_why(tmp_path):
    for label in ("a", "b"):
        for number in range(4):
            put(tmp_path / f"{label}/{number}.png", content(number))
    with pytest.raises(DataError, match=r"'a' has 0, add 3 \(4 under two labels.*'b' has 0"):
        check(tmp_path)


def test_one_stray_folder_of_copies_is_the_cause(good):
    put(good / "all/1.png", content(3))
    with pytest.raises(
        DataError, match=r"'all' has 0, add 3 \(1 under two labels, such as all/1\.png: .* 'cat' as cat/"
    ):
        load_dataset(good)


def test_a_class_whose_training_images_are_all_in_test(tmp_path):
    for number in range(4):
        for folder in ("train", "test"):
            put(tmp_path / f"{folder}/a/{number}.png", content(number))
        put(tmp_path / f"train/b/{number}.png", content(100 + number))
    with pytest.raises(DataError, match=r"to train on in the class 'a' .* \(4 in another split too, such as") as raised:
        load_dataset(tmp_path)
    assert check(tmp_path).faults == (str(raised.value),)


def test_notes(tmp_path):
    for number in range(40):
        put(tmp_path / f"a/{number}.png", content(number))
    for number in range(6):
        stream = io.BytesIO()
        image(100 + number, (100, 40)).save(stream, "PNG")
        put(tmp_path / f"b/{number}.png", stream.getvalue())
    uneven, few, tiny = check(tmp_path).warnings
    assert "'a' has 40 images, 6.7 times as many as 'b' with 6" in uneven
    assert few.startswith("Fewer than 20 images in 'b'")
    assert tiny.startswith("40 of 46")
    for number in range(30):
        (tmp_path / f"a/{number}.png").unlink()
    for number in range(10):
        stream = io.BytesIO()
        image(200 + number, (100, 40)).save(stream, "PNG")
        put(tmp_path / f"b/more {number}.png", stream.getvalue())
    assert any("16 of 26 images are far from square" in note for note in check(tmp_path).warnings)


def test_the_cache_stops_at_its_limit():
    cache = DecodedCache(limit_bytes=100)
    small, large = np.zeros((4, 4, 3), np.uint8), np.zeros((6, 6, 3), np.uint8)
    cache.put("a", small)
    cache.put("b", large)
    cache.put("a", small)
    cache.put("c", small)
    assert len(cache) == 2
    assert cache.bytes_held == 96


def test_progress_counts_every_image(good):
    seen = []

    class Loud:
        def say(self, text):
            seen.append(text)

        def bar(self, title, total):
            seen.append((title, total))
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def advance(self, steps=1, *, note=""):
            seen.append(steps)

    check(good, progress=Loud())
    assert seen == [("Checking images", 48)] + [1] * 48


def test_checking_needs_no_torch():
    code = (
        "import sys; import pocketvision.data.check, pocketvision.data.arrays;"
        "sys.exit(bool({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0


# ---------------------------------------------------------------- real images


@pytest.mark.slow
def test_face_masks_run_through(shared_data):
    dataset, health, _ = load_dataset(shared_data / "face-mask")
    assert health.labels == ("with_mask", "without_mask")
    kinds = {kind: len(files) for kind, files in by_kind(health).items()}
    assert kinds == {"duplicate": 3, "suffix": 1, "near duplicate": 15}
    assert {statistic.kind: statistic.count for statistic in health.statistics}["transparent"] == 1
    where = {example.file: example.split for example in dataset.examples}
    near = [problem for problem in health.problems if problem.kind == "near duplicate"]
    assert all(where[problem.file] == where[problem.other] for problem in near)
    assert by_kind(health)["suffix"] == {"with_mask/with_mask129.jpg"}
    assert len(dataset.examples) == 997


def test_sign_digits_run_through(shared_data, tmp_path):
    few = tmp_path / "few"
    for folder in (shared_data / "sign-digits").iterdir():
        for file in sorted(folder.iterdir())[:12]:
            put(few / folder.name / file.name, b"")
            shutil.copyfile(file, few / folder.name / file.name)
    health = check(few)
    assert health.labels == tuple("0123456789")
    assert health.problems == ()
    assert all(count for counts in health.counts.values() for count in counts.values())
