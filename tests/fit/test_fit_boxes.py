"""Choosing a detector: nets are probed on the user's boxes, the best few are tried, a teacher's anchors are kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import pocketvision
from pocketvision.data.check import load_dataset
from pocketvision.errors import UsageError
from pocketvision.fit import probing_boxes
from pocketvision.fit.considering import wanted_of
from pocketvision.fit.teaching import teachers_for
from pocketvision.models.catalogue import build_spec
from pocketvision.probe import boxes
from pocketvision.progress import Silent
from pocketvision.settings.verbs import FitOptions
from pocketvision.tasks import learning
from pocketvision.train.inputs import Loaded
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights.safetensors import save
from tests.export.detector import scenes

PLAIN = ModelSpec("mobilenet_v1", 0.25, 96, 4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("photos"), 48)


@pytest.fixture(scope="module")
def weights(settled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save(settled(build_spec(PLAIN), torch.randn(8, 3, 96, 96)), PLAIN, image=ImageSpec(96), labels=None, path=path)
    return path


@pytest.fixture(scope="module")
def loaded(photos: Path) -> Loaded:
    dataset, health, decoded = load_dataset(photos, val=0.2, test=0.2, seed=42, progress=Silent())
    return Loaded(dataset, health, decoded, photos)


def test_a_plan_probes_nets_on_boxes_and_lists_several(photos, weights, monkeypatch):
    monkeypatch.setattr(boxes, "PASSES", 1)
    found = pocketvision.plan(photos, weights=weights, val=0.2, test=0.2, resolution=96)
    (probed,) = found.probed
    assert (probed.validation.metric, probed.spec.resolution, probed.origin) == ("AP50", 96, "start.safetensors")
    assert probed.spec.detector == found.taken.spec.detector
    assert len({one.spec for one in found.shortlist}) == learning("detect").DEFAULTS.picked
    assert found.taken.accuracy is None


def test_a_time_limit_ends_probing(loaded, weights, monkeypatch):
    options = FitOptions(loaded.given, weights=[weights], time_limit="1s", resolution=96)
    monkeypatch.setattr(probing_boxes, "frozen_score", lambda *_: pytest.fail("no time is left"))
    from pocketvision.budget.limits import budget_of
    from pocketvision.clock import Watch
    from pocketvision.fit import choosing
    from pocketvision.fit.considering import weights_at_hand

    monkeypatch.setattr(choosing, "PROBE_SHARE", -1.0)
    given = weights_at_hand(options, Silent())
    _, probed, _ = choosing.with_predictions(loaded, given, options, budget_of(options), watch=Watch())
    assert probed == ()


def test_few_validation_images_tell_nothing(loaded, monkeypatch):
    few = replace(loaded.dataset, examples=loaded.dataset.of("train")[:10])
    asked = {"crop": "squash", "allowed_s": 1e9, "progress": Silent()}
    assert probing_boxes.probe_boxes((), None, replace(loaded, dataset=few), **asked) == ()


def test_a_teachers_anchors_and_resolution_are_kept(photos, loaded, weights, tmp_path):
    tiny = {"model": "mobilenet_v1", "width": 0.125, "resolution": 64, "epochs": 1, "device": "cpu"}
    pocketvision.train(photos, **tiny, weights="none", val=0.2, test=0.2, output=tmp_path, name="wide")
    run = tmp_path / "train" / "wide"
    options = FitOptions(photos, weights=[weights], teacher=str(run), val=0.2, test=0.2)
    (teacher,) = teachers_for(options.teacher, loaded, options)
    wish, notes = wanted_of(loaded, options)
    assert (wish.detector, wish.resolution, wish.largest) == (teacher.trained.spec.detector, 64, 64)
    assert "teacher's anchors" in notes[0]
    with pytest.raises(UsageError, match="give --resolution 64"):
        wanted_of(loaded, replace(options, resolution=96))
