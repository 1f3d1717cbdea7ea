"""Which images a file is judged on: told by content and label, whatever the files are called and wherever they lie."""

import csv
import importlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.app import run
from pocketvision.data.splits import write_splits
from pocketvision.errors import DataError
from pocketvision.values import Judged, Proof
from pocketvision.verbs.verify import verify
from pocketvision.verify.loading import Loading
from pocketvision.verify.outcome import judged_words, raise_for

Move = Callable[[Path], None]


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment only: what is tested here is what becomes of the times."""
    timing = importlib.import_module("pocketvision.verify.timing")
    monkeypatch.setattr(timing, "measure", partial(timing.measure, visits=1, visit_ms=1))
    monkeypatch.setattr(importlib.import_module("pocketvision.verify.compare"), "loading", lambda _: Loading(1.0, 1))


@pytest.fixture
def file(toy: Any, tmp_path: Path) -> Path:
    """Return a file in the folder of its run, with the run's list above it."""
    delivered: Path = toy.deliver(tmp_path / "run")
    write_splits(tmp_path / "run" / "splits.csv", toy.dataset)
    return delivered


@pytest.fixture
def photos(toy: Any, tmp_path: Path) -> Path:
    """Return a copy of the run's images that may be changed."""
    return Path(shutil.copytree(toy.data, tmp_path / "photos"))


def fresh(folder: Path, colors: dict[str, tuple[int, int, int]], count: int = 24) -> None:
    """Draw images that no run had, under the names that those of the run have."""
    rng = np.random.default_rng(7)
    for label, color in colors.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = np.clip(np.array(color) + rng.normal(0, 40, (20, 20, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("filename", "label"), *rows])
    return path


def judged(proof: Proof) -> Judged:
    assert proof.judged is not None
    assert proof.judged.judged == proof.accuracy.count == len(proof.answers)
    return proof.judged


def names(proof: Proof) -> set[str]:
    return {answer.file for answer in proof.answers}


def test_the_runs_images_are_judged_on_its_test_split(toy: Any, file: Path, photos: Path) -> None:
    proof = verify(file, photos)
    found, test = judged(proof), toy.dataset.of("test")
    assert names(proof) == {example.file for example in test}
    assert (found.given, found.of_run, found.new, found.relabeled) == (72, len(test), 0, 0)
    assert (found.trained_on, found.chosen_on) == (len(toy.dataset.of("train")), len(toy.dataset.of("val")))
    assert proof.agreement is not None
    assert proof.agreement.count == len(test)
    line = f"{len(test)} of 72 images in photos: the test split of the run; {72 - len(test)} were trained or chosen on"
    assert judged_words(found) == line


def test_other_images_of_the_same_names_are_all_judged(toy: Any, file: Path, tmp_path: Path) -> None:
    swapped = {"blue": (210, 50, 40), "green": (40, 60, 200), "red": (50, 190, 60)}
    fresh(tmp_path / "others", swapped)
    proof = verify(file, tmp_path / "others")
    assert judged(proof).new == 72
    assert proof.accuracy.value < 0.1
    assert proof.agreement is None
    assert judged_words(judged(proof)) == "all 72 images in others: none of them is known to the run"
    raise_for(proof)


def test_exchanged_labels_are_judged_as_given(toy: Any, file: Path, photos: Path) -> None:
    other = {"blue": "red", "red": "blue", "green": "green"}
    rows = [(one.file, other[toy.dataset.labels[one.target]]) for one in toy.dataset.examples]
    proof = verify(file, table(photos / "labels.csv", rows))
    found = judged(proof)
    assert found.relabeled == 48
    assert found.judged == 48 + found.of_run
    assert 0 < found.of_run < 24
    assert {answer.label for answer in proof.answers if answer.file.startswith("red/")} == {"blue"}
    assert proof.accuracy.value < 0.3
    assert "48 with another label than in the run" in judged_words(found)
    assert proof.agreement is not None, "the answers themselves are still those of the trained net"
    assert proof.agreement.same_answer == 1
    raise_for(proof)


def rename(photos: Path) -> None:
    """Exchange the names within each class, and lay everything deeper."""
    for label in ("blue", "green", "red"):
        (photos / label).rename(photos / f"{label} before")
        (photos / label / "deep").mkdir(parents=True)
        for number in range(24):
            (photos / f"{label} before" / f"{number}.png").rename(photos / label / "deep" / f"{23 - number}.png")
        (photos / f"{label} before").rmdir()


def into_split_folders(photos: Path) -> None:
    """Lay the images into folders that say other splits than the run's."""
    for path in sorted(photos.rglob("*.png")):
        split = ("test", "val", "train", "train")[int(path.stem) % 4]
        (photos / split / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(photos / split / path.parent.name / path.name)
    for label in ("blue", "green", "red"):
        (photos / label).rmdir()


def add_copies(photos: Path) -> None:
    for path in sorted((photos / "red").iterdir()):
        shutil.copy(path, photos / "red" / f"copy of {path.name}")


@pytest.mark.parametrize("move", [rename, into_split_folders, add_copies])
@pytest.mark.parametrize("listed", [True, False])
def test_moved_images_keep_the_split_of_their_content(
    toy: Any, file: Path, photos: Path, *, move: Move, listed: bool
) -> None:
    before = verify(file, photos)
    move(photos)
    if not listed:
        file.parent.with_name("splits.csv").unlink()
        # Such as the run leaves: told by content too.
        outputs = dict(np.load(file.with_name("trained_outputs.npz")))
        hashes = {one.file: one.sha256 for one in toy.dataset.examples}
        outputs["sha256"] = np.array([hashes[name] for name in outputs["files"].tolist()])
        np.savez(file.with_name("trained_outputs.npz"), **outputs)
    after = verify(file, photos)
    assert after.accuracy == before.accuracy
    assert after.agreement == before.agreement
    ours = replace(judged(before), given=0, repeated=0)
    assert replace(judged(after), given=0, repeated=0) == ours
    assert judged(after).repeated == (24 if move is add_copies else 0)


def test_part_of_the_images_keeps_the_run_in_mind(toy: Any, file: Path, photos: Path) -> None:
    gone = toy.dataset.of("test")[0]
    (photos / gone.file).unlink()
    shutil.rmtree(photos / "blue")
    proof = verify(file, photos)
    left = [one for one in toy.dataset.of("test") if not one.file.startswith("blue/") and one != gone]
    assert names(proof) == {one.file for one in left}
    assert judged(proof).given == 48 - (not gone.file.startswith("blue/"))
    raise_for(proof)


def test_images_stored_anew_are_new(toy: Any, file: Path, photos: Path) -> None:
    for path in sorted((photos / "red").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    found = judged(verify(file, photos))
    assert found.new == 24
    assert found.of_run == sum(one.target != 2 for one in toy.dataset.of("test"))
    assert f"({found.of_run}), 24 that the run did not have; " in judged_words(found)


def test_a_mixture_leaves_out_what_was_trained_on(toy: Any, file: Path, photos: Path) -> None:
    fresh(photos / "more", {"blue": (40, 60, 200)}, count=5)
    for path in (photos / "more" / "blue").iterdir():
        path.rename(photos / "blue" / f"new {path.name}")
    shutil.rmtree(photos / "more")
    proof = verify(file, photos)
    found, test = judged(proof), {one.file for one in toy.dataset.of("test")}
    assert found.new == 5
    assert names(proof) == test | {f"blue/new {number}.png" for number in range(5)}
    assert proof.agreement is not None
    assert proof.agreement.count == len(test)


def test_a_split_asked_for_is_the_runs(toy: Any, file: Path, photos: Path) -> None:
    fresh(photos, {"green": (50, 190, 60)}, count=2)
    for split in ("train", "val", "test"):
        proof = verify(file, photos, split=split)
        wanted = {one.file for one in toy.dataset.of(split)} - {"green/0.png", "green/1.png"}
        assert names(proof) == wanted
        assert judged(proof).split == split
        line = f"{len(wanted)} of 72 images in photos: the {split} split of the run"
        assert judged_words(judged(proof)).split("; ")[0] == line


def test_only_images_that_were_trained_on_are_refused(toy: Any, file: Path, photos: Path) -> None:
    for one in toy.dataset.of("test"):
        (photos / one.file).unlink()
    with pytest.raises(DataError, match="trained or chosen on every image in photos: give images"):
        verify(file, photos)
    with pytest.raises(DataError, match="no image in the split 'test' of the run"):
        verify(file, photos, split="test")
    assert verify(file, photos, split="train").accuracy.count == len(toy.dataset.of("train"))


def test_an_image_under_two_labels_is_left_out(toy: Any, file: Path, photos: Path) -> None:
    one = next(one for one in toy.dataset.of("test") if one.file.startswith("red/"))
    shutil.copy(photos / one.file, photos / "blue" / "the same.png")
    proof = verify(file, photos)
    assert one.file not in names(proof)
    assert judged(proof).repeated == 2
    assert "2 are copies of others or given under two labels" in judged_words(judged(proof))


def test_what_cannot_be_read_is_counted_apart(toy: Any, file: Path, photos: Path) -> None:
    one = toy.dataset.of("test")[0]
    (photos / one.file).write_bytes((photos / one.file).read_bytes()[:60])
    proof = verify(file, photos)
    assert proof.unreadable == (one.file,)
    assert judged(proof).unreadable == 1
    assert judged_words(judged(proof)).endswith("; 1 cannot be read")
    for path in photos.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="none of the 72 images to judge by can be read"):
        verify(file, photos)


def test_without_the_list_a_part_is_not_taken_for_the_run(toy: Any, file: Path, photos: Path) -> None:
    file.parent.with_name("splits.csv").unlink()
    (photos / "red" / "0.png").unlink()
    proof = verify(file, photos)
    assert judged(proof).known is False
    assert judged(proof).new == 71
    line = "all 71 images in photos: it is not known whether the net was trained on any of them"
    assert judged_words(judged(proof)) == line
    by_rule = verify(file, photos, split="test")
    assert names(by_rule) <= {one.file for one in toy.dataset.of("test")}
    assert "test split by the run's rule (it is not known" in judged_words(judged(by_rule))
    assert "trained or chosen on" not in judged_words(judged(by_rule))


def test_the_list_of_another_run_is_left_aside(toy: Any, file: Path, photos: Path) -> None:
    examples = tuple(replace(one, split="train", sha256=one.sha256[::-1]) for one in toy.dataset.examples)
    write_splits(file.parent.with_name("splits.csv"), replace(toy.dataset, examples=examples))
    assert names(verify(file, photos)) == {one.file for one in toy.dataset.of("test")}


def test_a_file_that_names_no_data_is_judged_on_all(toy: Any, photos: Path, tmp_path: Path) -> None:
    manifest = replace(toy.manifest, data_digest="", splits={}, figures={})
    proof = verify(toy.deliver(tmp_path / "foreign", manifest=manifest), photos)
    assert proof.accuracy.count == 72
    assert proof.failures == ()
    with pytest.raises(DataError, match=r"in the split 'val' is not known.* or leave --split away"):
        verify(tmp_path / "foreign" / "export" / "model.onnx", photos, split="val")


def test_permuted_labels_are_found_where_images_are_gone(toy: Any, photos: Path, tmp_path: Path) -> None:
    wrong = replace(toy.manifest, labels=("red", "blue", "green"))
    file = toy.deliver(tmp_path / "run", manifest=wrong)
    write_splits(tmp_path / "run" / "splits.csv", toy.dataset)
    (photos / toy.dataset.of("test")[0].file).unlink()
    sentences = verify(file, photos).failures
    assert any("in a wrong order" in sentence for sentence in sentences)


def test_a_biased_part_raises_no_alarm(toy: Any, photos: Path, tmp_path: Path) -> None:
    """Of the test images only those of the class that the net knows worst are given: that is no fault of the file."""
    weight = 3 * np.eye(3, dtype=np.float32)
    weight[0] = -9
    blind = toy.with_linear(weight)
    whole = verify(toy.deliver(tmp_path / "first", graph=blind), photos).accuracy
    manifest = replace(toy.manifest, figures={"test": whole})
    file = toy.deliver(tmp_path / "run", graph=blind, manifest=manifest)
    write_splits(tmp_path / "run" / "splits.csv", toy.dataset)
    for one in toy.dataset.of("test"):
        if one.target:
            (photos / one.file).unlink()
    proof = verify(file, photos)
    assert proof.accuracy.high < whole.low
    assert not any("accuracy is" in sentence for sentence in proof.failures)


def test_the_first_line_says_what_is_judged(
    toy: Any, file: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = len(toy.dataset.of("test"))
    for words in (["verify", str(file), str(photos)], ["verify", str(file), str(toy.file), str(photos)]):
        assert run(words) == 0
        first = capsys.readouterr().out.splitlines()[0]
        assert first.startswith(f"judging {test} of 72 images in ")
    fresh(photos, {"blue": (40, 60, 200)})
    assert run(["verify", str(file), str(photos)]) == 0
    assert "24 that the run did not have" in capsys.readouterr().out.splitlines()[0]


def test_a_name_stays_on_its_line(toy: Any, file: Path, photos: Path) -> None:
    odd = photos.rename(photos.with_name("my\nphotos"))
    assert " images in my photos: the test split" in judged_words(judged(verify(file, odd)))


def test_the_list_of_images_may_be_given_as_records(toy: Any, file: Path, photos: Path) -> None:
    others = replace(toy.dataset, root=str(photos))
    swapped = {"blue": (210, 50, 40), "green": (40, 60, 200), "red": (50, 190, 60)}
    assert judged(verify(file, others)).of_run == len(toy.dataset.of("test"))
    fresh(photos, swapped)
    found = judged(verify(file, others))
    assert (found.new, found.of_run) == (72, 0), "the records say other contents than lie there"


def test_files_of_several_runs_say_which_images_each_had(
    toy: Any, file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = replace(toy.manifest, data_digest="0" * 64)
    stranger = toy.deliver(tmp_path / "stranger", manifest=manifest)
    assert run(["verify", str(file), str(stranger), str(photos)]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.endswith(f"trained or chosen on ({file})")
    assert second.endswith(f"it is not known whether the net was trained on any of them ({stranger})")


@pytest.mark.parametrize("table_kind", ["contents", "names"])
def test_outputs_of_the_trained_net_count_for_their_content(
    toy: Any, file: Path, photos: Path, *, table_kind: str
) -> None:
    """Two test images of different classes exchange their names, and so their labels."""
    red, blue = (next(one for one in toy.dataset.of("test") if one.target == label) for label in (2, 0))
    outputs = dict(np.load(file.with_name("trained_outputs.npz")))
    if table_kind == "contents":
        hashes = {one.file: one.sha256 for one in toy.dataset.examples}
        outputs["sha256"] = np.array([hashes[name] for name in outputs["files"].tolist()])
        np.savez(file.with_name("trained_outputs.npz"), **outputs)
    (photos / red.file).rename(photos / "aside")
    (photos / blue.file).rename(photos / red.file)
    (photos / "aside").rename(photos / blue.file)
    proof = verify(file, photos)
    assert judged(proof).relabeled == 2
    assert proof.agreement is not None
    assert (proof.agreement.same_answer, proof.agreement.count) == (1, len(toy.dataset.of("test")))
    assert {one.predicted for one in proof.answers if one.file == red.file} == {"blue"}
