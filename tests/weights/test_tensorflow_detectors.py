"""TensorFlow's detector files: read whole, they give the boxes that LiteRT gives, and a training starts from them.

No published file is at hand: the files are written here in that layout, from drawn weights.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pocketvision
from pocketvision.compress.slim import sliced
from pocketvision.errors import WeightsError
from pocketvision.export.source import OpenedSource, open_source
from pocketvision.graph.boxes import iou
from pocketvision.graph.fixed import XNNPACK
from pocketvision.graph.graph import Conv
from pocketvision.graph.run import run
from pocketvision.models.catalogue import build_spec
from pocketvision.progress import Silent
from pocketvision.tasks import load as load_task
from pocketvision.values import AnchorMap, Box, DetectorSpec, Example
from pocketvision.weights.load import Weights, load_into, read, without_predictors
from tests.export.detector import scenes
from tests.weights.tensorflow_detector import CLASSES, MAPS, MOST, SIDE, Written, detector, images

WEIGHTS = ("weight", "bias")
CASES = [("mobilenet_v1", "ssd"), ("mobilenet_v2", "ssdlite")]


@pytest.fixture(scope="module", params=[(*case, quantized) for case in CASES for quantized in (False, True)])
def case(request: pytest.FixtureRequest) -> tuple[Written, bool]:
    name, head, quantized = request.param
    return detector(name, head, quantized=quantized), quantized


def opened(written: Written, folder: Path) -> OpenedSource:
    path = folder / "model.tflite"
    path.write_bytes(written.content)
    return open_source(path, None, labels=None, progress=Silent())


def boxes_of(content: bytes, pixels: np.ndarray, *, quantized: bool) -> np.ndarray:
    """Run a file in LiteRT: [N, 100, 6] as our graph gives them."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(model_content=content)
    interpreter.allocate_tensors()
    ends = [end["index"] for end in interpreter.get_output_details()]
    found = []
    for image in pixels:
        shown = image if quantized else image / np.float32(127.5) - 1
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], shown[None].astype(shown.dtype))
        interpreter.invoke()
        boxes, classes, scores, count = (interpreter.get_tensor(end)[0] for end in ends)
        there = (np.arange(MOST) < count)[:, None]
        found.append(np.concatenate([boxes, classes[:, None], scores[:, None]], axis=1) * there)
    return np.stack(found)


def test_a_file_is_read_whole(case, tmp_path):
    written, quantized = case
    found = opened(written, tmp_path)
    model = found.manifest.model
    assert (model.name, model.width, model.resolution, model.num_classes) == (written.spec.name, 0.25, SIDE, CLASSES)
    assert model.detector.head == written.spec.detector.head
    assert [one.stride for one in model.detector.maps] == [one.stride for one in MAPS]
    for ours, theirs in zip(model.detector.maps, MAPS, strict=True):
        np.testing.assert_allclose(ours.shapes, theirs.shapes, atol=0.002 if quantized else 1e-6)
    assert found.manifest.task == "detection"
    assert (found.whole is not None) is quantized
    layers = {node.name: node for node in found.graph.nodes if isinstance(node, Conv)}
    for node in written.graph.nodes:
        if isinstance(node, Conv) and not (".classes." in node.name and node.activation == "none"):
            step = np.abs(node.weight).max() / 127 if quantized else 1e-5
            np.testing.assert_allclose(layers[node.name].weight, node.weight, atol=0.51 * step)


def test_its_boxes_are_those_of_litert(case, tmp_path):
    written, quantized = case
    found, pixels = opened(written, tmp_path), images()
    theirs = boxes_of(written.content, pixels, quantized=quantized)
    ours = run(found.whole if quantized else found.graph, pixels, rounding=XNNPACK)
    assert 40 < (theirs[..., 5] >= 0.35).sum() < 300
    step = 2 / 256 if quantized else 1e-4
    """The file rounds scores to 256 levels, once their maps are joined."""
    for one, other in zip(ours, theirs, strict=True):
        for rows, others in ((one, other), (other, one)):
            sure = rows[rows[:, 5] >= 0.3 + 2 * step]
            alike = (iou(sure[:, :4], others[:, :4]) > 0.99) & (sure[:, None, 4] == others[None, :, 4])
            assert (alike & (np.abs(sure[:, None, 5] - others[None, :, 5]) < step)).any(axis=1).all()


@pytest.mark.parametrize("what", ["scale", "classes", "anchors"])
def test_what_no_ssd_is_is_told(what, monkeypatch, tmp_path):
    from tests.weights import tensorflow_detector as layout

    change = {
        "scale": ("SCALES", (10.0, 10.0, 4.0, 5.0), "h_scale 4"),
        "classes": ("CLASSES", 4, "columns an anchor for"),
        "anchors": ("anchors", lambda maps, side: np.roll(real(maps, side), 5, axis=0), "not alike in every cell"),
    }
    real = layout.anchors
    written = layout.detector("mobilenet_v1", "ssd", quantized=False)
    name, value, words = change[what]
    monkeypatch.setattr(layout, name, value)
    content = layout._Layout(written.graph, quantized=False)
    monkeypatch.setattr(layout, "CLASSES", 5)
    if what == "classes":
        real_map = layout.options_map
        monkeypatch.setattr(layout, "options_map", lambda values: real_map({**values, "num_classes": 3}))
    (tmp_path / "odd.tflite").write_bytes(content.content())
    with pytest.raises(WeightsError, match=words):
        read(tmp_path / "odd.tflite")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, Path]:
    path = tmp_path_factory.mktemp("file") / "model.tflite"
    path.write_bytes(detector("mobilenet_v2", "ssdlite", quantized=True).content)
    return replace(read(path), labels=("ant", "bee", "cat", "dog", "eel")), path


def test_another_training_begins_with_what_fits(started):
    weights, _ = started
    spec = replace(weights.spec, num_classes=2)
    donor, net = build_spec(weights.spec), build_spec(spec)
    load_into(donor, weights, keep_head=True)
    report = load_into(net, weights, keep_head=False, labels=("dog", "fox"))
    ours, theirs = net.state_dict(), donor.state_dict()
    for key in ("features.3.layers.0.0.weight", "classifier.extras.2.0.0.weight", "classifier.boxes.4.1.weight"):
        assert torch.equal(ours[key], theirs[key])
    own, given = (state["classifier.classes.1.1.bias"].view(2, -1) for state in (ours, theirs))
    assert torch.equal(own[:, 0], given[:, 3])
    assert set(report.fresh) == {f"classifier.classes.{place}.1.{part}" for place in range(6) for part in WEIGHTS}
    again = load_into(build_spec(spec), weights, keep_head=False, labels=("eel", "ant"))
    assert again.fresh == ()


def test_other_anchors_take_the_layers_below(started):
    weights, _ = started
    maps = tuple(replace(one, shapes=((0.3, 0.3),)) for one in weights.spec.detector.maps[:3])
    net = build_spec(replace(weights.spec, detector=DetectorSpec(maps)))
    report = load_into(net, weights, keep_head=False, labels=weights.labels)
    assert report.fresh
    assert all(name.startswith(("classifier.boxes", "classifier.classes")) for name in report.fresh)
    finer = build_spec(replace(weights.spec, detector=DetectorSpec((AnchorMap(8, ((0.1, 0.1),)), *maps))))
    report = load_into(finer, weights, keep_head=False, labels=weights.labels)
    assert any("extras" in name for name in report.fresh)
    plain = build_spec(replace(weights.spec, detector=DetectorSpec(maps, "ssd")))
    assert any("extras" in name for name in load_into(plain, weights, keep_head=False).fresh)


def test_anchors_that_reach_the_boxes_are_kept(started):
    spec, task = started[0].spec, load_task("detect")
    large, small = ((Example("", (Box(0, 0.2, 0.2, 0.2 + side, 0.2 + side),), "train", ""),) for side in (0.5, 0.02))
    assert task.fitted(replace(spec, num_classes=1), large).detector == spec.detector
    assert task.fitted(replace(spec, num_classes=1), small).detector != spec.detector


def test_train_begins_with_a_detectors_file(started, tmp_path, monkeypatch):
    monkeypatch.setattr("pocketvision.tasks.detect.answers.REACHED", 0.0)
    done = pocketvision.train(
        scenes(tmp_path / "data", 12), weights=started[1], epochs=1, resolution=SIDE, device="cpu", output=tmp_path
    )
    assert done.trained.spec.detector == started[0].spec.detector
    assert (done.trained.spec.name, done.trained.start) == ("mobilenet_v2", "model.tflite")


def test_a_narrower_net_is_cut_out_of_the_backbone(started):
    plain = without_predictors(started[0])
    assert (plain.spec.detector, plain.has_head) == (None, False)
    small = replace(plain.spec, width=0.125, resolution=64)
    cut = sliced(plain, small, [torch.randn(4, 3, 64, 64)])
    net = build_spec(replace(small, num_classes=2, detector=started[0].spec.detector))
    assert all(name.startswith("classifier.") for name in load_into(net, cut, keep_head=False).fresh)
