"""The verbs on detectors: a run's, and files of ours that are read back into the graph that they were written from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pocketvision
from pocketvision.errors import WeightsError
from pocketvision.export import litert
from pocketvision.export import onnx as onnx_writer
from pocketvision.export.manifest import manifest_of_file
from pocketvision.export.source import open_source
from pocketvision.export.unlabeled import load_images
from pocketvision.export.write import suppression_of
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.graph.run import run
from pocketvision.progress import Silent
from pocketvision.runtime import open as open_model
from pocketvision.tasks import load
from pocketvision.values import Manifest
from tests.export.detector import IMAGE, LABELS, MODEL, TASK, detector, images, quantized, scenes

WRITERS = {".onnx": onnx_writer.write, ".tflite": litert.write}
TINY = {"model": "mobilenet_v1", "width": 0.125, "resolution": 96, "epochs": 1, "device": "cpu", "weights": "none"}
GAP = 0.1
"""Rounding of two runtimes, in scores."""


@pytest.fixture(scope="module")
def graphs() -> dict[str, Graph]:
    graph = detector()
    return {"float": graph, "int8": quantized(graph)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    pocketvision.train(photos, **TINY, output=folder, name="tiny")
    return folder / "train" / "tiny"


def words(graph: Graph, **changes) -> Manifest:
    plain = replace(manifest_of_file(MODEL, IMAGE, LABELS), name="shapes", task="detection", created="2020-01-01")
    precision = "float" if graph.quant is None else "int8"
    said = {"precision": precision, "thresholds": TASK.thresholds, "suppression": suppression_of(graph)}
    return replace(plain, **said, **changes)


@pytest.mark.parametrize("ends", ["boxes", "raw"])
@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_a_detectors_file_is_written_anew_in_other_formats(suffix, precision, ends, graphs, tmp_path):
    first = tmp_path / f"first{suffix}"
    WRITERS[suffix](best_order(graphs[precision]), words(graphs[precision], ends=ends), first)
    written = pocketvision.export(first, format="onnx,litert", output=tmp_path / "again")
    assert (written.precision, written.manifest.labels, written.manifest.model) == (precision, LABELS, MODEL)
    assert (written.manifest.thresholds, written.manifest.ends) == (TASK.thresholds, "boxes")
    before = open_model(first).run(images())
    assert (before[..., 5] > 0.3).sum() > 20
    same = open_model(tmp_path / "again" / f"model{suffix}").run(images())
    np.testing.assert_allclose(same, before, atol=1e-5)
    for other in WRITERS:
        answers = open_model(tmp_path / "again" / f"model{other}").run(images())
        assert load("detect").gaps(answers, before).max() < (1e-3 if precision == "float" else GAP)


def test_the_graph_of_a_file_is_the_one_that_was_written(graphs, tmp_path):
    for suffix, write in WRITERS.items():
        write(best_order(graphs["int8"]), words(graphs["int8"]), tmp_path / f"model{suffix}")
        opened = open_source(tmp_path / f"model{suffix}", None, labels=None, progress=Silent())
        assert opened.whole is not None
        np.testing.assert_array_equal(run(opened.whole, images()), run(graphs["int8"], images()))


def test_a_file_of_other_layers_is_refused(graphs, tmp_path):
    wrong = replace(MODEL, width=0.5)
    for suffix, write in WRITERS.items():
        write(graphs["float"], words(graphs["float"], model=wrong), tmp_path / f"model{suffix}")
        with pytest.raises(WeightsError, match=r"no net of the catalogue|are not those of"):
            open_source(tmp_path / f"model{suffix}", None, labels=None, progress=Silent())


def test_boxes_beside_images_are_labels_for_a_detector_alone(photos):
    assert load_images(photos, {}, Silent()).labels == ()
    found = load_images(photos, {}, Silent(), kind="boxes")
    assert (found.labels, found.kind) == (("ring", "star", "Würfel"), "boxes")


@pytest.mark.parametrize("suffix", WRITERS)
def test_compress_judges_a_detectors_file(suffix, graphs, photos, tmp_path):
    path = tmp_path / f"model{suffix}"
    own = words(graphs["float"], labels=("ring", "star", "Würfel"))
    WRITERS[suffix](best_order(graphs["float"]), own, path)
    found = pocketvision.compress(path, photos, steps="int8")
    assert [stage.steps for stage in found.stages] == ["float", "int8"]
    assert all(stage.validation is not None and stage.validation.metric == "AP50" for stage in found.stages)
    assert found.stages[0].same_answer == 1
    assert 0 < found.stages[1].same_answer <= 1
    assert {"classifier.boxes.0.1", "classifier.classes.5.1"} <= {loss.layer for loss in found.layers}
    assert all(loss.alone_db > 10 and 0 <= loss.alone_same <= 1 for loss in found.layers)


def test_every_verb_takes_a_detectors_run(trained, photos, tmp_path):
    written = pocketvision.export(trained, format="onnx,litert", precision="int8", output=tmp_path)
    assert written.manifest.thresholds
    proof = pocketvision.verify(written.file, photos)
    assert proof.accuracy.metric == "AP50"
    told = pocketvision.bench([written.file, written.others[0].file])
    assert [result.file for result in told] == [written.file, written.others[0].file]
    found = pocketvision.compress(trained, steps="int8")
    assert found.stages[0].validation.metric == "AP50"
    weights = pocketvision.export(trained / "weights" / "best.safetensors", output=tmp_path / "weights")
    plain = pocketvision.export(trained, output=tmp_path / "plain")
    answers = [open_model(Path(each.file)).run(images()) for each in (weights, plain)]
    np.testing.assert_allclose(*answers, atol=1e-5)
