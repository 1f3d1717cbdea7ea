"""Training a detector: it finds what it was shown, resumes to the same weights, and learns from empty images too."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pocketvision.clock import Clock
from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.catalogue import build_spec
from pocketvision.progress import Progress, Silent
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks import learning, load, spec_for_net
from pocketvision.tasks.detect.learning import DEFAULTS
from pocketvision.train.batches import RandomViews, TrainImages
from pocketvision.train.distillation import Distillation
from pocketvision.train.evaluate import logits
from pocketvision.train.forecast import training_seconds
from pocketvision.train.recipe import Recipe, recipe_for
from pocketvision.train.teacher import Teacher
from pocketvision.train.trainer import Trainer
from pocketvision.values import AnchorMap, Dataset, DetectorSpec, ImageSpec, ModelSpec, Score, TaskSpec, Trained
from pocketvision.weights.load import Weights, load_into, read
from pocketvision.weights.safetensors import save
from tests.train.test_training import CPU, KillAt, Killed, weights_of

SIDE = 64
IMAGE = ImageSpec(SIDE)
DETECTOR = DetectorSpec((AnchorMap(8, ((0.25, 0.25),)), AnchorMap(16, ((0.4, 0.4),))))
SPEC = ModelSpec("mobilenet_v1", width=0.125, resolution=SIDE, num_classes=2, detector=DETECTOR)
TASK = spec_for_net(TaskSpec("detect", ("bright", "dark")), SPEC)
OPTIONS = TrainConfig(epochs=2, batch_size=8, patience=99, seed=5, flip=True)
RECIPE = recipe_for(OPTIONS, examples=24, transfer=False, defaults=DEFAULTS)


def scenes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey noise with bright and dark rectangles; every fourth image shows nothing."""
    rng = np.random.default_rng(seed)
    images = rng.integers(100, 156, (count, SIDE, SIDE, 3)).astype(np.uint8)
    targets = np.zeros((count, 2, 7), np.float32)
    targets[..., 0] = -1
    for place in range(count):
        for row in range(2 if place % 4 else 0):
            tall, wide = rng.integers(14, 24, 2)
            top, left = rng.integers(0, SIDE - tall), row * SIDE // 2 + rng.integers(0, SIDE // 2 - wide)
            label = int(rng.integers(0, 2))
            images[place, top : top + tall, left : left + wide] = 20 if label else 240
            corners = np.array([top, left, top + tall, left + wide]) / SIDE
            targets[place, row] = (label, *corners, tall * wide, 0)
    return images, targets


def images() -> TrainImages:
    train, val = scenes(24, 0), scenes(16, 1)
    return TrainImages(train[0], train[0], train[1], *val, TASK)


def trainer(
    folder: Path, recipe: Recipe = RECIPE, progress: Progress = Silent(), clock: Clock | None = None
) -> Trainer:
    torch.manual_seed(3)
    net = build_spec(SPEC)
    learning("detect").start_head(net.classifier, images().train_labels)
    return Trainer(net, images(), IMAGE, recipe, folder, progress=progress, clock=clock or Clock())


def test_it_finds_what_it_was_shown(tmp_path: Path) -> None:
    job = trainer(tmp_path, replace(RECIPE, epochs=20, learning_rate=0.01))
    epochs = job.train()
    assert [epoch.phase for epoch in epochs] == ["all"] * 20
    assert {epoch.resolution for epoch in epochs} == {SIDE}
    task, val = load("detect"), job.images
    found = task.probabilities(logits(job.net, val.val, IMAGE, CPU), TASK)
    assert task.score(found, val.val_labels, TASK).value >= 0.4
    assert epochs[-1].val_accuracy == pytest.approx(task.score(found, val.val_labels, TASK).value, abs=0.2)
    assert epochs[-1].train_loss < epochs[0].train_loss * 0.7


@pytest.mark.parametrize("moves", [2, 4, 5])
def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path: Path, moves: int) -> None:
    whole = trainer(tmp_path / "whole")
    expected_epochs = whole.train()
    with pytest.raises(Killed):
        trainer(tmp_path / "killed", progress=KillAt(moves)).train()
    again = trainer(tmp_path / "killed")
    epochs = again.train()
    expected = weights_of(whole.net)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights_of(again.net).items())
    assert [(e.epoch, e.train_loss, e.val_loss) for e in epochs] == [
        (e.epoch, e.train_loss, e.val_loss) for e in expected_epochs
    ]


def test_views_move_the_boxes_and_are_the_same_for_an_epoch() -> None:
    source = RandomViews(images(), IMAGE, RECIPE, 2, CPU)
    first, again, next_epoch = (list(source.batches(epoch, SIDE)) for epoch in (0, 0, 1))
    assert len(first) == source.steps == 3
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)
        plain = torch.from_numpy(images().train_labels[one.indices.numpy()])
        assert one.targets.shape == plain.shape
        assert not torch.equal(one.targets, plain)
        assert torch.equal(one.targets[..., 0][plain[..., 0] < 0], plain[..., 0][plain[..., 0] < 0])
    assert not torch.equal(first[0].inputs, next_epoch[0].inputs)


def test_images_without_objects_train_alone(tmp_path: Path) -> None:
    job, (pixels, _) = trainer(tmp_path), scenes(24, 0)
    nothing = np.full((24, 1, 7), -1, np.float32)
    job.images = replace(job.images, train_labels=nothing)
    epochs = job.train()
    assert 0 < epochs[-1].train_loss < epochs[0].train_loss
    assert logits(job.net, pixels, IMAGE, CPU)[..., 4:].max() < 0


def test_a_time_limit_cuts_the_epochs(tmp_path: Path) -> None:
    job = trainer(tmp_path, replace(RECIPE, epochs=500), clock=Clock(3.0))
    epochs = job.train()
    assert 1 <= len(job.schedule.resolutions) < 500
    assert len(epochs) <= len(job.schedule.resolutions)
    assert set(job.schedule.resolutions) == {SIDE}


def test_its_time_is_predicted_without_images() -> None:
    short, longer = (
        training_seconds(SPEC, "scratch", 24, validation=8, options=TrainConfig(epochs=epochs), task=TASK)
        for epochs in (2, 40)
    )
    assert 0 < short < longer


def test_saved_weights_are_read_again_and_another_detector_takes_the_backbone_alone(tmp_path: Path) -> None:
    net, path = build_spec(SPEC), tmp_path / "net.safetensors"
    save(net, SPEC, image=IMAGE, labels=TASK.labels, path=path)
    weights, again = read(path), build_spec(SPEC)
    load_into(again, weights, keep_head=True)
    pixels, _ = scenes(4, 2)
    assert np.array_equal(logits(again, pixels, IMAGE, CPU), logits(net, pixels, IMAGE, CPU))
    other = build_spec(replace(SPEC, num_classes=5, detector=DetectorSpec(DETECTOR.maps[:1])))
    report = load_into(other, weights, keep_head=False)
    assert all(name.startswith("classifier.") for name in report.fresh)
    assert torch.equal(other.features.state_dict()["0.0.weight"], net.features.state_dict()["0.0.weight"])
    with pytest.raises(WeightsError, match=r"do not fit"):
        load_into(other, weights, keep_head=True)


def test_the_defaults_are_the_tasks_own() -> None:
    transfer = recipe_for(TrainConfig(), examples=200, transfer=True, defaults=DEFAULTS)
    assert (transfer.head_epochs, transfer.fine_tune, transfer.progressive_epochs) == (0, "all", 0.0)
    assert (transfer.epochs, transfer.batch_size, transfer.optimizer) == (DEFAULTS.transfer_epochs, 8, "adamw")
    scratch = recipe_for(TrainConfig(), examples=200, transfer=False, defaults=DEFAULTS)
    assert (scratch.epochs, scratch.optimizer) == (DEFAULTS.scratch_epochs, "adamw")
    with pytest.raises(UsageError, match="--fine-tune upper"):
        recipe_for(TrainConfig(fine_tune="upper"), examples=200, transfer=True, defaults=DEFAULTS)
    with pytest.raises(UsageError, match="--balance sampler"):
        learning("detect").objective(images().train_labels, 2, TASK, balance="sampler", smoothing=0.0)


def test_a_student_beside_its_teacher_follows_it_and_leaves_weights_of_its_own(tmp_path: Path) -> None:
    teacher = trainer(tmp_path / "teacher", replace(RECIPE, epochs=12, learning_rate=0.01))
    teacher.train()
    trained = Trained(SPEC, IMAGE, "", 12, Score(1, 1, 1, 16), 1.0, "", {}, task="detect")
    known = Teacher(tmp_path, teacher.net, trained, Weights(SPEC, IMAGE, None, True, 1e-5, {}))
    plain, taught = (trainer(tmp_path / name, replace(RECIPE, epochs=6)) for name in ("plain", "taught"))
    taught.distillation = Distillation((known,), alpha=1.0)
    plain.train()
    taught.train()
    assert set(weights_of(taught.net)) == set(weights_of(plain.net))
    wanted = torch.from_numpy(logits(teacher.net, images().val, IMAGE, CPU))
    said = learning("detect").soften(wanted, 1.0)
    far = [
        float(learning("detect").imitation(torch.from_numpy(logits(net, images().val, IMAGE, CPU)), said, 1.0))
        for net in (plain.net, taught.net)
    ]
    assert far[1] < far[0]
    with taught.last_weights():
        assert all(torch.isfinite(tensor).all() for tensor in weights_of(taught.net).values())


def test_a_teacher_with_other_anchors_is_refused(tmp_path: Path) -> None:
    trained = Trained(SPEC, IMAGE, "", 1, Score(1, 1, 1, 16), 1.0, "", {}, task="detect")
    known = Teacher(tmp_path, build_spec(SPEC), trained, Weights(SPEC, IMAGE, TASK.labels, True, 1e-5, {}))
    dataset = Dataset(str(tmp_path), TASK.labels, (), kind="boxes")
    loaded = SimpleNamespace(dataset=dataset, spec=TaskSpec("detect", TASK.labels))
    job = SimpleNamespace(data=loaded, image=IMAGE, spec=replace(SPEC, resolution=96))
    with pytest.raises(UsageError, match="--resolution 64"):
        Distillation((known,)).check(job)  # type: ignore[arg-type]
    Distillation((known,)).check(SimpleNamespace(data=loaded, image=IMAGE, spec=SPEC))  # type: ignore[arg-type]
