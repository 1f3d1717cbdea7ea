"""The cache of prepared images: the same pixels, nothing decoded twice, and no harm from kills, damage or others."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data import shards
from pocketvision.data.arrays import prepared, prepared_each
from pocketvision.data.check import load_dataset
from pocketvision.data.shards import Mapped, Shelf, gathered, images_folder, key_of, make_room, write_shard
from pocketvision.images.prepare import load
from pocketvision.values import ImageSpec

SPEC = ImageSpec(24)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path) -> Path:
    random = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (*random.integers(8, 90, 2), 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.jpg")
    return tmp_path / "data"


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """Count what is decoded."""
    seen: list[int] = []
    for name in ("arrays", "inspect"):
        room = importlib.import_module(f"pocketvision.data.{name}")
        for function in ("decode", "read"):
            if hasattr(room, function):
                real = getattr(room, function)
                monkeypatch.setattr(room, function, lambda *a, real=real, **k: (seen.append(1), real(*a, **k))[1])
    return seen


def expected(dataset, spec=SPEC) -> np.ndarray:
    return np.stack([load(dataset.path(example), spec) for example in dataset.examples])


def shard_files() -> list[Path]:
    return sorted(images_folder().glob("*/*.npy"))


def test_a_second_run_decodes_nothing_and_has_the_same_pixels(data, counted):
    dataset, health, decoded = load_dataset(data)
    specs = [SPEC, ImageSpec(30, "crop", 0.9)]
    first = prepared_each(dataset, dataset.examples, specs, decoded=decoded)
    assert len(counted) == 40
    again, same_health, empty = load_dataset(data)
    second = prepared_each(again, again.examples, specs, decoded=empty)
    assert len(counted) == 40
    assert (again, same_health) == (dataset, health)
    for spec, old, new in zip(specs, first, second, strict=True):
        assert np.array_equal(old, expected(dataset, spec))
        assert np.array_equal(new, old)


def test_of_data_that_grew_only_the_new_is_decoded(data, counted):
    dataset, _, _ = load_dataset(data)
    prepared(dataset, dataset.examples[:30], SPEC)
    counted.clear()
    assert np.array_equal(prepared(dataset, dataset.examples, SPEC), expected(dataset))
    assert len(counted) == 10


def test_normalization_shares_pixels_and_all_else_does_not():
    assert key_of(SPEC) == key_of(ImageSpec(24, mean=(0.1, 0.2, 0.3), std=(1, 1, 1)))
    others = [ImageSpec(25), ImageSpec(24, "crop"), ImageSpec(24, "squash", 0.9)]
    assert len({key_of(spec) for spec in [SPEC, *others]}) == 4


def test_without_keep_nothing_is_written(data):
    dataset, _, _ = load_dataset(data)
    prepared(dataset, dataset.examples, SPEC, keep=False)
    assert shard_files() == []


def test_large_sets_stay_on_disk(data, monkeypatch):
    monkeypatch.setattr("pocketvision.data.arrays.IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(shards, "SHARD_BYTES", 10 * 24 * 24 * 3)
    dataset, _, _ = load_dataset(data)
    (images,) = prepared_each(dataset, dataset.examples, [SPEC])
    assert isinstance(images, Mapped)
    assert len(shard_files()) == 4
    assert images.shape == (40, 24, 24, 3)
    whole = expected(dataset)
    order = np.random.default_rng(0).permutation(40)[:17]
    assert np.array_equal(images[order], whole[order])
    assert np.array_equal(images[5:33:2], whole[5:33:2])
    assert images[40:].shape == (0, 24, 24, 3)
    for path in shard_files():
        path.unlink()  # another process makes room
    assert np.array_equal(images[order], whole[order])


def test_a_changed_file_is_not_kept_under_its_old_name(data):
    dataset, _, _ = load_dataset(data)
    example = dataset.examples[0]
    Image.new("RGB", (30, 30), "red").save(dataset.path(example))
    assert prepared(dataset, [example], SPEC)[0, 0, 0].tolist() != [0, 0, 0]
    assert shard_files() == []


@pytest.mark.parametrize("harm", ["cut", "grown", "table", "pixel", "text", "empty"])
def test_a_damaged_shard_counts_as_absent(data, harm):
    dataset, _, _ = load_dataset(data)
    prepared(dataset, dataset.examples, SPEC)
    (path,) = shard_files()
    content = path.read_bytes()
    at = {"table": len(content) - 40, "pixel": 5000}.get(harm, 0)
    flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    path.write_bytes({"cut": content[:-1], "grown": content + b"x", "text": b"hello", "empty": b""}.get(harm, flipped))
    assert np.array_equal(prepared(dataset, dataset.examples, SPEC), expected(dataset))


def test_a_kill_leaves_no_shard_and_old_drafts_go(data, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_shard(images_folder() / "key", [("ab" * 32, np.zeros((4, 4, 3), np.uint8))])
    assert list(images_folder().rglob("*.*")) == []
    draft = images_folder() / "key" / ".x.npy.1.part"
    draft.write_bytes(b"half")
    make_room()
    assert draft.exists()
    os.utime(draft, (1, 1))
    make_room()
    assert not draft.exists()


def test_where_nothing_can_be_written_the_images_come_all_the_same(data, cache, monkeypatch):
    dataset, _, _ = load_dataset(data)
    monkeypatch.setattr("pocketvision.cache.SPARE_BYTES", 10**18)
    said = []

    class Told:
        say = said.append

        def bar(self, title, total):
            from pocketvision.progress import Silent

            return Silent().bar(title, total)

    assert np.array_equal(prepared(dataset, dataset.examples, SPEC, progress=Told()), expected(dataset))
    assert shard_files() == []
    assert len(said) == 1
    assert "would stay free" in said[0]


def test_room_is_made_for_what_was_used_last():
    rows = [("ab" * 32, np.zeros((10, 10, 3), np.uint8))]
    paths = [write_shard(images_folder() / f"key{number}", rows) for number in range(4)]
    for age, path in zip((3, 1, 4, 2), paths, strict=True):
        os.utime(path, (1e9 - age, 1e9 - age))
    mine = paths[0].with_name("mine.npy")
    mine.write_bytes(b"an array of the user's own")
    os.utime(mine, (1, 1))
    make_room(2 * paths[0].stat().st_size)
    assert [path.exists() for path in paths] == [False, True, False, True]
    assert mine.exists()


def test_two_processes_at_once(data):
    code = (
        "import sys\n"
        "from pocketvision.data.arrays import prepared\n"
        "from pocketvision.data.check import load_dataset\n"
        "from pocketvision.values import ImageSpec\n"
        "dataset, _, decoded = load_dataset(sys.argv[1])\n"
        "prepared(dataset, dataset.examples, ImageSpec(24), decoded=decoded)\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(data)]) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    shelf = Shelf(SPEC)
    dataset, _, _ = load_dataset(data)
    contents = [example.sha256 for example in dataset.examples]
    assert all(shelf.whole(content) for content in contents)
    assert np.array_equal(gathered(shelf, contents), expected(dataset))


def test_a_killed_process_leaves_whole_shards_only(data):
    """It dies between two shards; the next one takes what the first had finished."""
    code = (
        "import os, sys\n"
        "from pocketvision.data import shards\n"
        "from pocketvision.data.arrays import prepared\n"
        "from pocketvision.data.check import load_dataset\n"
        "from pocketvision.values import ImageSpec\n"
        "shards.SHARD_BYTES = 10 * 24 * 24 * 3\n"
        "real, done = shards.write_shard, []\n"
        "def write(*given):\n"
        "    if len(done) == 2: os._exit(9)\n"
        "    done.append(1)\n"
        "    return real(*given)\n"
        "shards.write_shard = write\n"
        "dataset, _, _ = load_dataset(sys.argv[1])\n"
        "prepared(dataset, dataset.examples, ImageSpec(24))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(data)], check=False).returncode == 9
    assert len(shard_files()) == 2
    dataset, _, _ = load_dataset(data)
    shelf = Shelf(SPEC)
    assert sum(shelf.whole(example.sha256) for example in dataset.examples) == 20
    assert np.array_equal(prepared(dataset, dataset.examples, SPEC), expected(dataset))
