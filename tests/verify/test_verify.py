"""`verify`: a right file passes, every kind of wrong file is found, and limits are judged one by one."""

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.splits import write_splits
from pocketvision.errors import BudgetMissed, DataError, UsageError, VerificationFailed
from pocketvision.files import read_json
from pocketvision.graph.graph import Graph
from pocketvision.values import Proof
from pocketvision.verbs.verify import verify
from pocketvision.verify.outcome import raise_for, verdict_lines
from pocketvision.verify.verdicts import NOT_MEASURED


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment only: what is tested here is what becomes of the times."""
    timing = importlib.import_module("pocketvision.verify.timing")
    monkeypatch.setattr(timing, "measure", partial(timing.measure, visits=1, visit_ms=1))


def test_the_right_file_passes(toy: Any, tmp_path: Path) -> None:
    proof = verify(toy.file, toy.data, output=tmp_path, max_size="1MB", max_latency="1s", max_macs="1M")
    raise_for(proof)
    assert proof.failures == ()
    assert proof.unreadable == ()
    assert proof.agreement is not None
    assert proof.agreement.same_answer == 1.0
    assert proof.agreement.largest_gap < 1e-5
    assert proof.agreement.count == proof.accuracy.count == len(toy.dataset.of("test"))
    assert proof.probe_gap < 1e-5
    assert proof.accuracy.value > 0.9
    assert proof.size_bytes == toy.file.stat().st_size
    assert [verdict.passed for verdict in proof.verdicts] == [True, True, True]
    assert read_json(Proof, tmp_path / "verify.json") == proof


def test_other_resizers_are_asked_about_the_same_images(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proof = verify(toy.file, toy.data)
    assert [row.resizer for row in proof.resized] == ["pillow", "opencv-linear", "opencv-area", "browser", "nearest"]
    ours = proof.resized[0]
    assert ours.same_answer == 1.0
    assert (ours.accuracy.value, ours.accuracy.count) == (proof.accuracy.value, proof.accuracy.count)
    assert all(0 < row.same_answer <= 1 and row.accuracy.count == ours.accuracy.count for row in proof.resized)
    resizing = importlib.import_module("pocketvision.verify.resizing")
    monkeypatch.setattr(
        resizing, "prepare_as", lambda name, pixels, spec: np.zeros((spec.resolution,) * 2 + (3,), "u1")
    )
    blind = verify(toy.file, toy.data).resized
    assert blind[0] == ours
    assert all(row.same_answer < 1 for row in blind[1:])


def test_other_resizers_are_asked_about_some_of_many(toy: Any) -> None:
    from pocketvision.runtime import open as open_model
    from pocketvision.verify.inference import ask
    from pocketvision.verify.resizing import under_resizers

    runner, root = open_model(toy.file), Path(toy.dataset.root)
    answers = ask(runner, root, toy.dataset.of("test"))
    some = under_resizers(runner, root, answers, most=5)
    assert {row.accuracy.count for row in some} == {5}
    assert under_resizers(runner, root, ask(runner, root, ())) == ()


def test_other_resizers_end_with_the_clock(toy: Any) -> None:
    from pocketvision.clock import Clock
    from pocketvision.runtime import open as open_model
    from pocketvision.verify.inference import ask
    from pocketvision.verify.resizing import under_resizers

    class Counting(Clock):
        """A clock that loses a second whenever it is asked."""

        def left(self) -> float:
            self.limit_s -= 1
            return self.limit_s

    runner, root = open_model(toy.file), Path(toy.dataset.root)
    answers = ask(runner, root, toy.dataset.of("test"))
    few = under_resizers(runner, root, answers, clock=Counting(6))
    assert {row.accuracy.count for row in few} == {5}
    assert under_resizers(runner, root, answers, clock=Counting(0)) == ()
    whole = verify(toy.file, toy.data, time_limit="1h").resized
    assert whole == verify(toy.file, toy.data).resized


def test_answers_and_confusion_go_by_name(toy: Any) -> None:
    proof = verify(toy.file, toy.data)
    assert {answer.label for answer in proof.answers} == set(toy.manifest.labels)
    for answer in proof.answers:
        assert answer.file.startswith(f"{answer.label}/")
        assert 1 / 3 <= answer.probability <= 1
    matrix = np.array(proof.confusion)
    assert matrix.sum() == proof.accuracy.count
    assert matrix.trace() == sum(answer.label == answer.predicted for answer in proof.answers)


def shuffled(toy: Any) -> Graph:
    return toy.with_linear(np.roll(3 * np.eye(3, dtype=np.float32), 1, axis=0))


def renormalized(toy: Any) -> Graph:
    entry = replace(toy.graph.input, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Graph((entry, *toy.graph.nodes[1:]))


@pytest.mark.parametrize("damage", [shuffled, renormalized])
def test_a_damaged_net_is_found(toy: Any, tmp_path: Path, damage: Any) -> None:
    proof = verify(toy.deliver(tmp_path, graph=damage(toy)), toy.data)
    with pytest.raises(VerificationFailed, match="probes differ") as caught:
        raise_for(proof)
    assert caught.value.exit_code == 4


def test_permuted_labels_are_found(toy: Any, tmp_path: Path) -> None:
    wrong = replace(toy.manifest, labels=("red", "blue", "green"))
    proof = verify(toy.deliver(tmp_path, manifest=wrong), toy.data)
    assert proof.probe_gap < 1e-5, "probes cannot see names"
    assert proof.accuracy.value < 0.1, "answers go by name"
    with pytest.raises(VerificationFailed, match="output 0 is 'red' in the file and 'blue' in the data") as caught:
        raise_for(proof)
    assert caught.value.exit_code == 4
    assert any("in a wrong order" in sentence for sentence in proof.failures)


def test_a_file_that_answers_nan_is_found(toy: Any, tmp_path: Path) -> None:
    broken = toy.with_linear(np.full((3, 3), np.nan, np.float32))
    proof = verify(toy.deliver(tmp_path, graph=broken), toy.data, output=tmp_path)
    assert any("NaN" in sentence for sentence in proof.failures)
    assert proof.probe_gap == 1.0
    json.loads((tmp_path / "verify.json").read_text(), parse_constant=pytest.fail)


def test_nothing_to_compare_with_is_a_failure(toy: Any, tmp_path: Path) -> None:
    file = toy.deliver(tmp_path, manifest=replace(toy.manifest, probes=()))
    assert verify(file, toy.data).failures == ()
    file.with_name("trained_outputs.npz").unlink()
    assert "nothing to compare with" in verify(file, toy.data).failures[0]


def test_each_limit_is_judged(toy: Any) -> None:
    proof = verify(
        toy.file,
        toy.data,
        max_size="100",
        max_latency=1000,
        max_macs="0.0001M",
        max_memory="1MB",
        max_params=24,
        min_accuracy=0.5,
    )
    outcome = {verdict.limit: verdict.passed for verdict in proof.verdicts}
    assert outcome == {
        "max_size": False,
        "max_latency": True,
        "max_macs": False,
        "max_memory": True,
        "max_params": True,
        "min_accuracy": True,
    }
    lines = verdict_lines(proof)
    assert [line.split()[0] for line in lines] == ["FAIL", "PASS", "FAIL", "PASS", "PASS", "PASS"]
    assert "95% interval" in lines[-1]
    with pytest.raises(BudgetMissed) as caught:
        raise_for(proof)
    assert caught.value.exit_code == 3
    assert all(line in str(caught.value) for line in lines)


def test_limits_hold_at_equality_and_break_just_beyond(toy: Any) -> None:
    size = toy.file.stat().st_size
    accuracy = verify(toy.file, toy.data).accuracy.value
    exact = verify(toy.file, toy.data, max_size=size, min_accuracy=accuracy)
    assert [verdict.passed for verdict in exact.verdicts] == [True, True]
    tight = verify(toy.file, toy.data, max_size=size - 1)
    assert [verdict.passed for verdict in tight.verdicts] == [False]


def test_counts_that_are_not_known_never_pass(toy: Any, tmp_path: Path) -> None:
    file = toy.deliver(tmp_path)
    file.with_name("cost.json").unlink()
    proof = verify(file, toy.data, max_macs="1G", max_size="1MB")
    assert [(verdict.passed, verdict.measured == NOT_MEASURED) for verdict in proof.verdicts] == [
        (True, False),
        (False, True),
    ]
    assert any("max_macs cannot be judged" in sentence for sentence in proof.failures)
    file.with_name("cost.json").write_text('{"params": 1}')
    with pytest.raises(DataError, match=r"cost\.json"):
        verify(file, toy.data, max_macs="1G")


def test_wrong_answers_come_before_a_broken_budget(toy: Any, tmp_path: Path) -> None:
    proof = verify(toy.deliver(tmp_path, graph=shuffled(toy)), toy.data, max_size=1)
    with pytest.raises(VerificationFailed):
        raise_for(proof)


def test_an_image_that_broke_since_is_named_and_left_out(toy: Any) -> None:
    victim = toy.dataset.of("test")[0]
    path = toy.dataset.path(victim)
    content = path.read_bytes()
    try:
        path.write_bytes(content[:40])
        proof = verify(toy.file, toy.dataset)
        path.unlink()
        gone = verify(toy.file, toy.dataset)
    finally:
        path.write_bytes(content)
    assert proof.unreadable == gone.unreadable == (victim.file,)
    assert proof.accuracy.count == len(toy.dataset.of("test")) - 1
    assert proof.failures == ()


def test_an_image_that_changed_since_is_not_compared(toy: Any) -> None:
    victim = toy.dataset.of("test")[0]
    path = toy.dataset.path(victim)
    content = path.read_bytes()
    try:
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
        proof = verify(toy.file, toy.dataset)
    finally:
        path.write_bytes(content)
    assert proof.agreement is not None
    assert proof.agreement.count == proof.accuracy.count - 1
    assert proof.failures == ()


def test_other_data_of_the_same_labels_is_judged_without_the_runs_outputs(toy: Any, tmp_path: Path) -> None:
    for number, image in enumerate(sorted(toy.data.rglob("*.png"))):
        if number % 3:
            copy = tmp_path / image.relative_to(toy.data)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(image.read_bytes())
    proof = verify(toy.file, tmp_path)
    assert proof.agreement is None
    assert proof.failures == ()


def test_other_labels_are_refused_with_the_difference(toy: Any, tmp_path: Path) -> None:
    for label in ("blue", "green", "yellow"):
        source = "red" if label == "yellow" else label
        (tmp_path / label).mkdir()
        for image in (toy.data / source).iterdir():
            (tmp_path / label / image.name).write_bytes(image.read_bytes())
    with pytest.raises(DataError, match="only in the file: red; only in the data: yellow"):
        verify(toy.file, tmp_path)


def test_given_outputs_are_used_and_judged(toy: Any, tmp_path: Path) -> None:
    beside = np.load(toy.file.with_name("trained_outputs.npz"))
    other = tmp_path / "other.npz"
    np.savez(other, files=beside["files"], probabilities=np.roll(beside["probabilities"], 1, axis=1))
    proof = verify(toy.file, toy.data, trained=other)
    assert proof.agreement is not None
    assert proof.agreement.same_answer < 0.1
    assert "another label than the trained net" in proof.failures[0]


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"files": np.array(["a.png"]), "probabilities": np.ones((1, 3))}, "none of the images"),
        ({"files": np.array(["a.png"]), "probabilities": np.ones((1, 4))}, "4 classes"),
        ({"files": np.array(["a.png"]), "probabilities": np.ones((2, 3))}, "wanted"),
        ({"files": np.array(["a.png"])}, "probabilities"),
        ({"files": np.array([{"a": 1}], object), "probabilities": np.ones((1, 3))}, "plain arrays"),
    ],
)
def test_unfit_outputs_are_refused(toy: Any, tmp_path: Path, *, arrays: Any, complaint: str) -> None:
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(DataError, match=complaint):
        verify(toy.file, toy.data, trained=tmp_path / "other.npz")


def test_outputs_that_are_no_archive_are_refused(toy: Any, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name in ("text.npz", "one.npy", "absent.npz"):
        with pytest.raises(DataError, match=r"no file( of trained outputs| .*absent)"):
            verify(toy.file, toy.data, trained=tmp_path / name)


def test_requests_that_cannot_be_met(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        verify(toy.file, toy.data, max_size="2 bananas")
    with pytest.raises(UsageError, match="unknown split"):
        verify(toy.file, toy.data, split="tests")
    with pytest.raises(DataError, match="there is no file"):
        verify(tmp_path / "absent.onnx", toy.data)


def test_the_runs_own_split_is_used_where_it_lies(toy: Any, tmp_path: Path) -> None:
    file = toy.deliver(tmp_path)
    chosen = toy.dataset.of("train")[:7]
    examples = tuple(replace(one, split="test" if one in chosen else "train") for one in toy.dataset.examples)
    write_splits(tmp_path / "splits.csv", replace(toy.dataset, examples=examples))
    proof = verify(file, toy.data)
    assert sorted(answer.file for answer in proof.answers) == sorted(example.file for example in chosen)


def test_the_runs_own_labels_are_compared(toy: Any, tmp_path: Path) -> None:
    file = toy.deliver(tmp_path)
    write_splits(tmp_path / "splits.csv", toy.dataset)
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    assert verify(file, toy.data).failures == ()
    (tmp_path / "labels.txt").write_text("green\nblue\nred\n")
    assert "output 0 is 'blue' in the file and 'green' in the data" in verify(file, toy.data).failures[0]
    (tmp_path / "labels.txt").write_text("green\nblue\n")
    with pytest.raises(DataError, match=r"splits\.csv has labels that the net does not: red"):
        verify(file, toy.data)


def test_a_list_of_splits_for_other_images_is_passed_over(toy: Any, tmp_path: Path) -> None:
    file = toy.deliver(tmp_path)
    examples = tuple(replace(example, file=f"elsewhere/{example.file}") for example in toy.dataset.examples)
    write_splits(tmp_path / "splits.csv", replace(toy.dataset, examples=examples))
    proof = verify(file, toy.data)
    assert proof.accuracy.count == len(toy.dataset.of("test"))
    assert proof.failures == ()


SCRIPT = """
import sys
from pathlib import Path
from pocketvision.verify.outcome import raise_for
from pocketvision.verbs.verify import verify
from pocketvision.verbs.predict import predict
from pocketvision.verbs.bench import bench
file, data = sys.argv[1:]
raise_for(verify(file, data))
print(predict(file, [data])[0].label)
bench([file])
assert "torch" not in sys.modules, "torch was imported"
"""


def test_no_torch_is_needed(toy: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(toy.file), str(toy.data)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "blue"
