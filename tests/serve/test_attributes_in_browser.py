"""The page in a real browser tells of each attribute what `predict` tells, on images and on the camera."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision import demo, predict
from pocketvision.export.manifest import make_probes, manifest_of_file, thumbnails
from pocketvision.export.write import write_graph
from pocketvision.graph.graph import GlobalAvgPool, Graph, Input, Linear, Sigmoid
from pocketvision.serve.folder import RUNTIMES
from pocketvision.values import ImageSpec, ModelSpec, Score
from tests.serve.test_page_in_browser import PHONE, film, use

LABELS, LEAST = ("red", "bright", "green and not blue"), (0.3, 0.8, 0.55)
IMAGE = ImageSpec(48)
COLORS = {
    "red": (230, 20, 20),
    "dark": (5, 5, 5),
    "white": (250, 250, 250),
    "grass": (20, 200, 10),
    "half": (150, 90, 80),
}


def shades() -> Graph:
    """Return a net that needs no training: each attribute follows from the mean color."""
    weight = np.array([[6, -3, -3], [2, 2, 2], [-2, 5, -4]], np.float32)
    return Graph(
        (
            Input("image", (), IMAGE.resolution, IMAGE.mean, IMAGE.std),
            GlobalAvgPool("color", ("image",)),
            Linear("classifier", ("color",), weight, np.array([-1, 0, -1], np.float32), "none", 12),
            Sigmoid("probabilities", ("classifier",)),
        )
    )


def deliver(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8)
    manifest = replace(
        manifest_of_file(ModelSpec("toy", 1.0, IMAGE.resolution, len(LABELS)), IMAGE, LABELS),
        name="shades",
        task="attributes",
        thresholds=LEAST,
        figures={"test": Score(0.91, 0.87, 0.95, 200, metric="mean average precision")},
        probes=make_probes(shades(), IMAGE, thumbnails(noise)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(shades(), manifest, path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{name}.png" for name in COLORS]
    for path, color in zip(paths, COLORS.values(), strict=True):
        Image.new("RGB", (120, 90), color).save(path)
    return [str(path) for path in paths]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", sorted(RUNTIMES))
def test_every_attribute_is_told_as_in_python(suffix: str, page: Path, images: list[str], tmp_path: Path) -> None:
    file = deliver(tmp_path / "export" / f"model{suffix}")
    expected = predict(file, images, top=len(LABELS))
    loaded, shown = use(Path(demo(file, serve=False).folder), {"do": "choose", "images": images}).results
    assert loaded["lead"] == "Tells of each image which attributes it has: red, bright, green and not blue."
    assert loaded["check"].startswith("answers as it should")
    for answer, wanted in zip(shown, expected, strict=True):
        assert answer["label"] == wanted.label.replace("(none)", "None of them")
        assert answer["spoken"] == answer["label"]
        assert [label for label, _ in answer["top"]] == list(LABELS)
        shares = dict(wanted.top)
        assert all(abs(share - shares[label]) < 0.01 for label, share in answer["top"])
    assert len({answer["label"] for answer in shown}) > 3


@pytest.mark.slow
def test_bars_are_marked_where_attributes_begin(page: Path, images: list[str], tmp_path: Path) -> None:
    file = deliver(tmp_path / "model.onnx")
    seen = use(
        Path(demo(file, serve=False).folder),
        *({"do": "choose", "images": images[:1]}, {"do": "state"}, {"do": "tree"}),
        **PHONE,
    )
    _, (answer,), state, tree = seen.results
    assert answer["sub"] == "1 of 3 attributes, each from its own probability on"
    assert "> 99% ≥ 30%" in tree
    assert "< 80%" in tree
    assert "from a probability of: red 30%, bright 80%, green and not blue 55%" in tree
    assert "mean average precision on test" in tree
    assert not state["wide"]
    assert seen.complaints == []


@pytest.mark.slow
def test_the_camera_tells_attributes(page: Path, images: list[str], tmp_path: Path) -> None:
    folder = Path(demo(deliver(tmp_path / "model.tflite"), serve=False).folder)
    film(tmp_path / "film.mjpeg", Path(images[2]))
    plan: dict[str, Any] = {"camera": str(tmp_path / "film.mjpeg"), **PHONE}
    held = use(folder, {"do": "camera"}, **plan).results[1]
    assert held["label"] == held["spoken"] == "bright"
    assert len(held["top"]) == len(LABELS)
