"""Nets read off files of whoever wrote them: the same kernels as of the traced net, and what is not known is told."""

import json
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.errors import DataError, WeightsError
from pocketvision.export import litert as litert_file
from pocketvision.export import onnx as onnx_file
from pocketvision.files import write_bytes
from pocketvision.fit.profiles import as_delivered, trace
from pocketvision.graph.graph import Graph
from pocketvision.latency.files import read_net
from pocketvision.latency.kernels import Kernels
from pocketvision.latency.nets import macs_of, with_fresh_weights
from pocketvision.latency.profile import shipped, write_profile
from pocketvision.models.catalogue import build_spec, families, parse_name
from pocketvision.values import ModelSpec
from pocketvision.verbs.latency import predict

NETS = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2", "squeezenet1_1", "mnasnet_a1")
MORE = ("shufflenet_v1", "ghostnet", "googlenet", "fd_mobilenet")
WRITERS = {".onnx": onnx_file.to_bytes, ".tflite": litert_file.to_bytes}
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def net_of(name: str) -> Graph:
    family = families()[name]
    spec = ModelSpec(name, min(family.widths), max(64, family.smallest), 7)
    return with_fresh_weights(graph_at(spec), np.random.default_rng(0))


def written(graph: Graph, precision: str, path: Path) -> Path:
    write_bytes(path, WRITERS[path.suffix](as_delivered(graph, precision)))
    return path


def rows(net: Kernels) -> Counter[tuple[int, ...]]:
    """Count kernels, whatever the places of their maps' sizes."""
    found: Counter[tuple[int, ...]] = Counter()
    for row, times in zip(net.rows, net.counts, strict=True):
        found[(row.kind, *row[3:])] += times
    return found


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
@pytest.mark.parametrize("name", [*NETS, *MORE])
def test_a_float_file_has_the_kernels_of_the_traced_net(tmp_path: Path, name: str, suffix: str) -> None:
    graph = net_of(name)
    found = read_net(written(graph, "float", tmp_path / f"net{suffix}"))
    profile = shipped(runtime=found.runtime, precision=found.precision)
    assert (found.precision, found.odd) == ("float", ())
    assert rows(profile.kernels(found.graph)) == rows(profile.kernels(as_delivered(graph, "float")))
    both = profile.predict([found.graph, as_delivered(graph, "float")]).median_ms
    assert both[0] == pytest.approx(both[1], rel=1e-5)


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
@pytest.mark.parametrize("name", NETS)
def test_an_int8_file_takes_about_the_time_of_the_traced_net(tmp_path: Path, name: str, suffix: str) -> None:
    # An int8 ONNX file does not tell a ReLU from a ReLU6 where both are done by the levels.
    graph = net_of(name)
    found = read_net(written(graph, "int8", tmp_path / f"net{suffix}"))
    profile = shipped(runtime=found.runtime, precision="int8")
    both = profile.predict([found.graph, as_delivered(graph, "float")]).median_ms
    assert found.precision == "int8"
    assert both[0] == pytest.approx(both[1], rel=0.05 if suffix == ".onnx" else 1e-5)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5"])
@pytest.mark.parametrize("any_side", [False, True])
def test_a_file_of_pytorch_s_own_exporter_is_read(tmp_path: Path, name: str, any_side: bool) -> None:
    path, spec = tmp_path / "net.onnx", parse_name(name)
    axes = {"image": {0: "n", 2: "height", 3: "width"}} if any_side else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = build_spec(spec).eval()
        torch.onnx.export(
            net, (torch.zeros(1, 3, 224, 224),), path, input_names=["image"], dynamo=False, dynamic_axes=axes
        )
    if any_side:
        with pytest.raises(WeightsError, match="--resolution"):
            read_net(path)
    side = 160 if any_side else 224
    found = read_net(path, resolution=side)
    assert found.graph.input.resolution == side
    assert macs_of(found.graph) == count(graph_at(replace(spec, resolution=side))).macs
    assert found.precision == "float"


@pytest.mark.skipif(not LIGHT.is_dir(), reason="this package of onnx comes without the nets of its zoo")
@pytest.mark.parametrize(("file", "name"), [("squeezenet", "squeezenet1_1"), ("vgg19", "vgg19")])
def test_files_of_the_onnx_zoo_are_read(file: str, name: str) -> None:
    found = read_net(LIGHT / f"light_{file}.onnx")
    assert macs_of(found.graph) == count(graph_at(ModelSpec(name))).macs


@pytest.mark.parametrize(
    ("file", "spec", "odd"),
    [
        ("mobilenet_v1_0.5_160_quant", ModelSpec("mobilenet_v1", 0.5, 160, 1001), ("its levels are uint8",)),
        ("tf2_mobilenet_v2_1.0_224_ptq", ModelSpec("mobilenet_v2", 1.0, 224, 1001), ()),
    ],
)
def test_published_files_are_read(shared_weights: Path, file: str, spec: ModelSpec, odd: tuple[str, ...]) -> None:
    path = shared_weights / f"{file}.tflite"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    found = read_net(path)
    assert (found.runtime, found.precision, found.odd) == ("litert", "int8", odd)
    assert macs_of(found.graph) == count(graph_at(spec)).macs


def test_a_detector_is_flagged_by_name_and_as_file(tmp_path: Path) -> None:
    spec = ModelSpec("mobilenet_v2", 0.35)
    detector = parse_name("mobilenet_v2_ssdlite").detector
    graph = trace(ModelSpec(spec.name, spec.width, 96, 3, detector=detector))
    assert not shipped(runtime="litert", precision="float").predict([graph]).covered.any()
    for suffix in WRITERS:
        path = written(with_fresh_weights(graph, np.random.default_rng(0)), "float", tmp_path / f"net{suffix}")
        found = read_net(path)
        assert macs_of(found.graph) == macs_of(graph)
        assert found.odd == ("what it does with boxes or other rows is not counted",)


def profile_file(folder: Path, runtime: str, precision: str) -> Path:
    path = folder / f"{runtime}-{precision}.json"
    write_profile(shipped(runtime=runtime, precision=precision), path)
    return path


def test_names_and_files_are_predicted_side_by_side_and_timed(tmp_path: Path) -> None:
    file = written(net_of("mobilenet_v1"), "float", tmp_path / "net.onnx")
    given = [str(file), "mobilenet_v1_0.25_128", "mobilenet_v2_ssdlite"]
    found = predict(given, profile=profile_file(tmp_path, "onnx", "float"), resolution=96, measure=False)
    assert [line.net for line in found] == given
    assert [line.covered for line in found] == [True, True, False]
    assert "boxes" in found[2].note
    assert found[0].measured is None
    (timed,) = predict(file, profile=profile_file(tmp_path, "onnx", "float"), measure=True)
    assert timed.measured is not None
    assert timed.measured.median_ms > 0
    assert timed.median_ms == found[0].median_ms


def test_a_profile_of_another_runtime_is_told(tmp_path: Path) -> None:
    file = written(net_of("mobilenet_v1"), "float", tmp_path / "net.onnx")
    (found,) = predict(file, profile=profile_file(tmp_path, "litert", "int8"))
    assert (found.precision, found.covered) == ("int8", True)
    assert "the file is for onnx in float, the profile of litert" in found.note


def test_an_operator_that_nobody_knows_is_named(tmp_path: Path) -> None:
    helper, kinds = onnx.helper, onnx.TensorProto
    image = helper.make_tensor_value_info("image", kinds.FLOAT, [1, 3, 32, 32])
    out = helper.make_tensor_value_info("out", kinds.FLOAT, [1, 3, 64, 64])
    scales = helper.make_tensor("scales", kinds.FLOAT, [4], [1, 1, 2, 2])
    node = helper.make_node("Resize", ["image", "", "scales"], ["out"])
    model = helper.make_model(helper.make_graph([node], "net", [image], [out], [scales]))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="its operator Resize"):
        read_net(tmp_path / "net.onnx")


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_a_damaged_file_is_an_error_of_its_name(tmp_path: Path, suffix: str) -> None:
    whole = written(net_of("mobilenet_v1"), "float", tmp_path / f"whole{suffix}").read_bytes()
    rng, refused = np.random.default_rng(0), list[str]()
    for place in range(60):
        damaged = bytearray(whole[: int(rng.integers(1, len(whole)))] if place % 2 else whole)
        for at in rng.integers(0, len(damaged), 8):
            damaged[at] = int(rng.integers(0, 256))
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(bytes(damaged))
        try:
            read_net(path)
        except WeightsError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert all(text.startswith(f"damaged{suffix}") for text in refused)


def test_what_is_no_file_to_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_net(tmp_path / "net.onnx")
    (tmp_path / "net.pte").write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"\.onnx and \.tflite"):
        read_net(tmp_path / "net.pte")
