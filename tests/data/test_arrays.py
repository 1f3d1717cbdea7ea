"""Digits, parallel work in order, and prepared arrays that equal preparing each image by hand."""

import importlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data import digits as digits_room
from pocketvision.data.arrays import prepared
from pocketvision.data.check import load_dataset
from pocketvision.data.digits import COUNT, digits_folder, resolve
from pocketvision.data.parallel import AHEAD, in_order
from pocketvision.errors import ImageError, UsageError
from pocketvision.images.prepare import load
from pocketvision.progress import Silent
from pocketvision.tasks.classify.answers import targets
from pocketvision.values import ImageSpec


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def digits(cache, monkeypatch) -> Path:
    monkeypatch.setenv("POCKETVISION_CACHE", str(cache))
    return digits_folder()


def test_digits_are_scikit_learns(digits, cache):
    from sklearn.datasets import load_digits

    assert digits == cache / "digits"
    assert len(list(digits.glob("*/*.png"))) == COUNT
    assert sorted(path.name for path in cache.iterdir()) == ["digits"]
    source = load_digits()
    for index in (0, 5, 1796):
        pixels = np.asarray(Image.open(digits / str(source.target[index]) / f"{index}.png"))
        assert np.array_equal(pixels, np.rint(source.images[index] * 255 / 16))
    assert sum(1 for _ in (digits / "7").iterdir()) == (source.target == 7).sum()


def test_digits_are_made_once_and_mended(digits, monkeypatch):
    real = importlib.import_module("pocketvision.data.digits")._write
    calls = []
    monkeypatch.setattr(digits_room, "_write", lambda folder: (calls.append(folder), real(folder)))
    assert digits_folder() == digits
    assert not calls
    (digits / "0/0.png").unlink()
    assert digits_folder() == digits
    assert len(calls) == 1
    assert (digits / "0/0.png").exists()
    assert sorted(path.name for path in digits.parent.iterdir()) == ["digits"]


def test_a_half_made_folder_never_gets_the_name(tmp_path, monkeypatch):
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path))

    def fail(folder: Path):
        (folder / "0").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(digits_room, "_write", fail)
    with pytest.raises(KeyboardInterrupt):
        digits_folder()
    assert list(tmp_path.iterdir()) == []


class Heard(Silent):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.mark.parametrize("name", ["digits", "hf://someone/pets"])
def test_an_own_folder_of_the_name_wins_and_that_is_said(digits, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    folder, heard = tmp_path / name, Heard()
    for label, start in (("cat", 0), ("dog", 10)):
        (folder / label).mkdir(parents=True)
        for number in range(4):
            pixels = np.random.default_rng(start + number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    assert resolve(name, heard) == Path(name)
    (line,) = heard.said
    assert str(folder) in line
    assert "another folder" in line
    dataset, _, _ = load_dataset(name)
    assert dataset.labels == ("cat", "dog")
    assert dataset.mirror_safe
    assert resolve(Path(name), heard) == Path(name)
    assert len(heard.said) == 1


def test_a_file_called_digits_is_no_data(digits, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").write_text("notes")
    assert resolve("digits") == digits


def test_a_folder_of_the_users_is_not_taken_for_damaged_digits(tmp_path, monkeypatch):
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path))
    mine = tmp_path / "digits" / "7" / "1.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(UsageError, match="POCKETVISION_CACHE"):
        digits_folder()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_resolve(digits, monkeypatch, tmp_path):
    assert resolve("digits") == digits
    assert resolve("./digits") == Path("digits")
    assert resolve(tmp_path) == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/x") == tmp_path / "x"


def test_digits_must_not_be_mirrored(digits):
    dataset, health, decoded = load_dataset("digits")
    assert not dataset.mirror_safe
    assert health.problems == ()
    assert health.labels == tuple("0123456789")
    assert len(dataset.examples) == COUNT
    spec = ImageSpec(16)
    examples = dataset.of("test")
    images = prepared(dataset, examples, spec, decoded=decoded)
    assert images.shape == (len(examples), 16, 16, 3)
    assert np.array_equal(images[3], load(dataset.path(examples[3]), spec))
    labels = targets(examples)
    assert labels.dtype == np.int64
    assert labels.tolist() == [int(example.file.split("/")[0]) for example in examples]


@pytest.fixture
def folder(tmp_path_factory, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
    random = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(30):
            size = tuple(random.integers(8, 90, 2))
            pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.jpg")
    return tmp_path


@pytest.mark.parametrize("spec", [ImageSpec(24), ImageSpec(24, "crop", 0.8)])
def test_prepared_equals_one_by_one_and_keeps_the_order(folder, spec):
    dataset, _, decoded = load_dataset(folder)
    examples = dataset.examples[::-1]
    expected = np.stack([load(dataset.path(example), spec) for example in examples])
    assert np.array_equal(prepared(dataset, examples, spec, decoded=decoded), expected)
    assert np.array_equal(prepared(dataset, examples, spec), expected)


def test_nothing_to_prepare(folder):
    dataset, _, _ = load_dataset(folder)
    assert prepared(dataset, (), ImageSpec(24)).shape == (0, 24, 24, 3)
    assert targets(()).shape == (0,)


def test_a_file_that_went_bad_is_named(folder):
    dataset, _, decoded = load_dataset(folder)
    example = dataset.examples[4]
    dataset.path(example).write_bytes(b"gone bad")
    with pytest.raises(ImageError, match=f"'{example.file}' could be read before, but no longer: not an image"):
        prepared(dataset, dataset.examples, ImageSpec(24))
    assert len(prepared(dataset, dataset.examples, ImageSpec(24), decoded=decoded)) == 60


def test_in_order_keeps_order_whatever_takes_longer():
    def slow_first(number: int) -> int:
        time.sleep(0.002 * (20 - number))
        return number * number

    assert list(in_order(slow_first, range(20))) == [number * number for number in range(20)]


def test_in_order_does_not_run_ahead(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    begun = []
    results = in_order(lambda number: begun.append(number) or number, range(1000))
    assert next(results) == 0
    assert len(begun) <= 2 * AHEAD + 1
    results.close()
    assert not any(thread.name.startswith("pocketvision") for thread in threading.enumerate())


def test_in_order_ends_at_the_first_error():
    def fail(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = in_order(fail, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
