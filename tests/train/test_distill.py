"""Distillation: it helps, it resumes to the same weights, and a teacher of other classes is refused by name."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import pocketvision
from pocketvision.clock import Clock
from pocketvision.errors import DataError, UsageError
from pocketvision.files import read_json
from pocketvision.fit.teaching import LESSON, TEACHING, Teaching, distillation_s, teachers_for, train_or_teach
from pocketvision.progress import Silent
from pocketvision.runs import RunFolder
from pocketvision.settings.groups import TrainConfig
from pocketvision.train.batches import RandomViews, TrainImages
from pocketvision.train.checkpoint import trained_net
from pocketvision.train.distillation import Distillation, for_distillation
from pocketvision.train.evaluate import logits
from pocketvision.train.inputs import load_data
from pocketvision.train.job import Job, make_job
from pocketvision.train.logs import open_logs
from pocketvision.train.loop import Loop
from pocketvision.train.recipe import recipe_for
from pocketvision.train.schedule import Speed, fitted_with_views, scheduled
from pocketvision.train.teacher import teachers_of
from pocketvision.train.trainer import trainer_for
from pocketvision.values import ImageSpec, ModelSpec, Schedule

COMMON = {"resolution": 32, "batch_size": 8, "flip": False, "val": 0.3, "test": 0.1}
TINY = {"model": "mobilenet_v1", "width": 0.125}


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def stripes(folder: Path, names: tuple[str, ...], count: int = 48, seed: int = 0) -> Path:
    """Images of bright stripes under noise: lying, standing, or leaning."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    for kind, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            along = (rows, columns, rows + columns)[kind] + rng.integers(0, 8)
            lines = (along // 4 % 2 * 150)[..., None].repeat(3, 2)
            within_noise = rng.integers(0, 100, (32, 32, 3))
            Image.fromarray((lines + within_noise).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stripes(tmp_path_factory.mktemp("data") / "stripes", ("across", "down", "lean"))


@pytest.fixture(scope="module")
def teacher(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("teacher")
    found = pocketvision.train(
        data, model="mobilenet_v1", width=0.25, weights="none", epochs=24, output=output, **COMMON
    )
    assert found.trained.validation.value >= 0.9
    return found.run


def test_a_net_cut_out_of_its_teacher_beats_plain_training(data: Path, teacher: str, tmp_path: Path) -> None:
    plain = pocketvision.train(data, **TINY, weights="none", epochs=6, output=tmp_path, **COMMON)
    taught = pocketvision.distill(teacher, data, width=0.125, epochs=6, views=2, output=tmp_path, **COMMON)
    assert taught.trained.spec.width == 0.125
    assert taught.trained.start.endswith("best.safetensors")
    assert taught.trained.validation.value > plain.trained.validation.value
    assert {path.name for path in (Path(taught.run) / "weights").iterdir()} == {
        "best.safetensors",
        "last.safetensors",
    }
    assert [one.run for one in taught.teachers] == [teacher]


@pytest.mark.slow
def test_answers_alone_teach_from_scratch(data: Path, teacher: str, tmp_path: Path) -> None:
    """Without a word of the labels, the student comes to answer unseen images as its teacher does."""
    settings = {"weights": "none", "epochs": 16, "views": 4, "lr": 0.01, "output": tmp_path, **TINY, **COMMON}
    taught = pocketvision.distill(teacher, data, alpha=1.0, features=0.0, **settings)
    assert taught.trained.start == "from scratch"
    assert (answers_of(taught.run).argmax(1) == answers_of(teacher).argmax(1)).float().mean() > 0.5


def answers_of(run: str) -> torch.Tensor:
    """Return the probabilities of a run's net for images that none was trained on."""
    net, trained = trained_net(Path(run))
    unseen = stripes(Path(run, "unseen"), ("across", "down", "lean"), 16, seed=1)
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(unseen.rglob("*.png"))])
    return torch.from_numpy(logits(net, pixels, trained.image, torch.device("cpu"))).softmax(1)


class Killed(Exception):
    """Stands for a kill."""


class KillAt(Silent):
    """Dies when the bar of that title has moved so often."""

    def __init__(self, title: str, moves: int) -> None:
        self.title = title
        self.moves = moves

    def bar(self, title: str, total: int):  # type: ignore[no-untyped-def]
        killer = self

        class Bar:
            def __enter__(self):  # type: ignore[no-untyped-def]
                return self

            def __exit__(self, *args: object) -> None:
                pass

            def advance(self, steps: int = 1, *, note: str = "") -> None:
                killer.moves -= title == killer.title
                if killer.moves < 0:
                    raise Killed

        return Bar()


def test_a_killed_distillation_ends_with_the_same_weights(data: Path, teacher: str, tmp_path: Path) -> None:
    settings = {"epochs": 3, "views": 2, "width": 0.125, "name": "it", **COMMON}
    whole = pocketvision.distill(teacher, data, output=tmp_path / "whole", **settings)
    for title, moves in (("asking the teacher", 1), ("training", 5), ("training", 20)):
        with pytest.raises(Killed):
            pocketvision.distill(
                teacher,
                data,
                output=tmp_path / "cut",
                resume=(tmp_path / "cut").exists(),
                progress=KillAt(title, moves),
                **settings,
            )
    again = pocketvision.distill(teacher, data, output=tmp_path / "cut", resume=True, **settings)
    for name in ("best", "last"):
        one, two = (load_file(Path(run.run) / f"weights/{name}.safetensors") for run in (whole, again))
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_several_teachers_speak_together(data: Path, teacher: str, tmp_path: Path) -> None:
    found = pocketvision.distill(
        f"{teacher},{teacher}", data, width=0.125, epochs=1, views=1, output=tmp_path, **COMMON
    )
    assert len(found.teachers) == 2


def test_teachers_of_other_classes_or_order_are_refused(data: Path, teacher: str, tmp_path: Path) -> None:
    other = stripes(tmp_path / "other", ("across", "up"))
    with pytest.raises(DataError, match=r"does not know 'up', and it knows 'down', 'lean'"):
        pocketvision.distill(teacher, other, output=tmp_path / "runs", **COMMON)
    assert not (tmp_path / "runs").exists()
    turned = tmp_path / "turned"
    shutil.copytree(teacher, turned)
    before = (turned / "weights/best.safetensors").read_bytes()
    (turned / "weights/best.safetensors").write_bytes(before.replace(b"across", b"xcross", 1))
    with pytest.raises(DataError, match="does not know 'across'"):
        pocketvision.distill(turned, data, output=tmp_path / "runs", **COMMON)
    swapped = before.replace(b"across", b"@@@@@@").replace(b"down", b"lean", 1)
    assert swapped != before


def test_wrong_wishes_are_refused_before_any_folder(data: Path, teacher: str, tmp_path: Path) -> None:
    wish = {"output": tmp_path / "runs", **COMMON}
    with pytest.raises(UsageError, match="holds no finished training"):
        pocketvision.distill(tmp_path, data, **wish)
    with pytest.raises(UsageError, match="no teacher"):
        pocketvision.distill(",", data, **wish)
    with pytest.raises(UsageError, match="--seed 42"):
        pocketvision.distill(teacher, data, seed=7, **wish)
    with pytest.raises(UsageError, match="--alpha takes a number from 0 to 1"):
        pocketvision.distill(teacher, data, alpha=2.0, **wish)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match="temperature"):
        Distillation(temperature=0)


def test_a_view_is_the_same_at_any_resolution_and_each_time() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (3, 64, 1, 3))
    labels = np.zeros(3, np.int64)
    images = TrainImages(ramp, ramp, labels, ramp, labels)
    recipe = recipe_for(TrainConfig(seed=3, flip=False), transfer=True, examples=3)
    views = RandomViews(images, ImageSpec(64), recipe, 2, torch.device("cpu"))
    chosen = np.array([2, 0])
    large, small = views.shown(0, chosen, 64), views.shown(0, chosen, 32)
    assert torch.equal(large, views.shown(0, np.arange(3), 64)[chosen])
    assert (torch.nn.functional.avg_pool2d(large, 2) - small).abs().mean() < 0.02
    assert not torch.equal(large, views.shown(1, chosen, 64))


def test_given_weights_are_taught_on_feature_maps_and_resume(data: Path, teacher: str, tmp_path: Path) -> None:
    start = Path(teacher) / "weights/best.safetensors"
    settings = {"weights": start, "epochs": 3, "views": 2, "name": "it", **COMMON, "resolution": 64}
    whole = pocketvision.distill(teacher, data, output=tmp_path / "whole", **settings)
    schedule = whole.trained.schedule
    assert schedule is not None
    assert (schedule.upper_epochs, schedule.map_views, schedule.resolutions) == (3, 2, ())
    before, after = load_file(start), load_file(Path(whole.weights))
    kept = {key for key in before if "num_batches" not in key and torch.equal(before[key], after[key])}
    assert 0 < len(kept) < len(before)
    with pytest.raises(Killed):
        pocketvision.distill(teacher, data, output=tmp_path / "cut", progress=KillAt("training", 20), **settings)
    again = pocketvision.distill(teacher, data, output=tmp_path / "cut", resume=True, **settings)
    for name in ("best", "last"):
        one, two = (load_file(Path(run.run) / f"weights/{name}.safetensors") for run in (whole, again))
        assert all(torch.equal(one[key], two[key]) for key in one)
    all_of_it = pocketvision.distill(teacher, data, output=tmp_path, fine_tune="all", **{**settings, "epochs": 1})
    assert all_of_it.trained.schedule is not None
    assert len(all_of_it.trained.schedule.resolutions) == 1


def test_the_order_of_labels_counts(teacher: str) -> None:
    from pocketvision.train.teacher import check_labels

    found = teachers_of(teacher)[0]
    check_labels(found, ("across", "down", "lean"))
    with pytest.raises(DataError, match="its number 0 is 'across', that of these images is 'down'"):
        check_labels(found, ("down", "across", "lean"))


def fit_job(data: Path, folder: Path, *, limit_s: float = math.inf, later_s: float = 0.0) -> tuple[Job, TrainConfig]:
    asked = TrainConfig(
        weights=None,
        epochs=4,
        batch_size=8,
        lr=None,
        optimizer="auto",
        patience=None,
        flip=False,
        crop_mode="squash",
        val=0.3,
        test=0.1,
        seed=42,
        device="cpu",
    )
    loaded = load_data(data, folder, val=0.3, test=0.1, seed=42, progress=Silent())
    spec = ModelSpec("mobilenet_v1", 0.125, 32, 3)
    job = make_job(folder, loaded, spec, None, options=asked, progress=Silent())
    return replace(job, clock=Clock(limit_s), later_s=later_s), asked


def test_fit_takes_the_student_where_it_is_better(data: Path, teacher: str, tmp_path: Path) -> None:
    job, asked = fit_job(data, tmp_path)
    teachers = teachers_for(teacher, job.data, asked)
    taken = train_or_teach(job, teachers, asked, progress=Silent())
    assert taken.start.endswith("best.safetensors")
    assert (tmp_path / TEACHING).exists()
    for name in ("weights/best.safetensors", "weights/last.safetensors", "results.csv", "train.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / LESSON / name).read_bytes()
    assert train_or_teach(job, teachers, asked, progress=Silent()) == taken
    assert teachers_for(None, job.data, asked) == ()


def test_plain_training_leaves_distillation_its_share_of_a_limit(data: Path, teacher: str, tmp_path: Path) -> None:
    job, asked = fit_job(data, tmp_path, limit_s=60, later_s=5)
    assert distillation_s(job) == pytest.approx(55 * 2 / 3, abs=0.5)
    assert distillation_s(replace(job, clock=Clock())) == 0
    train_or_teach(job, teachers_for(teacher, job.data, asked), asked, progress=Silent())
    schedule = RunFolder(tmp_path / LESSON).trained.read().schedule
    assert schedule is not None
    assert schedule.teacher_s > 0
    assert schedule.teacher_s + sum(schedule.seconds) < 55
    assert job.clock.spent() < 55


def test_without_time_for_distillation_the_plain_net_is_taken(data: Path, teacher: str, tmp_path: Path) -> None:
    for name, limit_s in (("over", 1e-6), ("short", 60.0)):
        (tmp_path / name).mkdir()
        job, asked = fit_job(data, tmp_path / name, limit_s=limit_s, later_s=59.4)
        told = Told()
        trained = train_or_teach(job, teachers_for(teacher, job.data, asked), asked, progress=told)
        assert any("not enough time is left for distillation" in line for line in told.lines)
        found = read_json(Teaching, tmp_path / name / TEACHING)
        assert (found.plain, found.taught, found.taken) == (trained.validation, None, "plain")
        assert not RunFolder(tmp_path / name / LESSON).trained.exists()


def test_the_threads_of_a_student_are_measured_on_a_copy(data: Path, teacher: str, tmp_path: Path) -> None:
    job, asked = fit_job(data, tmp_path)
    teachers = teachers_for(teacher, job.data, asked)
    trainer = trainer_for(for_distillation(job, asked), distillation=Distillation(teachers, views=1), progress=Silent())
    phase = trainer.whole()
    loop = Loop(
        trainer.recipe, trainer.checkpoint, trainer.engine, trainer.clock, open_logs("csv", tmp_path, {}), Silent()
    )
    before = {name: value.clone() for name, value in phase.module.state_dict().items()}
    loop._trial(phase, 0)()
    assert all(torch.equal(value, before[name]) for name, value in phase.module.state_dict().items())


def test_where_one_epoch_is_slow_the_teacher_answers_fewer_views() -> None:
    slow = Speed(step=21.0, small_step=21.0, small=32, resolution=32, validation=0.0)
    recipe = recipe_for(TrainConfig(epochs=40, batch_size=8, patience=9, flip=False), transfer=False, examples=8)

    def of(epochs: int) -> Schedule:
        return scheduled(replace(recipe, epochs=epochs), 32, 12)

    schedule = fitted_with_views(of, slow, steps=1, most=40, views=8, view_s=2.0, left_s=30.0)
    assert (schedule.views, schedule.seconds, schedule.teacher_s) == (4, (21.0,), 8.0)


def test_train_cuts_a_narrower_net_out_of_wider_weights(data: Path, teacher: str, tmp_path: Path) -> None:
    wide = Path(teacher) / "weights/best.safetensors"
    settings = {"epochs": 1, "output": tmp_path, **COMMON}
    found = pocketvision.train(data, weights=wide, width=0.125, **settings)
    assert found.trained.spec.width == 0.125
    assert found.trained.start == "best.safetensors"
    scratch = pocketvision.train(data, **TINY, weights="none", name="scratch", **settings)
    assert found.trained.validation.value > scratch.trained.validation.value
    with pytest.raises(UsageError, match="or a wider one"):
        pocketvision.train(data, weights=wide, width=0.5, **settings)
    with pytest.raises(UsageError, match="or a wider one"):
        pocketvision.train(data, weights=wide, model="mobilenet_v2", width=0.125, **settings)


def test_distillation_keeps_a_time_limit(data: Path, teacher: str, tmp_path: Path) -> None:
    settings = {"width": 0.125, "epochs": 400, "output": tmp_path, **COMMON}
    found = pocketvision.distill(teacher, data, time_limit="6s", balance="weights", precision="bf16", **settings)
    schedule = found.trained.schedule
    assert schedule is not None
    assert schedule.views is not None
    assert 1 <= schedule.views <= 8
    assert found.trained.epochs <= len(schedule.resolutions) < 400
    assert len(schedule.seconds) == len(schedule.resolutions)
    assert found.trained.balance == "weights"
    with pytest.raises(UsageError, match="--balance weights"):
        pocketvision.distill(teacher, data, balance="sampler", name="other", **settings)
