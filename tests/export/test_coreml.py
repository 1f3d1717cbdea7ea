"""Core ML packages: written through coremltools, read back, and their programs evaluated against the reference."""

import importlib.util
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.compress.compress import compress
from pocketvision.compress.palette import palettized
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.compress.steps.prune import Magnitude
from pocketvision.compress.steps.share import Share
from pocketvision.data.tensors import to_input
from pocketvision.errors import GraphError, MissingExtra, WeightsError
from pocketvision.export.manifest import manifest_of_file
from pocketvision.export.use import needs_of, use_text
from pocketvision.export.write import write_graph
from pocketvision.graph.graph import Activate, Conv, Graph, Input, Linear
from pocketvision.graph.lower import with_real_weights, without_affines
from pocketvision.graph.run import kernel, run
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.storage import Palette
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build, families, family_of
from pocketvision.runtime import mil, size_bytes
from pocketvision.runtime import open as open_model
from pocketvision.runtime.mil_file import read_mil
from pocketvision.tasks import load
from pocketvision.values import ImageSpec, Manifest, ModelSpec
from tests.export import detector as boxes

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.extra("coremltools")]

_SPEC = importlib.util.spec_from_file_location("kernels", Path(__file__).with_name("test_every_kernel.py"))
kernels = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(kernels)
LABELS = ("a", "b", "ç", "d", "e", "f", "g")


def manifest_of(image, labels=LABELS, precision="float"):
    model = ModelSpec("toy", 1.0, image.resolution, len(labels))
    return Manifest(1, "toy", "classification", labels, image, model, precision, "0", {}, {}, (), {}, "2026")


def delivered(graph, path, labels=LABELS, image=None, precision=None):
    from pocketvision.export.coreml import write

    spec = image or ImageSpec(graph.input.resolution, mean=graph.input.mean, std=graph.input.std)
    precision = precision or ("int8" if graph.quant else "float")
    assert write(graph, manifest_of(spec, labels, precision), path) == sum(
        file.stat().st_size for file in path.rglob("*") if file.is_file()
    )
    return open_model(path)


def finished(kind):
    """Return a net of one kernel whose outcome decides seven probabilities."""
    sketch = Sketch(17, seed=5)
    sketch.normalize((0.48, 0.45, 0.4), (0.23, 0.22, 0.25))
    kernels.KERNELS[kind](sketch, sketch.conv("image", 16, kernel=3, activation="none"))
    last = sketch._nodes[-1].name
    flat = last if len(sketch._shapes[last]) == 1 else sketch.flatten(last)
    return sketch.finish(flat if sketch._shapes[flat] == (7,) else sketch.linear(flat, 7))


def apart(found, expected):
    """Return how far the log odds differ, for answers that are not all but impossible."""
    seen = expected > 1e-4
    return np.abs(np.log(found[seen]) - np.log(expected[seen])).max()


@pytest.mark.parametrize("kind", kernels.KERNELS)
def test_every_kernel_means_in_the_package_what_it_means_in_the_graph(kind, tmp_path):
    graph, images = finished(kind), kernels.image_batch(17, 4)
    expected = run(graph, images)
    found = delivered(graph, tmp_path / "model.mlpackage").run(images)
    assert found.dtype == np.float32
    assert apart(found, expected) < 0.05
    assert np.ptp(np.log(expected), axis=0).max() > 0.2, "the images do not move the answer"


@pytest.mark.parametrize("kind", ["affine", "product", "hard squeeze and excite", "mixed join"])
def test_int8_weights_are_the_graphs_own(kind, tmp_path):
    images = kernels.image_batch(17, 4)
    graph = finished(kind)
    small = quantize(graph, calibrate(graph, images))
    runner = delivered(small, tmp_path / "model.mlpackage")
    assert apart(runner.run(images), run(with_real_weights(small), images)) < 0.05
    stored = [
        step.arguments["quantized_data"]
        for step in read_mil(tmp_path / "model.mlpackage").operations
        if "quantized_data" in step.arguments
    ]
    written = [node.weight for node in small.nodes if isinstance(node, Conv | Linear)]
    assert len(stored) == len(written)
    for levels in stored:
        assert levels.dtype == np.int8
        assert any(np.array_equal(levels, weight) for weight in written)


def test_published_weights_of_nine_bits_are_written_as_their_values(tmp_path):
    images = kernels.image_batch(17, 4)
    graph = finished("product")
    small = quantize(graph, calibrate(graph, images))
    wide = Graph(
        tuple(
            replace(
                node,
                weight=2 * node.weight.astype(np.int16),
                bias=2 * node.bias,
                weight_scale=node.weight_scale / 2,
            )
            if isinstance(node, Conv | Linear)
            else node
            for node in small.nodes
        ),
        small.quant,
    )
    runner = delivered(wide, tmp_path / "model.mlpackage")
    assert apart(runner.run(images), run(with_real_weights(small), images)) < 0.05


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_palettes_are_stored_as_tables_and_read_back(bits, tmp_path):
    sketch = Sketch(17, seed=5)
    maps = sketch.conv(sketch.conv("image", 16, kernel=3), 128, kernel=3)
    plain = sketch.finish(sketch.linear(sketch.mean(maps), 7))
    graph = palettized(plain, Palette(bits))
    images = kernels.image_batch(17, 4)
    runner = delivered(graph, tmp_path / "model.mlpackage", precision=f"palette{bits}")
    assert apart(runner.run(images), run(graph, images)) < 0.05
    tables = [
        step.arguments["lut"]
        for step in read_mil(tmp_path / "model.mlpackage").operations
        if step.kind == "constexpr_lut_to_dense"
    ]
    assert max(table.size for table in tables) == 2**bits
    assert read_mil(tmp_path / "model.mlpackage").version == 9  # iOS 18
    small, large = tmp_path / "model.mlpackage", tmp_path / "large.mlpackage"
    delivered(plain, large)
    assert size_bytes(large) - size_bytes(small) > 0.8 * 128 * 16 * 9 * (2 - bits / 8) - 3000
    assert "iOS 18 or macOS 15" in use_text([small.name], runner.manifest)


@pytest.mark.parametrize(("steps", "kind"), [((Magnitude(0.8),), "sparse"), ((Magnitude(0.5), Share(4)), "lut")])
def test_pruned_and_shared_weights_are_stored_as_such(steps, kind, tmp_path):
    sketch = Sketch(17, seed=5)
    maps = sketch.conv(sketch.conv("image", 16, kernel=3), 128, kernel=3)
    plain, images = sketch.finish(sketch.linear(sketch.mean(maps), 7)), kernels.image_batch(17, 4)
    graph = compress(plain, images, steps=steps).graph
    small, large = tmp_path / "model.mlpackage", tmp_path / "large.mlpackage"
    assert apart(delivered(graph, small).run(images), run(graph, images)) < 0.05
    delivered(plain, large)
    found = [step for step in read_mil(small).operations if step.kind == f"constexpr_{kind}_to_dense"]
    assert len(found) == 3
    assert read_mil(small).version == 7
    assert "iOS 16" in needs_of(small)
    assert size_bytes(small) < 0.5 * size_bytes(large)
    assert needs_of(tmp_path / "other.onnx") == ""


@pytest.mark.parametrize("family", sorted({family.names[0] for family in families().values()}))
def test_every_family(family, tmp_path, settled):
    torch.manual_seed(0)
    name = family
    known = family_of(name)
    size = known.resolution if known.resolution < 64 else max(known.smallest, 64)
    net = build(name, width=0.25, resolution=size, num_classes=7)
    image = ImageSpec(size, mean=(0.48, 0.45, 0.4), std=(0.23, 0.22, 0.25))
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), np.uint8)
    settled(net, to_input(images, image, torch.device("cpu")))
    graph = trace(net, image)
    logits = run(Graph(graph.nodes[:-1]), images)
    graph = shrunk(graph, float(logits.std()))
    found = delivered(graph, tmp_path / "model.mlpackage", image=image).run(images)
    # Random weights amplify rounding, by up to 0.66 here. Rounded alike, both differ by the order of sums alone, which
    # is the processor's: Inception v3 by 0.061 on an AMD one, all others by less.
    assert apart(found, rounded_to_half(graph, images)) < 0.08


def half(values):
    return np.asarray(values).astype(np.float16).astype(np.float32)


def rounded_to_half(graph, images):
    """Run a float graph with weights, biases and the outcome of every kernel in float16."""
    graph, values = without_affines(graph), {}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        match node:
            case Input():
                mean, deviation = (255 * np.array(part) for part in (node.mean, node.std))
                value = half(images.astype(np.float32) - half(mean)) * half(1 / deviation)
            case Conv() | Linear():
                value = kernel(graph, replace(node, weight=half(node.weight), bias=half(node.bias)), inputs)
            case Activate(activation="hardswish" | "hardsigmoid"):
                value = half(np.clip(inputs[0] * half(1 / 6) + np.float32(0.5), 0, 1))
                value = value * inputs[0] if node.activation == "hardswish" else value
            case _:
                value = kernel(graph, node, inputs)
        values[node.name] = half(value)
    return values[graph.output]


def shrunk(graph, spread):
    """Return the graph with logits divided by their spread, so that no answer is all but certain."""
    last = next(node for node in reversed(graph.nodes) if isinstance(node, Conv | Linear))
    weight, bias = (np.float32(1 / spread) * part for part in (last.weight, last.bias))
    return Graph(tuple(replace(node, weight=weight, bias=bias) if node is last else node for node in graph.nodes))


def test_the_evaluation_agrees_with_torch_on_a_net_that_coremltools_converts(tmp_path):
    """The evaluator is held against what coremltools itself makes of torch's kernels."""
    import coremltools as ct

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, (3, 1), groups=4),
        nn.LeakyReLU(0.2), nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        nn.Sigmoid(), nn.Flatten(), nn.Linear(8 * 3 * 5, 4), nn.Softmax(1),
    ).eval()  # fmt: skip
    program = torch.export.export(net, (torch.zeros(1, 3, 20, 20),)).run_decompositions({})
    model = ct.convert(
        program,
        inputs=[ct.ImageType(name="image", shape=(1, 3, 20, 20))],
        classifier_config=ct.ClassifierConfig(list("abcd")),
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    model.save(str(tmp_path / "other.mlpackage"))
    file = mil.read_mil(tmp_path / "other.mlpackage")
    image = np.random.default_rng(0).integers(0, 3, (20, 20, 3), np.uint8)
    with torch.no_grad():
        expected = net(torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32)))[0].numpy()
    np.testing.assert_allclose(mil.evaluate(file, image), expected, atol=1e-6)
    with pytest.raises(WeightsError, match="not written by pocketvision"):
        open_model(tmp_path / "other.mlpackage")


def test_the_package_names_its_input_labels_and_oldest_system(tmp_path):
    import coremltools as ct

    graph = finished("product")
    runner = delivered(graph, tmp_path / "model.mlpackage")
    spec = ct.utils.load_spec(str(tmp_path / "model.mlpackage"))
    image = spec.description.input[0]
    assert (image.name, image.type.imageType.width, image.type.imageType.height) == ("image", 17, 17)
    assert image.type.imageType.colorSpace == ct.proto.FeatureTypes_pb2.ImageFeatureType.RGB
    assert [output.name for output in spec.description.output] == ["classLabel", "classLabel_probs"]
    assert spec.description.predictedFeatureName == "classLabel"
    assert runner.labels == mil.classes(read_mil(tmp_path / "model.mlpackage")) == LABELS
    assert read_mil(tmp_path / "model.mlpackage").version == 6  # iOS 15
    images = kernels.image_batch(17, 2)
    small = quantize(graph, calibrate(graph, images))
    delivered(small, tmp_path / "model.mlpackage")
    assert read_mil(tmp_path / "model.mlpackage").version == 7  # iOS 16


def test_a_damaged_package_is_refused(tmp_path):
    path = tmp_path / "model.mlpackage"
    delivered(finished("product"), path)
    weights, model = next(path.rglob("weight.bin")), next(path.rglob("model.mlmodel"))
    whole = weights.read_bytes()
    for content in (whole[:200], b"", bytes(len(whole))):
        weights.write_bytes(content)
        with pytest.raises(WeightsError, match="not a Core ML program"):
            open_model(path)
    weights.write_bytes(whole)
    text = model.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        flipped = bytearray(text)
        flipped[rng.integers(len(text))] ^= 1 << int(rng.integers(8))
        model.write_bytes(flipped)
        with suppress(WeightsError):
            open_model(path).run(kernels.image_batch(17, 1))
    model.write_bytes(text[:100])
    with pytest.raises(WeightsError, match="not a Core ML program"):
        open_model(path)


def test_what_core_ml_lacks_is_named(tmp_path):
    sketch = Sketch(16, channels=1)
    with pytest.raises(GraphError, match="three channels"):
        delivered(sketch.finish(sketch.linear(sketch.mean("image"), 7)), tmp_path / "m.mlpackage", image=ImageSpec(16))
    assert list(tmp_path.iterdir()) == []


def test_without_coremltools_the_command_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "coremltools", None)
    monkeypatch.setitem(sys.modules, "coremltools.proto", None)
    with pytest.raises(MissingExtra, match=r"pip install 'pocketvision\[coreml\]'"):
        delivered(finished("product"), tmp_path / "model.mlpackage")


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_boxes_are_those_of_the_graph(precision, tmp_path):
    graph = boxes.detector() if precision == "float" else boxes.quantized(boxes.detector())
    words = manifest_of_file(boxes.MODEL, boxes.IMAGE, boxes.LABELS)
    words = replace(words, task="detection", precision=precision, thresholds=boxes.TASK.thresholds)
    exported = write_graph(graph, words, tmp_path / "model.mlpackage")
    assert exported.checked.endswith("the suppression behind it, Core ML's own, was not run")
    expected = run(with_real_weights(graph), boxes.images())
    assert (expected[..., 5] > 0.2).sum() > 30
    assert load("detect").gaps(open_model(tmp_path / "model.mlpackage").run(boxes.images()), expected).max() < 0.1


def test_a_detector_is_a_pipeline_that_vision_takes(tmp_path):
    import coremltools as ct

    words = manifest_of_file(boxes.MODEL, boxes.IMAGE, boxes.LABELS)
    path = tmp_path / "model.mlpackage"
    write_graph(boxes.detector(), replace(words, task="detection", thresholds=boxes.TASK.thresholds), path)
    spec = ct.utils.load_spec(str(path))
    assert [feature.name for feature in spec.description.input] == ["image", "iouThreshold", "confidenceThreshold"]
    assert spec.description.input[0].type.WhichOneof("Type") == "imageType"
    assert [feature.name for feature in spec.description.output] == ["confidence", "coordinates"]
    network, suppression = spec.pipeline.models
    rule = suppression.nonMaximumSuppression
    assert (rule.iouThreshold, rule.confidenceThreshold, rule.pickTop.perClass) == (0.5, 0.3, True)
    labels = tuple(rule.stringClassLabels.vector)
    assert labels == (*boxes.LABELS, *[""] * 77)
    given = {feature.name: tuple(feature.type.multiArrayType.shape) for feature in network.description.output}
    assert given == {rule.confidenceInputFeatureName: (68, 80), rule.coordinatesInputFeatureName: (68, 4)}


def test_only_the_best_class_of_an_anchor_goes_to_the_suppression(tmp_path):
    words = replace(manifest_of_file(boxes.MODEL, boxes.IMAGE, boxes.LABELS), task="detection")
    write_graph(boxes.detector(), words, tmp_path / "model.mlpackage")
    file = read_mil(tmp_path / "model.mlpackage")
    values = mil.evaluate_all(file, boxes.images()[0])
    every, best = (values[name] for name in (mil.SCORES, file.outputs[0]))
    assert best.shape == (68, 80)
    assert ((best > 0).sum(axis=1) == 1).all()
    np.testing.assert_array_equal(best.max(axis=1), every.max(axis=1))
    np.testing.assert_array_equal(best.argmax(axis=1), every.argmax(axis=1))
