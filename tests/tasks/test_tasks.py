"""Every task is one folder with the same two files, and what holds for one of them holds for all."""

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvision import tasks
from pocketvision.errors import UnknownName, WeightsError
from pocketvision.export.manifest import manifest_of_file
from pocketvision.graph.graph import Flatten, Graph, Input, Linear
from pocketvision.graph.run import run
from pocketvision.tasks import Learning, TaskAnswers
from pocketvision.train.objective import Batch
from pocketvision.values import Box, Dataset, Example, ImageSpec, ModelSpec, Score, Target, TaskSpec, from_json, to_json

LABELS = ("round", "red", "large")
FLAT = ("attributes", "classify")
"""Tasks whose answers are one probability a label; boxes have tests of their own."""
SPECS = {name: TaskSpec(name, LABELS) for name in tasks.names()}
SHOWN: dict[str, list[Target]] = {
    "attributes": [(1, 0, None), (0, 1, 1), (1, 1, 0), (0, 0, 0), (1, None, 1), (0, 1, None)],
    "classify": [0, 1, 2, 0, 1, 2],
    "detect": [(Box(0, 0.1, 0.2, 0.5, 0.6),), ()],
}
"""Targets of each task, to be told by any probabilities."""


def shown(name: str) -> tuple[Example, ...]:
    return tuple(Example(f"{place}.png", target, "val", f"{place}") for place, target in enumerate(SHOWN[name]))


def drawn(name: str, sharpness: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw logits that lean to the truth, and the targets."""
    targets = tasks.load(name).targets(shown(name) * 30)
    there = np.eye(len(LABELS))[targets] if targets.ndim == 1 else targets == 1
    noise = np.random.default_rng(0).normal(0, 1.5, there.shape)
    return sharpness * (3 * there - 1.5 + noise), targets


@pytest.mark.parametrize("half", ["answers", "learning"])
@pytest.mark.parametrize("name", tasks.names())
def test_each_folder_holds_what_the_protocol_asks_for(name: str, half: str) -> None:
    protocol: Any = {"answers": TaskAnswers, "learning": Learning}[half]
    module = {"answers": tasks.load, "learning": tasks.learning}[half](name)
    for word, wanted in vars(protocol).items():
        if inspect.isfunction(wanted) and not word.startswith("_"):
            own = list(inspect.signature(getattr(module, word)).parameters)
            assert own == [each for each in inspect.signature(wanted).parameters if each != "self"], word
    for word in protocol.__annotations__:
        assert hasattr(module, word), word


def test_tasks_are_found_by_their_folders() -> None:
    halves = Path(tasks.__file__).parent.glob("*/learning.py")
    assert set(SHOWN) == set(tasks.names()) == {path.parent.name for path in halves}
    with pytest.raises(UnknownName, match="task 'classfy'"):
        tasks.load("classfy")
    assert len({tasks.load(name).WORD for name in tasks.names()}) == len(tasks.names())
    assert {tasks.name_for(tasks.load(name).KIND) for name in tasks.names()} == set(tasks.names())


@pytest.mark.parametrize("name", FLAT)
def test_targets_are_written_and_read_again(name: str) -> None:
    task = tasks.load(name)
    texts = [task.write(target, LABELS) for target in SHOWN[name]]
    assert [task.read(text, LABELS) for text in texts] == SHOWN[name]
    assert all("\n" not in text for text in texts)
    assert not any(task.contradict(text, text) for text in texts)
    assert task.contradict(texts[0], texts[1])
    for wrong in ("yellow", "1,0", "1,0,2", ""):
        with pytest.raises(ValueError, match=r".*"):
            task.read(wrong, LABELS)
    dataset = Dataset("r", LABELS, shown(name), kind=task.KIND)
    assert from_json(Dataset, json.loads(json.dumps(to_json(dataset)))) == dataset
    assert tasks.spec_for(dataset) == SPECS[name]


@pytest.mark.parametrize("name", FLAT)
def test_the_graphs_ending_gives_what_the_task_says(name: str) -> None:
    task = tasks.load(name)
    weight = np.random.default_rng(0).normal(0, 0.05, (3, 12)).astype(np.float32)
    nodes = (
        Input("image", (), 2, (0.5,) * 3, (0.5,) * 3),
        Flatten("flat", ("image",)),
        Linear("linear", ("flat",), weight, np.zeros(3, np.float32), "none", 39),
    )
    images = np.random.default_rng(1).integers(0, 256, (5, 2, 2, 3), np.uint8)
    logits = run(Graph(nodes), images)
    found = run(Graph((*nodes, *task.ending(SPECS[name])(("linear",)))), images)
    np.testing.assert_allclose(found, task.probabilities(logits, SPECS[name]), atol=1e-6)
    np.testing.assert_allclose(task.probabilities(task.logits(found), SPECS[name]), found, atol=1e-6)


@pytest.mark.parametrize("name", FLAT)
def test_a_temperature_undoes_sharpness_and_makes_probabilities_true(name: str) -> None:
    task = tasks.load(name)
    logits, targets = drawn(name)
    plain, sharp = task.temperature(logits, targets), task.temperature(2 * logits, targets)
    assert sharp == pytest.approx(2 * plain, rel=0.05)
    before, after = (
        task.confidence(task.probabilities(logits / value, SPECS[name]), targets) for value in (0.25 * plain, plain)
    )
    assert after.nll < before.nll
    assert after.ece < before.ece


@pytest.mark.parametrize("name", FLAT)
def test_answers_are_scored_and_compared(name: str) -> None:
    task, spec = tasks.load(name), SPECS[name]
    logits, targets = drawn(name)
    ours = task.probabilities(logits, spec)
    spec = task.settle(ours, targets, spec)
    score = task.score(ours, targets, spec)
    assert isinstance(score, Score)
    assert score.metric == task.METRIC
    assert 0 <= score.low <= score.value <= score.high <= 1
    perfect = task.score(task.probabilities(_truth(targets), spec), targets, spec)
    assert perfect.value == 1
    assert task.below(score, perfect)
    assert not task.below(score, score)
    assert from_json(Score, json.loads(json.dumps(to_json(score)))) == score
    found, other = task.decide(ours, spec), task.decide(task.probabilities(-logits, spec), spec)
    assert len(found.told) == len(found.probability) == len(found.choices) == len(targets)
    assert (found.choices != other.choices).mean() > 0.5
    lost = task.clearly_lost(task.probabilities(-logits, spec), ours, spec, tie=0.0)
    assert lost.shape == found.choices.shape
    assert not task.clearly_lost(ours, ours, spec, tie=0.0).any()
    assert lost.sum() > task.clearly_lost(task.probabilities(-logits, spec), ours, spec, tie=0.5).sum()
    judgment = task.judge(ours, targets, spec)
    assert judgment.score == score
    assert [each.name for each in judgment.parts] in ([], list(LABELS))
    assert len(judgment.confusion) in (0, len(LABELS))


def _truth(targets: NDArray[np.int64]) -> NDArray[np.float64]:
    there = np.eye(len(LABELS))[targets] if targets.ndim == 1 else targets == 1
    return np.asarray(40.0 * there - 20)


@pytest.mark.parametrize("name", FLAT)
def test_what_is_told_of_a_right_answer_is_what_is_told_of_its_image(name: str) -> None:
    task = tasks.load(name)
    targets = task.targets(shown(name))
    found = task.decide(task.probabilities(_truth(targets), SPECS[name]), SPECS[name])
    for target, told, choices in zip(SHOWN[name], found.told, found.choices, strict=True):
        assert not task.wrong(choices, target, SPECS[name])
        if not (isinstance(target, tuple) and None in target):
            assert told == task.told(target, SPECS[name])


@pytest.mark.parametrize("name", FLAT)
def test_training_lowers_the_loss_and_counts_what_is_right(name: str) -> None:
    learning, task = tasks.learning(name), tasks.load(name)
    logits, targets = drawn(name)
    loss, _ = learning.objective(targets, len(LABELS), SPECS[name], balance="none", smoothing=0.0)
    net = nn.Linear(len(LABELS), len(LABELS))
    learning.start_head(net, targets)
    batch = Batch(torch.from_numpy(logits).float(), torch.from_numpy(targets), torch.arange(len(targets)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append(loss(net(batch.inputs), batch))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    net.requires_grad_(requires_grad=False)
    halves = list(batch.parts(len(targets) // 2))
    summed = sum(loss(net(part.inputs), part) * loss.weight(part) for part in halves) / loss.weight(batch)
    assert float(summed) == pytest.approx(float(loss(net(batch.inputs), batch)), rel=1e-5)
    assert float(loss.right(batch.inputs, batch)) / len(targets) > 0.7
    assert float(loss.right(torch.from_numpy(_truth(targets)), batch)) == pytest.approx(len(targets))
    worse, better = (
        task.evaluate(factor * _truth(targets) + logits, targets, None, SPECS[name]) for factor in (0.0, 0.1)
    )
    assert better.loss < worse.loss
    assert better.accuracy > worse.accuracy


@pytest.mark.parametrize("name", FLAT)
def test_a_student_that_answers_as_its_teacher_cannot_do_better(name: str) -> None:
    learning = tasks.learning(name)
    teacher = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    student = (teacher + 0.5).requires_grad_()
    wanted = learning.soften(teacher, 2.0)
    learning.imitation(student, wanted, 2.0).backward()
    same = teacher.clone().requires_grad_()
    learning.imitation(same, wanted, 2.0).backward()
    assert same.grad is not None
    assert same.grad.abs().max() < 1e-6
    assert learning.imitation(teacher, wanted, 2.0) <= learning.imitation(student, wanted, 2.0) + 1e-6


def test_a_file_of_an_unknown_task_is_told_apart() -> None:
    manifest = manifest_of_file(ModelSpec("mobilenet_v1", 0.25, 32, 3), ImageSpec(32), LABELS)
    assert tasks.spec_of(manifest) == SPECS["classify"]
    with pytest.raises(WeightsError, match=r"'depth'.*newer version"):
        tasks.spec_of(replace(manifest, task="depth"))
    with pytest.raises(ValueError, match=r"thresholds\[1\] is 1\.5"):
        replace(manifest, thresholds=(0.5, 1.5, 0.5))
