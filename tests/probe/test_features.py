"""Features once: kept on disk, found again, computed anew where images, weights or the file changed."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketvision.data.augment import Augment
from pocketvision.data.check import load_dataset
from pocketvision.data.feature_files import FeatureWriter, data_key, make_room, read_features
from pocketvision.models.catalogue import build_spec
from pocketvision.probe import features as room
from pocketvision.probe.features import Backbone, ProbeImages, ProbeViews, extract
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights.load import read
from pocketvision.weights.safetensors import save

SPEC = ModelSpec("mobilenet_v1", 0.125, 32, 5)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that went through any net."""
    seen: list[int] = []
    plain = room.embedded

    def counting(net: object, batch: torch.Tensor) -> np.ndarray:
        seen.append(len(batch))
        return plain(net, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "embedded", counting)
    return seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dice = np.random.default_rng(0)
    for label in ("a", "b"):
        for number in range(20):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(dice.integers(0, 256, (40, 48, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def image_batch(folder: Path, *, seed: int = 42) -> ProbeImages:
    dataset, _, decoded = load_dataset(folder, seed=seed)
    return ProbeImages(dataset, dataset.examples, decoded)


def backbone(folder: Path, *, seed: int = 0, spec: ModelSpec = SPEC) -> Backbone:
    torch.manual_seed(seed)
    path = folder / f"{spec.name}-{seed}.safetensors"
    image = ImageSpec(spec.resolution)
    save(build_spec(spec), spec, image=image, labels=None, path=path)
    return Backbone(read(path), hashlib.sha256(path.read_bytes()).hexdigest(), image)


def test_the_second_time_no_net_is_run(folder: Path, tmp_path: Path, counted: list[int]) -> None:
    net = backbone(tmp_path)
    first = extract([net], image_batch(folder))[0]
    assert (sum(counted), first.computed) == (40, 40)
    # Another split of the same images is still the same images.
    again = image_batch(folder, seed=7)
    second = extract([net], again)[0]
    assert (sum(counted), second.computed) == (40, 0)
    assert np.array_equal(first.stored.rows, second.stored.rows)
    assert second.stored.image_ms == first.stored.image_ms > 0
    assert isinstance(second.stored.rows, np.memmap)


def test_features_are_those_of_the_net_in_the_order_asked_for(folder: Path, tmp_path: Path) -> None:
    from pocketvision.data.tensors import to_input
    from pocketvision.images.prepare import load

    net, shown = backbone(tmp_path), image_batch(folder)
    asked = shown.dataset.of("val")[::-1] + shown.dataset.of("test")
    rows = extract([net], shown)[0].of(asked)
    pixels = np.stack([load(shown.dataset.path(example), net.image) for example in asked])
    with torch.no_grad():
        expected = net.build().embed(to_input(pixels, net.image, torch.device("cpu"))).numpy()
    assert rows.shape == (len(asked), 128)
    assert np.abs(rows - expected).max() < 1e-4 * np.abs(expected).max()


def test_only_new_images_are_computed(folder: Path, tmp_path: Path, counted: list[int]) -> None:
    net = backbone(tmp_path)
    before = extract([net], image_batch(folder))[0]
    dice = np.random.default_rng(5)
    for number in range(3):
        Image.fromarray(dice.integers(0, 256, (40, 48, 3), np.uint8)).save(folder / "a" / f"new{number}.png")
    (folder / "b" / "0.png").unlink()
    after = extract([net], image_batch(folder))[0]
    assert after.computed == 3
    assert sum(counted) == 43
    kept = [content for content in after.stored.contents if content in before.stored.contents]
    rows = {content: row for content, row in zip(before.stored.contents, before.stored.rows, strict=True)}
    assert len(kept) == 39
    for content, row in zip(after.stored.contents, after.stored.rows, strict=True):
        if content in rows:
            assert np.array_equal(row, rows[content])


def test_other_weights_rules_and_changed_images_are_computed_anew(
    folder: Path, tmp_path: Path, counted: list[int]
) -> None:
    net = backbone(tmp_path)
    extract([net], image_batch(folder))
    assert extract([backbone(tmp_path, seed=1)], image_batch(folder))[0].computed == 40
    assert (
        extract([replace(net, image=replace(net.image, mean=(0.4, 0.4, 0.4)))], image_batch(folder))[0].computed == 40
    )
    assert extract([replace(net, image=replace(net.image, crop_mode="crop"))], image_batch(folder))[0].computed == 40
    Image.new("RGB", (40, 40), "red").save(folder / "a" / "0.png")
    assert extract([net], image_batch(folder))[0].computed == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_file_is_computed_again(folder: Path, tmp_path: Path, cache: Path, damage: str) -> None:
    net = backbone(tmp_path)
    first = np.array(extract([net], image_batch(folder))[0].stored.rows)
    (file,) = cache.glob("*/*.npy")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    content = {"cut": whole[:-100], "flipped": bytes(flipped), "empty": b"", "text": b"no features at all " * 9}[damage]
    file.write_bytes(content)
    assert read_features(file) is None
    again = extract([net], image_batch(folder))[0]
    assert again.computed == 40
    assert np.array_equal(again.stored.rows, first)
    assert file.read_bytes()[: whole.index(b'{"contents"')] == whole[: whole.index(b'{"contents"')]
    assert extract([net], image_batch(folder))[0].computed == 0


def test_an_interrupted_run_leaves_nothing(
    folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(net: object, batch: torch.Tensor) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "embedded", stopped)
    with pytest.raises(KeyboardInterrupt):
        extract([backbone(tmp_path)], image_batch(folder))
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_nets_of_one_size_share_their_pixels(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[int] = []
    plain = room.prepared

    def counting(dataset: object, examples: list[object], *rest: object, **settings: object) -> np.ndarray:
        prepared.append(len(examples))
        return plain(dataset, examples, *rest, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "prepared", counting)
    small, other = backbone(tmp_path), backbone(tmp_path, seed=1)
    other = replace(other, image=replace(other.image, mean=(0.4, 0.4, 0.4)))
    larger = backbone(tmp_path, seed=2, spec=replace(SPEC, resolution=48))
    found = extract([small, larger, other], image_batch(folder))
    assert sum(prepared) == 80
    assert [one.computed for one in found] == [40, 40, 40]
    alone = extract([replace(other, digest="0")], image_batch(folder))[0]
    assert np.array_equal(alone.stored.rows, found[2].stored.rows)


def test_views_are_the_same_whatever_stands_beside_them(folder: Path, tmp_path: Path) -> None:
    net, shown = backbone(tmp_path), image_batch(folder)
    views = ProbeViews(3, seed=1, augment=Augment(flip=False))
    every = extract([net], shown, views=views)[0]
    few = shown.dataset.of("val")
    again = extract([replace(net, digest="0")], replace(shown, examples=few), views=views)[0]
    assert every.stored.rows.shape == (40, 3, 128)
    size = np.abs(every.stored.rows).max()
    for view in range(3):
        assert np.abs(every.of(few, view) - again.of(few, view)).max() < 1e-3 * size
    assert np.abs(every.of(few, 1) - every.of(few, 0)).max() > 0.05 * size
    assert np.abs(every.of(few, 1) - every.of(few, 2)).max() > 0.05 * size
    assert extract([net], shown, views=replace(views, seed=2))[0].computed == 40
    assert np.array_equal(
        extract([net], shown)[0].of(few), extract([net], shown, views=ProbeViews(1, seed=9))[0].of(few)
    )


def test_maps_are_pooled_and_hidden_layers_belong_to_the_features(folder: Path, tmp_path: Path) -> None:
    nets = [
        backbone(tmp_path, spec=ModelSpec("squeezenet1_1", 0.25, 48, 5)),
        backbone(tmp_path, spec=ModelSpec("mobilenet_v3_small_minimalistic", 0.25, 48, 5)),
    ]
    maps, hidden = extract(nets, image_batch(folder))
    assert maps.stored.rows.shape == (40, 1, 128)
    assert hidden.stored.rows.shape[2] == nets[1].build().classifier[0].out_features


def test_a_folder_that_cannot_be_written_to_only_costs_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    news: list[str] = []

    class Told(room.Silent):
        def say(self, text: str) -> None:
            news.append(text)

    (tmp_path / "cache").write_text("a file, where a folder should be")
    found = extract([backbone(tmp_path)], image_batch(folder), progress=Told())[0]
    assert found.stored.rows.shape == (40, 1, 128)
    assert len(news) == 1
    assert "cannot be kept" in news[0]


# ---------------------------------------------------------------- the files


def written(folder: Path, name: str, rows: int = 4) -> Path:
    contents = tuple(f"{name}{row}" for row in range(rows))
    path = folder / "net" / f"{data_key(contents)}.npy"
    writer = FeatureWriter(path, contents)
    writer.add(np.full((rows, 1, 8), 0.5, np.float32))
    writer.finish(1.5)
    return path


def test_a_file_is_plain_numpy_with_a_record_behind_it(tmp_path: Path) -> None:
    path = written(tmp_path, "x")
    assert np.load(path).shape == (4, 1, 8)
    stored = read_features(path)
    assert stored is not None
    assert (stored.contents, stored.image_ms) == (("x0", "x1", "x2", "x3"), 1.5)


def test_files_used_longest_ago_make_room(cache: Path) -> None:
    import os

    paths = [written(cache, name) for name in "abc"]
    (paths[0].parent / "mine.npy").write_bytes(b"an array of the user's own")
    for age, path in enumerate(paths):
        os.utime(path, (1000 - age, 1000 - age))
    assert read_features(paths[2]) is not None  # reading counts as using
    draft = paths[0].with_name(".left.npy.1.part")
    draft.write_bytes(b"half")
    os.utime(draft, (1000, 1000))
    make_room(paths[0], 2 * paths[0].stat().st_size)
    assert [path.exists() for path in paths] == [True, False, True]
    assert not draft.exists()
    make_room(paths[0], 1)
    assert [path.exists() for path in paths] == [True, False, False]
    assert (paths[0].parent / "mine.npy").exists()


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = written(tmp_path, "x")
    late = FeatureWriter(path, tuple(f"x{row}" for row in range(4)))
    late.add(np.full((2, 1, 8), 0.5, np.float32))
    stored = read_features(path)
    assert stored is not None
    late.add(np.full((2, 1, 8), 0.5, np.float32))
    late.finish(1.5)
    assert np.array_equal(stored.rows, np.load(path))
