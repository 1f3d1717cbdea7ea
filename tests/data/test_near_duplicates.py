"""Near duplicates: found whatever was done to them, told apart from lookalikes, and kept in one split."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from pocketvision.data.check import load_dataset
from pocketvision.data.near_duplicates import near_groups
from pocketvision.data.perceptual_hash import BYTES, SIDE, color_gap, contrast, hashes, likeness, signatures_of, stacked
from pocketvision.data.splits import assign, position
from pocketvision.images.decode import read
from pocketvision.verbs.check import check


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Return an image with structure at several scales, as photographs have it."""
    generator = np.random.default_rng(seed)
    layers = [
        Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        for side in (3, 6, 12)
    ]
    return Image.blend(Image.blend(layers[0], layers[1], 0.5), layers[2], 0.3)


def saved(image: Image.Image, quality: int = 85) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def signature_of(content: bytes, least: int | None = None) -> bytes:
    signatures, _ = signatures_of([read(content, small=SIDE, least=least).small])
    return signatures[0].tobytes()


EDITS = {
    "saved again": lambda image: saved(image, 40),
    "half": lambda image: saved(image.resize((80, 60), Image.Resampling.BILINEAR)),
    "larger": lambda image: saved(image.resize((333, 250), Image.Resampling.BICUBIC)),
    "squashed": lambda image: saved(image.resize((96, 96))),
    "brighter": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.1)),
    "sharper": lambda image: saved(image.filter(ImageFilter.SHARPEN)),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_is_found_among_others(edit):
    originals = [saved(scene(seed)) for seed in range(40)]
    copies = [EDITS[edit](scene(seed)) for seed in range(0, 40, 4)]
    groups = near_groups(stacked([signature_of(content) for content in (*originals, *copies)]))
    assert groups.tolist() == [*range(40), *range(0, 40, 4)]


def test_a_reduced_decoding_gives_the_same_group():
    contents = [saved(scene(seed, (1200, 900))) for seed in range(6)]
    signatures = [signature_of(content) for content in contents] + [
        signature_of(content, least=128) for content in contents
    ]
    assert near_groups(stacked(signatures)).tolist() == [*range(6), *range(6)]


@pytest.mark.parametrize(
    "other",
    [
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: image.rotate(90),
        lambda image: Image.merge("RGB", image.split()[::-1]),
    ],
    ids=["mirrored", "turned", "in other colors"],
)
def test_a_lookalike_is_no_copy(other):
    contents = [saved(scene(seed)) for seed in range(10)] + [saved(other(scene(seed))) for seed in range(10)]
    assert near_groups(stacked([signature_of(content) for content in contents])).tolist() == list(range(20))


def test_images_of_one_tone_are_alone():
    blank = [saved(Image.new("RGB", (64, 64), (tone, tone, tone))) for tone in (0, 1, 254, 255)]
    signatures = stacked([signature_of(content) for content in blank])
    assert near_groups(signatures).tolist() == [0, 1, 2, 3]
    assert near_groups(np.empty((0, BYTES), np.uint8)).tolist() == []


def test_signatures():
    red, grey = Image.new("RGB", (40, 40), (200, 0, 0)), scene(1).convert("L").convert("RGB")
    signatures, greys = signatures_of(
        [image.resize((16, 16)).tobytes() for image in (red, grey, scene(1).resize((16, 16)))]
    )
    assert signatures.shape == (3, BYTES)
    assert greys.tolist() == [False, True, False]
    luma, cb, cr = (int(value) for value in np.asarray(red.convert("YCbCr"))[0, 0])
    assert np.abs(signatures[0].astype(int) - np.repeat([luma, cb, cr], [256, 16, 16])).max() <= 1
    assert contrast(signatures)[0] == 0
    assert likeness(signatures[1:2], signatures[2:3])[0] > 0.95
    assert color_gap(signatures[1:2], signatures[2:3])[0] > 16
    assert len(set(hashes(signatures).tolist())) > 1


def planted(count: int, seed: int) -> np.ndarray:
    """Return signatures of which every fifth is a slightly changed copy of the one before."""
    generator = np.random.default_rng(seed)
    waves = generator.normal(0, 1, (count, 6, 6))
    smooth = np.stack([np.asarray(Image.fromarray(w.astype(np.float32)).resize((16, 16))) for w in waves])
    smooth[4::5] = smooth[3::5] + generator.normal(0, 0.01, smooth[4::5].shape)
    levels = (smooth.reshape(count, -1) * 40 + 128).clip(0, 255)
    return np.concatenate([levels, np.full((count, 32), 128)], axis=1).astype(np.uint8)


def test_the_search_finds_what_comparing_each_with_each_finds():
    signatures = planted(1000, 0)
    brightness = signatures[:, :256].astype(np.float64)
    brightness -= brightness.mean(axis=1, keepdims=True)
    brightness /= np.linalg.norm(brightness, axis=1, keepdims=True)
    codes = hashes(signatures)
    far = np.bitwise_count(codes[:, None] ^ codes[None]) > 7
    pairs = np.argwhere(np.triu((brightness @ brightness.T >= 0.99) & ~far, 1))
    groups = near_groups(signatures)
    assert len(pairs) >= 195
    assert all(groups[one] == groups[other] for one, other in pairs)
    assert (groups != np.arange(1000)).sum() == len(pairs)


def test_a_fixed_camera_is_one_group_and_no_quadratic_work():
    frames = np.repeat(planted(1, 3), 20_000, axis=0)
    frames[:, :256] += np.random.default_rng(0).integers(0, 3, (20_000, 256), dtype=np.uint8)
    assert not near_groups(frames).any()


# ---------------------------------------------------------------- splits and words


def many(root: Path, labels: tuple[str, ...] = ("a", "b")) -> None:
    for number, label in enumerate(labels):
        for seed in range(20):
            put(root / label / f"{seed}.jpg", saved(scene(1000 * number + seed)))


def test_near_copies_share_a_split_and_adding_moves_no_other(tmp_path):
    many(tmp_path)
    before = {example.file: example.split for example in load_dataset(tmp_path)[0].examples}
    chance = random.Random(1)
    for seed in range(20):
        image = scene(seed).resize((chance.randint(60, 150), chance.randint(60, 150)))
        put(tmp_path / "a" / f"{seed} again.jpg", saved(image, 60))
    dataset, health, _ = load_dataset(tmp_path)
    after = {example.file: example.split for example in dataset.examples}
    near = [problem for problem in health.problems if problem.kind == "near duplicate"]
    assert len(near) == 20
    assert not any(problem.left_out for problem in near)
    assert all(after[f"a/{seed}.jpg"] == after[f"a/{seed} again.jpg"] for seed in range(20))
    assert len({after[f"a/{seed}.jpg"] for seed in range(20)}) == 3
    assert {file: split for file, split in after.items() if file[0] == "b"} == {
        file: split for file, split in before.items() if file[0] == "b"
    }
    hashes_of = {example.file: example.sha256 for example in dataset.examples}
    kept = [s for s in range(20) if hashes_of[f"a/{s}.jpg"] < hashes_of[f"a/{s} again.jpg"]]
    assert kept
    assert all(after[f"a/{seed}.jpg"] == before[f"a/{seed}.jpg"] for seed in kept)


def test_a_class_of_one_group_is_split_all_the_same(tmp_path):
    many(tmp_path, ("a",))
    for quality in (50, 60, 70, 80, 90):
        put(tmp_path / f"b/{quality}.jpg", saved(scene(5000), quality))
    health = check(tmp_path)
    assert all(health.counts["b"].values())
    assert any(warning.startswith("Near duplicates in 'b' lie in several splits") for warning in health.warnings)


def test_groups_are_placed_by_their_leader():
    contents = [f"{number:064x}" for number in range(60)]
    leaders = {sha256: contents[index // 3 * 3] for index, sha256 in enumerate(contents)}
    splits = assign(contents, seed=42, val=0.2, test=0.2, leaders=leaders)
    assert all(splits[sha256] == splits[leaders[sha256]] for sha256 in contents)
    places = {sha256: position(leaders[sha256], 42) for sha256 in contents}
    assert all((splits[sha256] == "test") == (place < 0.2) for sha256, place in places.items())


def test_leaks_and_contradictions_are_told(tmp_path):
    many(tmp_path / "train")
    for label, first in (("a", 100), ("b", 1100)):
        for seed in range(first, first + 4):
            put(tmp_path / "test" / label / f"{seed}.jpg", saved(scene(seed)))
    put(tmp_path / "train/a/leak.jpg", saved(scene(101).resize((90, 70)), 60))
    put(tmp_path / "train/b/both.jpg", saved(scene(3), 50))
    health = check(tmp_path)
    told = {problem.file: problem for problem in health.problems}
    assert set(told) == {"train/a/leak.jpg", "train/b/both.jpg", "train/a/3.jpg"}
    assert told["train/a/leak.jpg"].kind == "leak"
    assert told["train/a/leak.jpg"].detail == "nearly the same image as test/a/101.jpg, in test"
    assert told["train/b/both.jpg"].detail == "nearly the same image is labeled 'a' as train/a/3.jpg"
    assert {problem.kind for problem in told.values()} == {"leak", "near conflict"}
    assert any(
        warning.startswith("Images that nearly repeat one in another of your splits: 1.") for warning in health.warnings
    )


def test_a_row_without_a_split_follows_its_copy(tmp_path):
    lines = ["filename,label,split"]
    for label, start in (("a", 0), ("b", 1000)):
        for seed in range(start, start + 12):
            put(tmp_path / f"{seed}.jpg", saved(scene(seed)))
            lines.append(f"{seed}.jpg,{label},{('train', 'val', 'test')[seed % 3]}")
    put(tmp_path / "free.jpg", saved(scene(2), 50))
    (tmp_path / "labels.csv").write_text("\n".join([*lines, "free.jpg,a,"]))
    where = {example.file: example.split for example in load_dataset(tmp_path / "labels.csv")[0].examples}
    assert where["2.jpg"] == where["free.jpg"] == "test"


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "files"), [("sign-digits", 0), ("smiles", 0), ("cifar10-subset", 2), ("bccd", 1)])
def test_plain_sets_raise_no_false_alarm(shared_data, folder, files):
    kinds = ("near duplicate", "near conflict", "leak")
    assert sum(problem.kind in kinds for problem in check(shared_data / folder).problems) <= files
