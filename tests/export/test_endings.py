"""Graphs that end in a probability for each label by itself: every writer gives what the reference gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.compress.compress import compress
from pocketvision.compress.temperature import with_temperature
from pocketvision.errors import GraphError
from pocketvision.export import SUFFIXES
from pocketvision.export.manifest import make_probes, manifest_of_file, stand_in_images
from pocketvision.export.write import write_graph
from pocketvision.graph.endings import sigmoid_ending
from pocketvision.graph.graph import Graph, Softmax
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build_spec
from pocketvision.runtime import open as open_model
from pocketvision.values import ImageSpec, Io, ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # the packages of the large formats warn of their own ways
SPEC = ModelSpec("mobilenet_v1", 0.125, 32, 3)
IMAGES = np.random.default_rng(3).integers(0, 256, (6, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def plain() -> Graph:
    torch.manual_seed(3)
    return trace(build_spec(SPEC).eval(), ImageSpec(32), sigmoid_ending)


@pytest.fixture(scope="module")
def small(plain: Graph) -> Graph:
    return compress(plain, IMAGES).graph


def test_each_probability_is_its_own(plain: Graph) -> None:
    found = run(plain, IMAGES)
    softened = run(Graph((*plain.nodes[:-1], Softmax("probabilities", (plain.logits,)))), IMAGES)
    np.testing.assert_allclose(softened.sum(axis=1), 1, atol=1e-5)
    odds = found / (1 - found)
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), softened, rtol=1e-3)


def test_a_temperature_divides_the_logits_of_a_sigmoid(plain: Graph, small: Graph) -> None:
    for graph in (plain, small):
        before, after = (run(each, IMAGES).astype(np.float64) for each in (graph, with_temperature(graph, 2.0)))
        np.testing.assert_allclose(np.log(after / (1 - after)), np.log(before / (1 - before)) / 2, atol=1e-3)


def test_a_graph_that_ends_without_probabilities_has_no_logits(plain: Graph) -> None:
    with pytest.raises(GraphError, match="no logits"):
        _ = Graph(plain.nodes[:-1]).logits


@pytest.mark.parametrize(
    "name",
    [
        "onnx",
        "litert",
        *(
            pytest.param(name, marks=pytest.mark.extra(package))
            for name, package in (("coreml", "coremltools"), ("openvino", "openvino"), ("executorch", "executorch"))
        ),
    ],
)
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_files_answer_as_the_reference(name: str, precision: str, plain: Graph, small: Graph, tmp_path: Path) -> None:
    graph = plain if precision == "float" else small
    labels = ("round", "red", "large")
    manifest = manifest_of_file(SPEC, ImageSpec(32), labels)
    probes = make_probes(graph, ImageSpec(32), stand_in_images())
    path = tmp_path / f"model{SUFFIXES[name]}"
    done = write_graph(graph, replace(manifest, name="m", precision=precision, probes=probes), path)
    assert "answers as the reference does" in done.checked
    if name != "coreml":
        gap = np.abs(open_model(path).run(IMAGES) - run(graph, IMAGES)).max()
        assert gap < (0.03 if precision == "int8" else 1e-3)


@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_integers_at_both_ends_are_the_fixed_range_of_the_kernel(io: Io, small: Graph, tmp_path: Path) -> None:
    manifest = replace(
        manifest_of_file(SPEC, ImageSpec(32), ("a", "b", "c")),
        name="m",
        precision="int8",
        io=io,
        probes=make_probes(small, ImageSpec(32), stand_in_images()),
    )
    write_graph(small, manifest, tmp_path / "model.tflite")
    found = open_model(tmp_path / "model.tflite").run(IMAGES)
    np.testing.assert_array_equal(found * 256, np.rint(found * 256))
    assert np.abs(found - run(small, IMAGES)).max() < 0.03
