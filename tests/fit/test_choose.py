"""The verb `choose`: by validation only, within the limits, the same each time, and told in words."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pocketvision import probe
from pocketvision.cli.app import run
from pocketvision.cli.terminal import Terminal
from pocketvision.cost.count import count
from pocketvision.errors import BudgetMissed, DataError, PocketvisionError, UsageError, WeightsError
from pocketvision.fit.choose import Comparison, ProbedStart, hint_for
from pocketvision.fit.limits import outlook
from pocketvision.graph.trace import trace_spec
from pocketvision.metrics.paired import paired
from pocketvision.models.catalogue import build_spec
from pocketvision.probe import features
from pocketvision.train import memory
from pocketvision.values import Candidate, Dataset, Example, ImageSpec, Latency, ModelSpec, Score
from pocketvision.weights.safetensors import save

SMALL, LARGE = ModelSpec("mobilenet_v1", 0.125, 32, 5), ModelSpec("mobilenet_v1", 0.25, 48, 7)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("pocketvision.weights.available.packaged", lambda source: None)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    dice = np.random.default_rng(0)
    for label, shade in (("dark", 90), ("light", 130)):
        for number in range(40):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(dice.normal(shade, 60, (40, 40, 3)) + dice.normal(0, 12), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "weights").mkdir()
    found = []
    for number, spec in enumerate((SMALL, LARGE)):
        torch.manual_seed(number)
        found.append(tmp_path / "weights" / f"{number}.safetensors")
        save(build_spec(spec), spec, image=ImageSpec(spec.resolution), labels=None, path=found[-1])
    return found


def facts(result: Comparison) -> list[tuple[object, ...]]:
    return [(one.file, one.validation, one.test, one.against_taken, one.strength) for one in result.starts]


def test_all_files_on_this_machine_are_compared_and_the_second_time_no_net_is_run(
    photos: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = probe(photos)
    assert {Path(one.file).name for one in first.starts} == {"0.safetensors", "1.safetensors"}
    assert [one.computed for one in first.starts] == [80, 80]
    assert {one.model.resolution for one in first.starts} == {32, 48}
    assert all(one.model.num_classes == 2 for one in first.starts)
    monkeypatch.setattr(features, "embedded", None)
    second = probe(photos)
    assert [one.computed for one in second.starts] == [0, 0]
    assert facts(first) == facts(second)
    assert first.starts[0].feature_ms == second.starts[0].feature_ms
    # Another split is of the same images.
    assert facts(probe(photos, seed=1)) != facts(first)


def test_the_best_on_validation_is_taken_and_compared_on_test(photos: Path, files: list[Path]) -> None:
    result = probe(photos, resolution=[32, 64])
    taken, *others = result.starts
    assert (taken.status, taken.against_taken) == ("taken", None)
    assert len(others) == 3
    values = [one.validation.value for one in result.starts if one.validation]
    assert values == sorted(values, reverse=True)
    for one in others:
        assert one.status == "not taken"
        assert one.test is not None
        assert taken.test is not None
        assert one.against_taken is not None
        assert one.against_taken.difference == pytest.approx(one.test.value - taken.test.value)
        assert one.against_taken.count == one.test.count
    assert Path(taken.file).name in result.sentence


def test_the_command_trains_what_was_taken(photos: Path, files: list[Path]) -> None:
    result = probe(photos, weights=files[:1], resolution=[64], max_macs="50M", val=0.2)
    words = shlex.split(result.command)
    assert words[:3] == ["pocketvision", "fit", str(photos)]
    pairs = dict(zip(words[3::2], words[4::2], strict=True))
    assert pairs == {"--max-macs": "50M", "--resolution": "64", "--weights": files[0].as_posix(), "--val": "0.2"}


def test_a_much_cheaper_net_that_is_as_good_is_named() -> None:
    def start(macs: int, wrong: int) -> ProbedStart:
        first, second = np.arange(100) >= wrong, np.ones(100, bool)
        return ProbedStart(
            "x.tflite", SMALL, "not taken", "", 1, macs, 1, 1, against_taken_on_validation=paired(first, second)
        )

    taken = ProbedStart("t.tflite", LARGE, "taken", "", 1, 600, 1, 1)
    hint = hint_for([taken, start(500, 0), start(300, 2), start(100, 20)])
    assert hint is not None
    assert "2.0 times fewer" in hint
    assert "the difference is noise (p = 0.50)" in hint
    assert hint_for([taken, start(500, 0), start(100, 20)]) is None
    assert hint_for([taken]) is None


def test_what_memory_cannot_show_an_image_to_is_left_out_and_told(
    photos: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = [4 * cost.params + cost.peak_activation_bytes for cost in (count(trace_spec(s)) for s in (SMALL, LARGE))]
    monkeypatch.setattr(memory, "available_bytes", lambda _: sum(needed) // 2)
    result = probe(photos, device="cpu", progress=Terminal())
    assert [one.model.resolution for one in result.starts] == [SMALL.resolution]
    assert "left out: 1.safetensors at 48 pixels: one image takes at least" in capsys.readouterr().err
    monkeypatch.setattr(memory, "available_bytes", lambda _: needed[0] // 2)
    with pytest.raises(PocketvisionError, match="take a lower --resolution, other --weights, or end other programs"):
        probe(photos, device="cpu")


def test_large_images_are_read_a_few_at_a_time_with_the_same_features(
    photos: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = probe(photos, weights=files[:1])
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(features, "LARGE", 8)
    sizes, prepared = [], features.prepared

    def counted(data: Dataset, some: list[Example], image: ImageSpec, **more: Any) -> Any:
        sizes.append(len(some))
        return prepared(data, some, image, **more)

    monkeypatch.setattr(features, "prepared", counted)
    assert facts(probe(photos, weights=files[:1])) == facts(first)
    assert set(sizes) == {features.BATCH * 8**2 // SMALL.resolution**2}


def test_limits_leave_out_without_a_look_at_images(photos: Path, files: list[Path]) -> None:
    costs = {Path(one.file).name: one for one in probe(photos).starts}
    between = (costs["0.safetensors"].macs + costs["1.safetensors"].macs) // 2
    kept, out = probe(photos, max_macs=between).starts
    assert (Path(kept.file).name, kept.status) == ("0.safetensors", "taken")
    assert (out.status, out.validation, out.test) == ("over budget", None, None)
    assert "multiply-adds" in out.reason
    with pytest.raises(BudgetMissed, match="no start keeps the budget"):
        probe(photos, max_size=1000)


class Timed:
    """Stands in for the clock: float takes 10 ms a million multiply-adds, int8 half of that."""

    def __init__(self, *_: object) -> None: ...

    def weigh(self, file: Candidate) -> Candidate:
        ms = file.cost.macs / 1e5 * (0.5 if file.precision == "int8" else 1.0)
        latency = Latency(ms, ms, 9, 1, "stand-in", "none", 1.0)
        return replace(file, size_bytes=12345, latency=latency)


def test_a_latency_is_measured_on_both_files_and_the_faster_one_counts(
    photos: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["pocketvision.fit.choose"], "Timer", Timed)
    costs = {Path(one.file).name: one.macs for one in probe(photos).starts}
    allowed = (costs["0.safetensors"] + costs["1.safetensors"]) / 2 / 1e5 * 0.5
    kept, out = probe(photos, max_latency=allowed).starts
    assert (Path(kept.file).name, kept.precision, kept.size_bytes) == ("0.safetensors", "int8", 12345)
    assert kept.latency is not None
    assert kept.latency.median_ms == costs["0.safetensors"] / 1e5 * 0.5
    assert (out.status, out.validation) == ("over budget", None)
    assert out.reason.startswith("as int8 with fresh weights ")
    assert "ms measured on this machine; allowed" in out.reason
    # A tenth is kept for the clock.
    assert probe(photos, max_latency=kept.latency.median_ms / 0.89).starts[0].status == "taken"
    with pytest.raises(BudgetMissed, match="less a tenth for the clock"):
        probe(photos, max_latency=kept.latency.median_ms / 0.91)


def test_a_real_clock_times_the_file(photos: Path, files: list[Path]) -> None:
    (one,) = probe(photos, weights=files[:1], max_latency="10s").starts
    assert one.latency is not None
    assert one.latency.runtime.startswith("onnxruntime")
    assert 0 < one.latency.median_ms < 1000
    assert one.reason == "best on validation"


def test_of_an_accuracy_asked_for_frozen_weights_give_an_estimate(photos: Path, files: list[Path]) -> None:
    plain = probe(photos)
    assert [one.outlook for one in plain.starts] == [None, None]
    low = probe(photos, min_accuracy="1%")
    assert [one.outlook for one in low.starts] == ["reached", "reached"]
    assert low.sentence.startswith("The 1.0% asked for are reached already")
    assert "--min-accuracy 1%" in low.command
    high = probe(photos, min_accuracy=1.0)
    assert {one.outlook for one in high.starts} <= {"open", "below"}
    assert "That is an estimate" in high.sentence
    assert facts(low) == facts(plain) == facts(high)


def test_an_outlook_goes_by_the_interval() -> None:
    found = Score(0.9, 0.85, 0.95, 100)
    assert [outlook(found, asked) for asked in (0.85, 0.9, 0.95, 0.96)] == ["reached", "open", "open", "below"]


@pytest.mark.parametrize(("head", "balance", "views"), [("mean", "none", 1), ("logistic", "weights", 2)])
def test_other_heads_and_views(photos: Path, files: list[Path], head: str, balance: str, views: int) -> None:
    result = probe(photos, weights=files[:1], head=head, balance=balance, views=views)  # type: ignore[arg-type]
    (one,) = result.starts
    assert one.validation is not None
    assert one.validation.value > 0.6
    assert (one.strength is None) == (head == "mean")
    assert one.computed == 80


def test_what_cannot_be_used_is_told(photos: Path, files: list[Path], tmp_path: Path) -> None:
    news: list[str] = []

    class Told(features.Silent):
        def say(self, text: str) -> None:
            news.append(text)

    broken = tmp_path / "weights" / "broken.safetensors"
    broken.write_bytes(b"nothing")
    (tmp_path / "weights" / "copy.safetensors").write_bytes(files[0].read_bytes())
    assert len(probe(photos, resolution=[16, 32], progress=Told()).starts) == 2
    assert sum("broken.safetensors" in text for text in news) == 1
    assert sum("16 pixels" in text for text in news) == 2
    with pytest.raises(WeightsError, match=r"broken\.safetensors"):
        probe(photos, weights=[broken])
    with pytest.raises(UsageError, match="leave --resolution away"):
        probe(photos, weights=files, resolution=[8])
    with pytest.raises(UsageError, match="--val above 0"):
        probe(photos, val=0)
    with pytest.raises(UsageError, match="--views"):
        probe(photos, views=0)
    with pytest.raises(UsageError, match="unknown head 'forest'"):
        probe(photos, head="forest")  # type: ignore[arg-type]
    for file in (tmp_path / "weights").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="pocketvision weights get"):
        probe(photos)


def test_without_test_images_nothing_is_said_of_them(photos: Path, files: list[Path]) -> None:
    result = probe(photos, test=0)
    assert [one.test for one in result.starts] == [None, None]
    assert "test" not in result.sentence


def test_one_class_and_too_few_images_are_data_errors(photos: Path, files: list[Path]) -> None:
    for path in list((photos / "light").iterdir())[2:]:
        path.unlink()
    with pytest.raises(DataError, match="'light' has 2, add 1"):
        probe(photos)
    for path in (photos / "light").iterdir():
        path.unlink()
    (photos / "light").rmdir()
    with pytest.raises(DataError, match="second class is needed"):
        probe(photos)


def test_the_command_line_shows_a_table_or_json(
    photos: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", str(photos), "--weights", str(files[0]), "--weights", str(files[1])]
    assert run(words) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith("weights")
    assert lines[-1].startswith("pocketvision fit ")
    assert sum("safetensors" in line for line in lines[1:3]) == 2
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["status"] for one in found["starts"]] == ["taken", "not taken"]
    assert found["command"] == lines[-1]


@pytest.mark.slow
def test_published_nets_are_told_apart_on_real_images(shared_data: Path, shared_weights: Path) -> None:
    names = ["mobilenet_v1_0.25_128_quant.tflite", "compressed_SqueezeNet.net", "0.25x-FDMobileNet-224.pth.tar"]
    result = probe(shared_data / "smiles", weights=[shared_weights / name for name in names], resolution=[64])
    assert len(result.starts) == 3
    for one in result.starts:
        assert one.validation is not None
        assert one.validation.value > 0.75
    taken, *others = result.starts
    assert taken.model.name != "fd_mobilenet"
    assert any(one.against_taken and not one.against_taken.noise for one in others)
