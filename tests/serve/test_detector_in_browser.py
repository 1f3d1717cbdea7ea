"""The page in a real browser finds what `predict` finds: in images and in the camera, from any score on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision import demo, predict
from pocketvision.errors import UsageError
from pocketvision.export.manifest import make_probes, manifest_of_file, thumbnails
from pocketvision.export.write import write_graph
from pocketvision.graph.graph import Graph
from pocketvision.serve.folder import RUNTIMES
from pocketvision.values import Score
from pocketvision.verify.predict import Prediction
from tests.export.detector import IMAGE, LABELS, MODEL, detector, images, quantized
from tests.serve.bright import SIDE, STEP, bright, words
from tests.serve.test_page_in_browser import PHONE, film, use

LEAST = 0.3


@pytest.fixture(scope="module")
def graph() -> Graph:
    return detector()


def deliver(path: Path, graph: Graph, **changes: Any) -> Path:
    """Write a detector's file, with probes of coarse noise and a figure."""
    plain = manifest_of_file(MODEL, IMAGE, LABELS)
    probes = make_probes(graph, IMAGE, thumbnails(images()[:2]))
    manifest = replace(
        plain,
        name="shapes",
        task="detection",
        precision="float" if graph.quant is None else "int8",
        thresholds=(LEAST,) * len(LABELS),
        figures={"test": Score(0.873, 0.81, 0.92, 24, metric="AP50")},
        probes=probes,
        **changes,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(graph, manifest, path)
    return path


def assert_same_boxes(shown: dict[str, Any], wanted: Prediction, size: tuple[int, int], *, off: float = 0.02) -> None:
    """Require the boxes of Python, in shares of the image, in whatever order nearly equal ones stand."""
    assert wanted.boxes is not None
    ours = [row for row in shown["boxes"] if row[1] > LEAST + 0.03]
    theirs = [box for box in wanted.boxes if box.score > LEAST + 0.03]
    assert ours, "there is something to compare"
    for label, score, *sides in ours:
        near = [
            max(abs(score - box.score), *np.abs(np.array(sides) - corners(box, size)))
            for box in wanted.boxes
            if box.label == label
        ]
        assert min(near, default=1.0) < off, (wanted.file, label, score, sides)
    assert abs(len(ours) - len(theirs)) <= 1
    assert abs(len(shown["boxes"]) - len(wanted.boxes)) <= 2


def corners(box: Any, size: tuple[int, int]) -> np.ndarray:
    return np.array([box.x1, box.y1, box.x2, box.y2]) / [*size, *size]


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", sorted(RUNTIMES))
def test_images_of_any_shape_have_the_boxes_of_python(suffix: str, graph: Graph, page: Path, tmp_path: Path) -> None:
    file = deliver(tmp_path / f"export/model{suffix}", graph)
    noise = [Image.fromarray(image) for image in images()[:3]]
    sideways = Image.Exif()
    sideways[0x0112] = 6
    sizes = {
        save(tmp_path / "plain.png", noise[0].resize((320, 240), 0)): (320, 240),
        save(tmp_path / "narrow.png", noise[1].resize((90, 700), 0)): (90, 700),
        save(tmp_path / "wide.png", noise[2].resize((1200, 150), 0)): (1200, 150),
        save(
            tmp_path / "turned.jpg",
            noise[0].resize((240, 320), 0).transpose(Image.Transpose.ROTATE_90),
            exif=sideways,
            quality=95,
        ): (240, 320),
    }
    expected = predict(file, list(sizes))
    seen = use(Path(demo(file, serve=False).folder), {"do": "choose", "images": [str(path) for path in sizes]})
    loaded, shown = seen.results
    assert loaded["lead"] == "Finds 3 kinds of things: ring, Würfel, star, red."
    assert loaded["check"].startswith("answers as it should")
    for answer, wanted, size in zip(shown, expected, sizes.values(), strict=True):
        assert_same_boxes(answer, wanted, size)
    assert seen.complaints == []


@pytest.mark.slow
def test_eight_bits_pass_their_own_check(graph: Graph, page: Path, tmp_path: Path) -> None:
    file = deliver(tmp_path / "model.tflite", quantized(graph))
    image = save(tmp_path / "plain.png", Image.fromarray(images()[0]))
    loaded, (shown,) = use(Path(demo(file, serve=False).folder), {"do": "choose", "images": [str(image)]}).results
    assert loaded["check"].startswith("answers as it should")
    assert_same_boxes(shown, predict(file, image)[0], (96, 96), off=0.05)


@pytest.mark.slow
def test_the_slider_begins_at_the_files_threshold_and_counts_anew(graph: Graph, page: Path, tmp_path: Path) -> None:
    file = deliver(tmp_path / "model.onnx", graph)
    image = save(tmp_path / "plain.png", Image.fromarray(images()[0]).resize((320, 240), 0))
    steps = [{"do": "choose", "images": [str(image)]}, *({"do": "threshold", "least": least} for least in (0.5, 0.05))]
    steps += [{"do": "threshold", "least": 0.99}, {"do": "state"}, {"do": "tree"}]
    seen = use(Path(demo(file, serve=False).folder), *steps, **PHONE)
    _, (first,), fewer, more, none, state, tree = seen.results
    assert float(first["least"]) == LEAST
    assert min(score for _, score, *_ in first["boxes"]) >= LEAST
    assert 0 < len(fewer["boxes"]) < len(first["boxes"]) < len(more["boxes"])
    assert fewer["boxes"] == [row for row in first["boxes"] if row[1] >= 0.5]
    assert none["label"] == none["spoken"] == "Nothing found"
    assert first["label"] == predict(file, image)[0].label
    assert not state["wide"]
    assert 'slider "Counts from a score of 0.99"' in tree
    assert "AP50 on test" in tree
    assert "Right on test" not in tree


@pytest.mark.slow
@pytest.mark.parametrize("plan", [PHONE, {}], ids=["phone", "desktop"])
def test_the_camera_shows_boxes_on_its_picture(plan: dict[str, Any], page: Path, tmp_path: Path) -> None:
    write_graph(bright(), words(), tmp_path / "model.onnx")
    scene = np.full((SIDE, SIDE, 3), 20, np.uint8)
    scene[:STEP, 2 * STEP :] = scene[2 * STEP :, STEP : 2 * STEP] = 240
    film(tmp_path / "film.mjpeg", save(tmp_path / "scene.png", Image.fromarray(scene)))
    folder = Path(demo(tmp_path / "model.onnx", serve=False).folder)
    seen = use(folder, {"do": "camera"}, {"do": "state"}, camera=str(tmp_path / "film.mjpeg"), **plan)
    held = seen.results[1]
    assert held["label"] == held["spoken"] == "2 lamp"
    found = sorted(sides for _, _, *sides in held["boxes"])
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3, 2 / 3, 1], [2 / 3, 0, 1, 1 / 3]], atol=0.01)
    assert "ms for the net" in held["took"]
    assert {"hold", "stop", "choose"} <= set(seen.results[2]["visible"])
    assert not seen.results[2]["wide"]


def test_a_file_that_gives_every_anchor_is_refused(graph: Graph, tmp_path: Path) -> None:
    file = deliver(tmp_path / "model.onnx", graph, ends="raw")
    with pytest.raises(UsageError, match="--ends boxes"):
        demo(file, serve=False)
