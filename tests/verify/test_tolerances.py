"""The tolerances, and what is seen through a stand-in runner."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvision.errors import DataError, WeightsError
from pocketvision.metrics.accuracy import wilson
from pocketvision.runtime.fake import FakeRunner
from pocketvision.values import Agreement, Probe, TaskSpec
from pocketvision.verify.agreement import Agreed, TrainedOutputs, compare, probe_gap
from pocketvision.verify.inference import Answers, ask
from pocketvision.verify.tolerances import accuracy_fault, failures

SPEC = TaskSpec("classify", ("blue", "green", "red"))


def fixed(row: tuple[float, ...]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: np.tile(np.float32(row), (len(images), 1))


def judged(toy: Any, *, precision: str = "float", same: float = 1.0, count: int = 1000, gap: float = 0.0) -> tuple:
    manifest = replace(toy.manifest, precision=precision)
    runner = FakeRunner(manifest, fixed((1, 0, 0)))
    answers = ask(runner, toy.data, toy.dataset.of("test"))
    compared = Agreed(Agreement(same, 0.0, count), round((1 - same) * count), count)
    return failures(manifest, answers, compared=compared, gap=gap, label_fault=None)


@pytest.mark.parametrize(
    ("precision", "same", "right"),
    [("float", 0.99, True), ("float", 0.97, False), ("int8", 0.96, True), ("int8", 0.92, False)],
)
def test_int8_may_flip_more_labels_than_float(toy: Any, precision: str, same: float, *, right: bool) -> None:
    assert (judged(toy, precision=precision, same=same) == ()) is right


@pytest.mark.parametrize(
    ("precision", "gap", "right"),
    [("float", 5e-4, True), ("float", 5e-3, False), ("int8", 5e-3, True), ("int8", 0.2, False)],
)
def test_int8_probes_may_be_further_off(toy: Any, precision: str, gap: float, *, right: bool) -> None:
    assert (judged(toy, precision=precision, gap=gap) == ()) is right


def test_one_flip_among_few_images_is_no_alarm_but_many_are(toy: Any) -> None:
    assert judged(toy, precision="int8", same=18 / 20, count=20) == ()
    assert judged(toy, precision="int8", same=12 / 20, count=20) != ()


def test_accuracy_below_the_stated_one_is_a_fault_only_beyond_chance(toy: Any) -> None:
    manifest = replace(toy.manifest, figures={"test": wilson(95, 100), "validation": wilson(90, 100)})
    assert accuracy_fault(manifest, "test", wilson(92, 100)) is None
    assert accuracy_fault(manifest, "test", wilson(100, 100)) is None
    assert "80.0%" in (accuracy_fault(manifest, "test", wilson(80, 100)) or "")
    assert accuracy_fault(manifest, "val", wilson(80, 100)) is None
    assert accuracy_fault(manifest, "train", wilson(1, 100)) is None


def test_probe_gap_is_the_largest_difference(toy: Any) -> None:
    image = toy.manifest.probes[0].png_base64
    probes = (Probe(image, (0.7, 0.2, 0.1)), Probe(image, (0.5, 0.2, 0.3)))
    runner = FakeRunner(replace(toy.manifest, probes=probes), fixed((0.6, 0.2, 0.2)))
    assert probe_gap(runner) == pytest.approx(0.1)
    assert probe_gap(replace(runner, answer=fixed((0.6, float("nan"), 0.2)))) == 1.0
    assert probe_gap(replace(runner, manifest=replace(toy.manifest, probes=()))) == 0.0


@pytest.mark.parametrize(
    "probe",
    [
        Probe("%%%", (1.0, 0.0, 0.0)),
        Probe(base64.b64encode(b"no image").decode(), (1.0, 0.0, 0.0)),
        Probe("", (1.0, 0.0)),
    ],
)
def test_damaged_probes_are_an_error_with_a_way_out(toy: Any, probe: Probe) -> None:
    runner = FakeRunner(replace(toy.manifest, probes=(probe,)), fixed((1, 0, 0)))
    with pytest.raises(WeightsError, match="export the net again"):
        probe_gap(runner)


def test_agreement_counts_what_both_have_seen(toy: Any) -> None:
    examples = toy.dataset.of("test")[:4]
    rows = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.4, 0.6, 0], [0, 0, 1]], np.float32)
    answers = Answers(SPEC, examples, rows, (), (), frozenset({examples[3].file}))
    theirs = {examples[0].file: np.array([0.7, 0.3, 0]), examples[2].file: np.array([0.5, 0.4, 0.1])}
    theirs[examples[3].file] = np.array([1, 0, 0])
    compared = compare(TrainedOutputs(theirs, 3), answers, tie=0.0)
    assert compared is not None
    assert (compared.agreement.same_answer, compared.agreement.count) == (0.5, 2)
    assert compared.agreement.largest_gap == pytest.approx(0.2)
    assert compare(TrainedOutputs({"other.png": rows[0]}, 3), answers, tie=0.0) is None
    with pytest.raises(DataError, match="2 classes"):
        compare(TrainedOutputs({}, 2), answers, tie=0.0)


def test_only_flips_between_labels_the_net_told_apart_count(toy: Any) -> None:
    examples = toy.dataset.of("test")[:3]
    rows = np.array([[0.4, 0.6, 0], [0.4, 0.6, 0], [0.6, 0.4, 0]], np.float32)
    trained = np.array([[0.52, 0.48, 0], [0.7, 0.3, 0], [0.6, 0.4, 0]])
    outputs = TrainedOutputs(dict(zip((example.file for example in examples), trained, strict=True)), 3)
    answers = Answers(SPEC, examples, rows, (), (), frozenset())
    found = [compare(outputs, answers, tie=tie) for tie in (0.0, 0.1, 0.5)]
    assert [compared.clear_flips for compared in found if compared] == [2, 1, 0]
    assert {compared.agreement.same_answer for compared in found if compared} == {1 / 3}


def test_nothing_readable_is_an_empty_table(toy: Any, tmp_path: Path) -> None:
    examples = toy.dataset.of("test")
    answers = ask(FakeRunner(toy.manifest, fixed((1, 0, 0))), tmp_path, examples)
    assert answers.probabilities.shape == (0, 3)
    assert answers.unreadable == tuple(example.file for example in examples)


def test_images_are_run_in_batches_of_the_asked_size(toy: Any) -> None:
    sizes: list[int] = []

    def answer(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return np.tile(np.float32((1, 0, 0)), (len(images), 1))

    examples = toy.dataset.of("test")[:10]
    ask(FakeRunner(toy.manifest, answer), toy.data, examples, batch=4)
    assert sizes == [4, 4, 2]
