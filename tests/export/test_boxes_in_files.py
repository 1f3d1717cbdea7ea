"""A detector in files: they give the boxes of its graph, in every form, and say of themselves what apps need."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

import pocketvision
from pocketvision.errors import UnknownName, UsageError, VerificationFailed, WeightsError
from pocketvision.export import litert
from pocketvision.export import onnx as onnx_writer
from pocketvision.export.check import check
from pocketvision.export.manifest import PROBE_BOXES, make_probes, manifest_of_file, stand_in_images, stand_in_probes
from pocketvision.export.write import write_graph
from pocketvision.graph.fixed import XNNPACK
from pocketvision.graph.graph import Conv, Graph, Suppress
from pocketvision.graph.integer import ONNXRUNTIME
from pocketvision.graph.order import schedule
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace_spec
from pocketvision.runtime import litert as lite
from pocketvision.runtime import onnx as ort
from pocketvision.runtime import open as open_model
from pocketvision.tasks import load
from pocketvision.values import DetectorSpec, ImageSpec, Manifest, ModelSpec, Suppression
from pocketvision.verify.agreement import probe_gap
from tests.export.detector import IMAGE, LABELS, MAPS, MODEL, TASK, detector, images, quantized

GAP = {"float": 1e-3, "int8": 0.1}
ROUNDINGS = {".onnx": ONNXRUNTIME, ".tflite": XNNPACK}
WRITERS = {".onnx": onnx_writer.write, ".tflite": litert.write}


@pytest.fixture(scope="module")
def graphs() -> dict[str, Graph]:
    graph = detector()
    return {"float": graph, "int8": quantized(graph)}


def assert_same(found, expected):
    """Require the same boxes; those of nearly one score may stand in another order."""
    np.testing.assert_allclose(found[..., 5], expected[..., 5], atol=1e-3)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(ours[:, None] - theirs[None]).max(axis=2).min(axis=0).max() < 2e-3


def words(precision="float", **changes) -> Manifest:
    plain = manifest_of_file(MODEL, IMAGE, LABELS)
    return replace(plain, name="shapes", task="detection", precision=precision, thresholds=TASK.thresholds, **changes)


@pytest.mark.parametrize("ends", ["boxes", "raw"])
@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_gives_the_boxes_of_its_graph(suffix, precision, ends, graphs, tmp_path):
    path = tmp_path / f"model{suffix}"
    exported = write_graph(graphs[precision], words(precision, ends=ends), path)
    runner = open_model(path)
    answers, expected = runner.run(images()), run(graphs[precision], images(), rounding=ROUNDINGS[suffix])
    assert answers.shape == expected.shape == (6, 100, 6)
    assert answers.dtype == np.float32
    assert (expected[..., 5] > 0.2).sum() > 30
    assert load("detect").gaps(answers, expected).max() <= GAP[precision]
    if precision == "float":
        assert_same(answers, expected)
    assert runner.run(images()[:0]).shape == (0, 100, 6)
    assert runner.manifest.suppression == Suppression(0.05, 0.5, 100)
    assert exported.checked.startswith(f"{runner.name} answers as the reference does on ")
    whole = {".onnx": "every layer with weights runs in integers", ".tflite": "all of the net is one part of XNNPACK"}
    assert exported.checked.endswith("float kernels" if (suffix, precision) == (".onnx", "float") else whole[suffix])


def test_several_images_at_once_get_the_boxes_that_they_get_alone(graphs, tmp_path):
    write_graph(graphs["int8"], words("int8"), tmp_path / "model.onnx")
    runner = open_model(tmp_path / "model.onnx")
    alone = np.concatenate([runner.run(image[None]) for image in images()])
    np.testing.assert_array_equal(runner.run(images()), alone)


def test_nothing_found_is_nothing(graphs, tmp_path):
    node = graphs["float"].nodes[-1]
    assert isinstance(node, Suppress)
    blind = Graph((*graphs["float"].nodes[:-1], replace(node, score_threshold=0.9999)))
    for suffix, write in WRITERS.items():
        write(blind, words(), tmp_path / f"model{suffix}")
        assert not open_model(tmp_path / f"model{suffix}").run(images()).any()


def test_fewer_anchors_than_boxes_are_asked_for(graphs, tmp_path):
    node = graphs["float"].nodes[-1]
    assert isinstance(node, Suppress)
    many = Graph((*graphs["float"].nodes[:-1], replace(node, most=500)))
    expected = run(many, images())
    for suffix, write in WRITERS.items():
        write(many, words(suppression=Suppression(0.05, 0.5, 500)), tmp_path / f"model{suffix}")
        found = open_model(tmp_path / f"model{suffix}").run(images())
        assert_same(found, expected)


def test_wrong_boxes_are_told(graphs, tmp_path):
    wrong = tuple(
        replace(node, weight=-node.weight) if isinstance(node, Conv) and node.name.startswith("classifier.b") else node
        for node in graphs["float"].nodes
    )
    for suffix, write in WRITERS.items():
        write(Graph(wrong), words(), tmp_path / f"model{suffix}")
        with pytest.raises(VerificationFailed, match="answers otherwise than its graph"):
            check(tmp_path / f"model{suffix}", graphs["float"])


@pytest.mark.parametrize("threads", [2, 3, 4, 16])
def test_no_class_is_lost_with_several_threads(threads, graphs, tmp_path):
    """LiteRT's operator leaves out the class at the place of the number of threads."""
    write_graph(graphs["float"], words(), tmp_path / "model.tflite")
    expected = run(graphs["float"], images())
    assert set(expected[expected[..., 5] > 0, 4].tolist()) == {0, 1, 2}
    assert_same(open_model(tmp_path / "model.tflite", threads=threads).run(images()), expected)


def test_the_net_up_to_the_boxes_is_one_part(graphs):
    for graph in graphs.values():
        found = lite.parts(litert.to_bytes(graph))
        assert found.delegated == 1
        assert found.others == ("TFLite_Detection_PostProcess", "CAST", "GATHER")


def test_without_a_manifest_a_file_can_be_timed(graphs):
    graph = graphs["float"]
    expected = run(graph, images()[:2])
    for answer in (lite.answer_of(litert.to_bytes(graph)), ort.answer_of(onnx_writer.to_bytes(graph))):
        assert_same(answer(images()[:2]), expected)


def test_outputs_have_names_and_fixed_lengths(graphs):
    model = onnx.load_model_from_string(onnx_writer.to_bytes(graphs["float"], words()))
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        end.name: [size.dim_param or size.dim_value for size in end.type.tensor_type.shape.dim]
        for end in model.graph.output
    }
    assert shapes == {"boxes": ["N", 100, 4], "classes": ["N", 100], "scores": ["N", 100], "count": ["N"]}


def test_whole_numbers_are_refused(graphs):
    with pytest.raises(UsageError, match="boxes are floats"):
        litert.written(graphs["int8"], "uint8")


@pytest.mark.parametrize("suffix", WRITERS)
def test_another_nets_manifest_is_refused(suffix, graphs, tmp_path):
    other = replace(MODEL, detector=DetectorSpec(MAPS[:-1]))
    path = tmp_path / f"model{suffix}"
    WRITERS[suffix](graphs["float"], words(ends="raw", model=other), path)
    with pytest.raises(WeightsError, match=r"3 labels and 66 anchors .* gives .* \[68, 3\] at 96 pixels"):
        open_model(path)


def test_probes_hold_the_best_boxes_and_prove_a_file(graphs, tmp_path):
    probes = make_probes(graphs["float"], IMAGE, stand_in_images())
    assert all(len(probe.probabilities) % 6 == 0 for probe in probes)
    assert max(len(probe.probabilities) for probe in probes) == 6 * PROBE_BOXES
    write_graph(graphs["float"], words(probes=probes), tmp_path / "model.tflite")
    assert probe_gap(open_model(tmp_path / "model.tflite")) < 1e-3
    first = probes[0]
    assert first.probabilities[5] > 0.2
    wrong = (*first.probabilities[:5], first.probabilities[5] + 0.2, *first.probabilities[6:])
    write_graph(graphs["float"], words(probes=(replace(first, probabilities=wrong),)), tmp_path / "wrong.tflite")
    assert probe_gap(open_model(tmp_path / "wrong.tflite")) == pytest.approx(0.2, abs=1e-3)
    write_graph(graphs["float"], words(probes=(replace(first, probabilities=(0.1,) * 7),)), tmp_path / "no.tflite")
    with pytest.raises(WeightsError, match="no boxes"):
        probe_gap(open_model(tmp_path / "no.tflite"))


def test_stand_in_probes_take_room_for_boxes():
    assert {len(probe.probabilities) for probe in stand_in_probes(TASK)} == {6 * len(LABELS)}


def test_a_manifest_says_which_boxes_are_kept(graphs, tmp_path):
    write_graph(graphs["float"], words(ends="raw"), tmp_path / "model.tflite")
    beside = json.loads((tmp_path / "manifest.json").read_text())
    assert beside["ends"] == "raw"
    assert beside["suppression"] == {"score": 0.05, "overlap": 0.5, "most": 100}


def test_no_order_of_branches_is_searched_where_none_saves_memory(graphs, monkeypatch):
    monkeypatch.setattr("pocketvision.graph.order._Piece._search", lambda *_: pytest.fail("countless orders"))
    found = schedule(graphs["float"])
    assert found.peak == found.least


def test_what_a_detector_gives_is_asked_of_detectors_only(tmp_path):
    spec = ModelSpec("mobilenet_v1", 0.25, 32, 3)
    onnx_writer.write(
        trace_spec(spec, ImageSpec(32)), manifest_of_file(spec, ImageSpec(32), LABELS), tmp_path / "m.onnx"
    )
    with pytest.raises(UsageError, match="--ends raw is for detectors"):
        pocketvision.export(tmp_path / "m.onnx", format="litert", ends="raw")
    with pytest.raises(UnknownName, match="boxes"):
        pocketvision.export(tmp_path / "m.onnx", ends="rows")
