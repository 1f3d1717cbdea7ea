"""Profiles: fitted to whole nets, shipped, written and read, brought to another speed, made of few figures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvision.cost.graphs import graph_at
from pocketvision.errors import DataError, UnknownName
from pocketvision.latency.adapt import adapted
from pocketvision.latency.calibrate import Labels, RuntimeSetting, labels, make_profile, time_nets
from pocketvision.latency.features import features
from pocketvision.latency.kernels import KINDS, Kernels
from pocketvision.latency.model import fit
from pocketvision.latency.profile import Profile, read_profile, shipped, write_profile
from pocketvision.latency.reading import kernels
from pocketvision.values import ModelSpec

SETTINGS = ["onnx float", "onnx int8", "litert float", "litert int8"]
RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text(encoding="utf-8"))
"""Nets of another seed than the shipped profiles', with milliseconds measured on one thread of an AMD EPYC 9004."""


def recorded(setting: str) -> tuple[list[ModelSpec], np.ndarray[Any, np.dtype[np.float64]]]:
    specs = [
        ModelSpec(row["name"], row["width"], row["resolution"], row["num_classes"], groups=row["groups"])
        for row in RECORDED
    ]
    return specs, np.array([row[setting] for row in RECORDED])


def profile_of(setting: str) -> Profile:
    runtime, precision = setting.split()
    return shipped(runtime=runtime, precision=precision)


def read(profile: Profile, specs: list[ModelSpec]) -> list[tuple[Kernels, list[int]]]:
    return [(profile.kernels(graph_at(spec)), [spec.resolution]) for spec in specs]


@pytest.mark.parametrize("setting", SETTINGS)
def test_shipped_profiles_predict_nets_that_they_were_not_fitted_to(setting: str) -> None:
    profile = profile_of(setting)
    specs, measured = recorded(setting)
    found = profile.predict_at(read(profile, specs))
    errors = np.abs(found.median_ms / measured - 1)
    assert np.median(errors) < 0.04
    assert np.mean(errors < 0.1) >= 0.85
    inside = (found.low_ms <= measured) & (measured <= found.high_ms)
    assert inside.mean() >= 0.85
    assert found.covered.mean() > 0.9


@pytest.mark.parametrize("setting", SETTINGS)
def test_intervals_are_in_order_and_larger_images_take_longer(setting: str) -> None:
    profile = profile_of(setting)
    resolutions = list(range(64, 257, 32))
    for name in ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2"):
        net = profile.kernels(graph_at(ModelSpec(name, 0.5)))
        found = profile.predict_at([(net, resolutions)])
        assert (found.low_ms < found.median_ms).all()
        assert (found.median_ms < found.high_ms).all()
        assert (np.diff(found.median_ms) > 0).all()


def test_wider_nets_take_longer() -> None:
    profile = profile_of("litert float")
    graphs = [graph_at(ModelSpec("mobilenet_v2", width, 160)) for width in (0.25, 0.5, 0.75, 1.0)]
    assert (np.diff(profile.predict(graphs).median_ms) > 0).all()


def test_what_was_not_timed_is_flagged() -> None:
    profile = profile_of("onnx float")
    small, large = graph_at(ModelSpec("mobilenet_v1", 0.5, 128)), graph_at(ModelSpec("resnet152", 1.0, 224))
    assert profile.predict([small, large]).covered.tolist() == [True, False]
    kinds = tuple(kind for kind in profile.kinds if kind != "depthwise")
    assert not replace(profile, kinds=kinds).predict([small]).covered.any()


def test_no_net_is_no_prediction() -> None:
    assert len(profile_of("onnx float").predict([]).median_ms) == 0


def test_a_profile_is_the_same_when_written_and_read(tmp_path: Path) -> None:
    profile = profile_of("onnx int8")
    write_profile(profile, tmp_path / "p.json")
    assert read_profile(tmp_path / "p.json") == profile


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"format": "other"}, "it says 'other'"),
        ({"format_version": 9}, "version 9"),
        ({"runtime": "tvm"}, "it is of tvm float"),
        ({"models": []}, "lacks a model"),
        ({"scale": 0.0}, "lacks a model, its errors, or a range"),
        ({"models": [{"prices": "AAAA"}]}, "its model has prices"),
        ({"nets": "many"}, "nets is 'many', no int"),
    ],
)
def test_a_damaged_profile_is_told_by_its_name(tmp_path: Path, damage: dict[str, Any], told: str) -> None:
    path = tmp_path / "pixel.json"
    write_profile(profile_of("onnx float"), path)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | damage), encoding="utf-8")
    with pytest.raises(DataError, match=f"pixel.json is no latency profile.*{told}"):
        read_profile(path)


def test_a_cut_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    profile = profile_of("onnx float")
    models = tuple(texts | {"first": texts["first"][:-400]} for texts in profile.models)
    write_profile(replace(profile, models=models), path)
    with pytest.raises(DataError, match="is no latency profile"):
        read_profile(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*latency calibrate"):
        read_profile(tmp_path / "p.json")


def test_a_profile_that_nobody_shipped_lists_those_there_are() -> None:
    with pytest.raises(UnknownName, match="onnx-float"):
        shipped(runtime="onnx", precision="int4")


def test_anchors_bring_a_profile_to_todays_speed() -> None:
    profile = profile_of("onnx float")
    usual = np.array([anchor.median_ms for anchor in profile.anchors])
    slower = profile.scaled(list(usual * 1.5), machine="another")
    assert slower.scale == pytest.approx(1.5)
    assert slower.margin == pytest.approx(profile.margin)
    graph = graph_at(ModelSpec("mobilenet_v2", 0.5, 128))
    assert slower.predict([graph]).median_ms == pytest.approx(1.5 * profile.predict([graph]).median_ms)
    scattered = profile.scaled(list(usual * np.linspace(0.8, 1.25, len(usual))), machine="another")
    assert scattered.margin > profile.margin + 0.05


def test_few_figures_of_another_device_scale_kinds_of_kernels() -> None:
    base = profile_of("litert float")
    specs, _ = recorded("litert float")
    nets = [(spec, base.kernels(graph_at(spec))) for spec in specs]
    other = replace(base, models=tuple(base.models))
    slow = _with_slow_depthwise(other)
    times = 3.3 * slow.predict_at([(net, [spec.resolution]) for spec, net in nets]).median_ms
    fitted = adapted(base, nets[:20], list(times[:20]), machine="Pixel 7")
    found = fitted.predict_at([(net, [spec.resolution]) for spec, net in nets[20:]])
    plain = base.predict_at([(net, [spec.resolution]) for spec, net in nets[20:]]).median_ms
    plain *= np.median(times[:20] / base.predict_at([(net, [spec.resolution]) for spec, net in nets[:20]]).median_ms)
    assert np.median(np.abs(found.median_ms / times[20:] - 1)) < 0.04
    assert np.abs(np.log(found.median_ms / times[20:])).mean() < 0.5 * np.abs(np.log(plain / times[20:])).mean()
    assert (fitted.machine, fitted.nets) == ("Pixel 7", 20)
    assert "fitted to 20 nets" in fitted.note


def _with_slow_depthwise(profile: Profile) -> Profile:
    from pocketvision.latency.profile import packed, unpacked

    models = [unpacked(texts) for texts in profile.models]
    for model in models:
        model.prices[KINDS.index("depthwise")] += np.log(3)
    return replace(profile, models=tuple(packed(model) for model in models))


def test_too_few_figures_are_refused() -> None:
    base = profile_of("onnx float")
    specs, measured = recorded("onnx float")
    nets = [(spec, base.kernels(graph_at(spec))) for spec in specs[:4]]
    with pytest.raises(DataError, match="4 nets were measured, and a profile of a device needs 5"):
        adapted(base, nets, list(measured[:4]), machine="x")


def synthetic(count: int) -> tuple[list[tuple[ModelSpec, Kernels]], Labels]:
    """Nets that take 10 us a kernel and 30 us a million multiply-adds."""
    rng = np.random.default_rng(0)
    specs = [
        ModelSpec(
            str(rng.choice(["mobilenet_v1", "squeezenet1_1"])), float(rng.choice([0.25, 0.5, 0.75, 1.0])), int(size)
        )
        for size in rng.integers(48, 225, count)
    ]
    nets = [(spec, kernels(graph_at(spec), runtime="litert", precision="float")) for spec in specs]
    found = features([(net, [spec.resolution]) for spec, net in nets])
    times = np.bincount(found.owners, found.counts * (0.01 + 0.03 * found.amounts[:, 1]))
    return nets, Labels(times, 0.7, 12.0)


def test_the_model_finds_prices_that_made_the_times() -> None:
    nets, labels = synthetic(40)
    found = features([(net, [spec.resolution]) for spec, net in nets])
    model = fit(found, labels.median_ms, steps=150)
    assert np.median(np.abs(model.predict(found, len(nets)) / labels.median_ms - 1)) < 0.02


def test_too_few_nets_make_no_profile() -> None:
    nets, labels = synthetic(5)
    with pytest.raises(DataError, match="5 nets were measured, and a profile needs 40"):
        make_profile(nets, labels, RuntimeSetting("litert", "LiteRT", "float", 1), reference_ms=1.0)


def test_the_clock_tells_long_calls_from_short_ones() -> None:
    def work(times: int) -> None:
        sum(range(times))

    found = labels(time_nets([lambda: work(20_000), lambda: work(80_000)], rounds=3))
    assert 2 < found.median_ms[1] / found.median_ms[0] < 8
    assert 0 <= found.clean_share <= 1
