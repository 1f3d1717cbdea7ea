"""LiteRT files in MediaPipe's tasks, which apps use: they find the labels, and give our probabilities and boxes."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pocketvision.compress.half import halved
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.export import litert
from pocketvision.export.manifest import manifest_of_file
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime import open as open_model
from pocketvision.values import ImageSpec, ModelSpec
from tests.export import detector as boxes
from tests.export.detector import IMAGE, MODEL, TASK, detector, images, quantized

pytestmark = pytest.mark.extra("mediapipe")

SIZE, LABELS = 32, ("aal", "bär", "café", "dachs, der", "eule")
MEANS = [((0.5,) * 3, (0.5,) * 3), ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))]
OPENS = """
import json, sys, types
for name in ("cv2", "matplotlib", "matplotlib.pyplot"):  # of its drawing helpers, which nothing here uses
    sys.modules[name] = types.ModuleType(name)
sys.modules["matplotlib"].pyplot = sys.modules["matplotlib.pyplot"]
import numpy, mediapipe
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision
"""
CLASSIFIES = (
    OPENS
    + """
options = vision.ImageClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=sys.argv[1]))
with vision.ImageClassifier.create_from_options(options) as classifier:
    told = []
    for image in numpy.load(sys.argv[2]):
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=numpy.ascontiguousarray(image))
        found = classifier.classify(image).classifications[0].categories
        told.append({entry.category_name: entry.score for entry in found})
print(json.dumps(told))
"""
)
DETECTS = (
    OPENS
    + """
base = tasks.BaseOptions(model_asset_path=sys.argv[1])
with vision.ObjectDetector.create_from_options(vision.ObjectDetectorOptions(base_options=base)) as detector:
    told = []
    for image in numpy.load(sys.argv[2]):
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=numpy.ascontiguousarray(image))
        told.append([])
        for found in detector.detect(image).detections:
            box = found.bounding_box
            for entry in found.categories:
                corners = [box.origin_y, box.origin_x, box.origin_y + box.height, box.origin_x + box.width]
                told[-1].append([entry.category_name, entry.score, *corners])
print(json.dumps(told))
"""
)


def image_batch():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (12, 4, 4, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)


def written(folder, precision, io, normalization=MEANS[0]):
    sketch = Sketch(SIZE, seed=2)
    sketch.normalize(*normalization)
    maps = sketch.conv(sketch.conv("image", 16, kernel=3, stride=2), 16, kernel=3, groups=16)
    graph = sketch.finish(sketch.linear(sketch.mean(maps), len(LABELS)))
    if precision != "float":
        graph = halved(graph) if precision == "float16" else quantize(graph, calibrate(graph, image_batch()))
    spec, image = ModelSpec("mobilenet_v1", 0.25, SIZE, len(LABELS)), ImageSpec(SIZE, "squash", 1.0)
    words = replace(manifest_of_file(spec, image, LABELS), name="animals", precision=precision, io=io)
    litert.write(graph, words, folder / "model.tflite")
    return folder / "model.tflite"


def classified(path, images=None, script=CLASSIFIES):
    np.save(path.with_name("images.npy"), image_batch() if images is None else images)
    order = [sys.executable, "-c", script, str(path), str(path.with_name("images.npy"))]
    return subprocess.run(order, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("normalization", MEANS)
@pytest.mark.parametrize(
    ("precision", "io"), [("float", "mixed"), ("float16", "mixed"), ("int8", "mixed"), ("int8", "uint8")]
)
def test_labels_and_scores_are_those_of_the_file(precision, io, normalization, tmp_path):
    path = written(tmp_path, precision, io, normalization)
    done = classified(path)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    expected = open_model(path).run(image_batch())
    assert expected.std(axis=0).max() > 0.002
    scores = np.array([[entry[label] for label in LABELS] for entry in told])
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_int8_images_are_refused_by_mediapipe_itself(tmp_path):
    """Which is why `uint8` is the one to choose for it; when this fails, the documentation can say better."""
    done = classified(written(tmp_path, "int8", "int8"))
    assert done.returncode != 0
    assert "INT8" in done.stderr


@pytest.mark.parametrize("ends", ["boxes", "raw"])
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_boxes_are_those_of_the_file(precision, ends, tmp_path):
    plain = detector()
    graph = plain if precision == "float" else quantized(plain)
    words = replace(manifest_of_file(MODEL, IMAGE, boxes.LABELS), name="shapes", task="detection", precision=precision)
    path = tmp_path / "model.tflite"
    litert.write(graph, replace(words, ends=ends, thresholds=TASK.thresholds), path)
    done = classified(path, images(), DETECTS)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    inside = 0
    for found, rows in zip(told, open_model(path).run(images()), strict=True):
        kept = rows[rows[:, 5] > 0]
        assert len(found) == len(kept) or ends == "raw"
        # It suppresses by itself what is raw, from an overlap of 0.3 on and over all classes; the best one stays.
        # Corners are whole numbers, cut off; boxes beyond the image are moved into it.
        for box in kept if ends == "boxes" else kept[:1]:
            like = [entry for entry in found if entry[0] == boxes.LABELS[int(box[4])] and abs(entry[1] - box[5]) < 1e-5]
            corners = box[:4] * boxes.SIDE
            if corners.min() >= 0 and corners.max() <= boxes.SIDE:
                inside += 1
                assert min(np.abs(np.array(entry[2:]) - corners).max() for entry in like) < 2
            assert like
    assert inside >= (60 if ends == "boxes" else 1)
