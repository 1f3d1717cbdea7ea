"""A split depends on content and seed alone; splits.csv brings the same data set back."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from pocketvision.data.splits import (
    assign,
    assign_boxes,
    check_shares,
    position,
    read_dataset,
    read_splits,
    split_of,
    write_splits,
)
from pocketvision.errors import DataError, UsageError
from pocketvision.files import lines_of
from pocketvision.values import Dataset, Example


def contents(count: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def test_positions_are_uniform_and_differ_by_seed():
    places = [position(sha256, 42) for sha256 in contents(4000)]
    assert all(0 <= place < 1 for place in places)
    tenths = Counter(int(place * 10) for place in places)
    assert all(330 < tenths[tenth] < 470 for tenth in range(10))
    assert position(contents(1)[0], 42) != position(contents(1)[0], 43)


def test_a_split_is_what_it_was():
    """A change of the rule would silently move test images into training."""
    splits = " ".join(split_of(sha256, seed=42, val=0.2, test=0.2) for sha256 in contents(8))
    assert splits == "train train val test test val val train"


def test_shares_are_kept():
    counts = Counter(split_of(sha256, seed=1, val=0.15, test=0.1) for sha256 in contents(4000))
    assert counts["val"] == pytest.approx(600, abs=60)
    assert counts["test"] == pytest.approx(400, abs=60)
    assert set(assign(contents(50), seed=1, val=0, test=0).values()) == {"train"}


def test_adding_images_moves_no_other():
    before = assign(contents(60), seed=42, val=0.15, test=0.15)
    after = assign(contents(300), seed=42, val=0.15, test=0.15)
    assert {sha256: after[sha256] for sha256 in before} == before
    assert assign(reversed(contents(60)), seed=42, val=0.15, test=0.15) == before


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("count", [3, 4, 5])
def test_small_classes_have_every_split(seed, count):
    splits = assign(contents(count), seed=seed, val=0.15, test=0.15)
    assert set(splits.values()) == {"train", "val", "test"}
    assert assign(contents(count)[::-1], seed=seed, val=0.15, test=0.15) == splits
    assert "test" not in assign(contents(count), seed=seed, val=0.15, test=0).values()


def test_the_nearest_image_is_moved():
    tried = 0
    for seed in range(60):
        plain = {sha256: split_of(sha256, seed=seed, val=0.2, test=0.2) for sha256 in contents(4)}
        if Counter(plain.values()) == Counter(train=3, val=1):
            lowest = min((sha256 for sha256 in plain if plain[sha256] == "train"), key=lambda c: position(c, seed))
            assert assign(contents(4), seed=seed, val=0.2, test=0.2) == plain | {lowest: "test"}
            tried += 1
    assert tried > 3


def test_every_class_of_boxes_gets_everywhere_as_far_as_it_has_images():
    for seed in range(60):
        names = contents(40, start=100 * seed)
        # Class 0 is everywhere, 1 in three images, 2 in two, 3 in one, 4 only together with 1.
        held = {name: frozenset({0}) for name in names}
        held |= {name: frozenset({0, 1, 4}) for name in names[:3]}
        held |= {names[3]: frozenset({2}), names[4]: frozenset({0, 2}), names[5]: frozenset({3}), names[6]: frozenset()}
        splits = assign_boxes(held, seed=seed, val=0.15, test=0.15)
        found = {label: {splits[name] for name in names if label in held[name]} for label in range(5)}
        assert found[0] == found[1] == found[4] == {"train", "val", "test"}
        assert found[2] == {"train", "val"}, "train first, then val"
        assert found[3] == {"train"}
        assert splits == assign_boxes(dict(reversed(held.items())), seed=seed, val=0.15, test=0.15)
        plain = assign(names, seed=seed, val=0.15, test=0.15)
        moved = [name for name in names if splits[name] != plain[name]]
        assert all(held[name] != frozenset({0}) for name in moved), "no more is moved than must be"
        without = assign_boxes(held, seed=seed, val=0.15, test=0)
        assert set(without.values()) == {"train", "val"}


def test_near_copies_with_boxes_stay_together():
    for seed in range(30):
        names = contents(30, start=100 * seed)
        leaders = {name: names[place - place % 3] for place, name in enumerate(names)}
        held = {name: frozenset({place % 5 // 4}) for place, name in enumerate(names)}
        splits = assign_boxes(held, seed=seed, val=0.2, test=0.2, leaders=leaders)
        assert all(splits[name] == splits[leaders[name]] for name in names)
        assert {splits[name] for name in names if held[name] == {1}} == {"train", "val", "test"}
    two = assign_boxes(dict.fromkeys(names[:2], frozenset({0})), seed=0, val=0.2, test=0.2, leaders=leaders)
    assert set(two.values()) == {"train", "val"}


def test_fewer_than_three_train():
    assert set(assign(contents(2), seed=0, val=0.5, test=0.4).values()) == {"train"}


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.5), (1.0, 0.0)])
def test_impossible_shares(val, test):
    with pytest.raises(UsageError, match=r"together below 1|takes a number from 0 to below 1"):
        check_shares(val, test)


# ---------------------------------------------------------------- splits.csv


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    names = ["b, c/ä 1.jpg", 'a"q/2.png', "b, c/3\n4.jpg"]
    examples = []
    for index, name in enumerate(names):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        examples.append(Example(name, (1, 0, 1)[index], ("train", "val", "test")[index], sha256))
    return Dataset(str(tmp_path / "root"), ('a"q', "b, c"), tuple(examples))


def test_there_and_back(tmp_path, dataset):
    write_splits(tmp_path / "splits.csv", dataset)
    text = (tmp_path / "splits.csv").read_text(encoding="utf-8")
    assert text.startswith("file,label,split,sha256\n")
    assert '"b, c",train,' in text
    assert read_dataset(Path(dataset.root), dataset.labels, tmp_path / "splits.csv") == dataset


def test_a_changed_or_absent_file_is_named(tmp_path, dataset):
    write_splits(tmp_path / "splits.csv", dataset)
    (Path(dataset.root) / 'a"q/2.png').write_bytes(b"other")
    with pytest.raises(DataError, match=r'1 images have changed.*a"q/2\.png'):
        read_dataset(Path(dataset.root), dataset.labels, tmp_path / "splits.csv")
    (Path(dataset.root) / 'a"q/2.png').unlink()
    with pytest.raises(DataError, match=r'a"q/2\.png.* is gone'):
        read_dataset(Path(dataset.root), dataset.labels, tmp_path / "splits.csv")
    with pytest.raises(DataError, match="labels that the net does not"):
        read_dataset(Path(dataset.root), ("b, c",), tmp_path / "splits.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have the columns file,label,.* or file,attributes,.* or file,boxes,split,sha256; it has none"),
        ("file,label,split\n", "must have the columns"),
        ("file,label,split,sha256\na.jpg,a,dev,00\n", "line 2 .* split 'dev'"),
        ("file,label,split,sha256\na.jpg,a,val\n", "line 2 .* 3 values"),
        ("file,label,split,sha256\n../a.jpg,a,val,00\n", "out of the data folder"),
        ("file,label,split,sha256\n/etc/a.jpg,a,val,00\n", "out of the data folder"),
    ],
)
def test_unknown_tables_are_refused(tmp_path, text, message):
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_splits(tmp_path / "splits.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_splits(tmp_path / "absent.csv")


def test_lines_end_at_line_feeds_only():
    names = ["a\u2028b", "c\x85d", "e\x0bf", "g\x1ch", "", "i"]
    assert lines_of("".join(f"{name}\n" for name in names)) == names
    assert lines_of("a\r\nb\r\n") == lines_of("a\nb") == ["a", "b"]
    assert lines_of("") == []


def test_odd_file_names_come_back_from_splits_csv(tmp_path):
    names = ["a\rb.jpg", "a\nb.jpg", 'a"b, c.jpg', " a\u2028b.jpg ", "\r.jpg"]
    dataset = Dataset("x", ("cat", "dog"), tuple(Example(name, 0, "train", "0" * 64) for name in names))
    write_splits(tmp_path / "splits.csv", dataset)
    assert [row.file for row in read_splits(tmp_path / "splits.csv")] == names


def test_a_class_of_one_image_is_trained_on_even_where_it_was_all_that_validates():
    for seed in range(40):
        names = contents(3, start=10 * seed)
        plain = assign(names, seed=seed, val=0.15, test=0.15)
        alone = next(name for name in names if plain[name] == "val")
        held = {name: frozenset({0, 1} if name == alone else {0}) for name in names}
        splits = assign_boxes(held, seed=seed, val=0.15, test=0.15)
        assert (splits[alone], set(splits.values())) == ("train", {"train", "val", "test"})
