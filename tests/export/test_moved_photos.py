"""A run whose images were moved, renamed or deleted is still exported: float without them, int8 with what is there."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.errors import UsageError
from pocketvision.progress import Silent
from pocketvision.runtime import open as open_model

TINY = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "epochs": 1, "device": "cpu", "weights": "none"}


class Heard(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("place") / "photos"
    rng = np.random.default_rng(0)
    for number in range(80):
        path = root / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, (32, 32, 3), np.uint8) + 127 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    pocketvision.train(root, **TINY, output=root.parent / "new", name="one")
    root.rename(root.parent / "new" / "photos")
    return root.parent / "new"


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """Return a folder with the run and its images, which are not where they were any more."""
    return Path(shutil.copytree(trained, tmp_path / "new"))


@pytest.mark.parametrize("precision", ["float", "float16"])
def test_float_needs_no_images(place: Path, precision: str) -> None:
    heard = Heard()
    written = pocketvision.export(place / "train/one", precision=precision, progress=heard)
    assert "the run's images are not in" in heard.text
    assert "no threshold can be chosen" in heard.text
    assert open_model(Path(written.file)).manifest.labels == ("cat", "dog")
    kept = pocketvision.export(place / "train/one", precision=precision, abstain="0.6", name="other")
    assert kept.manifest.abstain_below == 0.6


def test_what_needs_them_says_so_and_takes_their_new_place(place: Path) -> None:
    run = place / "train/one"
    for verb in (lambda: pocketvision.export(run, precision="int8"), lambda: pocketvision.compress(run)):
        with pytest.raises(UsageError, match="name the folder that they are in now behind the run"):
            verb()
    heard = Heard()
    written = pocketvision.export(run, place / "photos", precision="int8", progress=heard)
    assert "left out" not in heard.text
    assert written.precision == "int8"
    assert written.manifest.name == "photos"
    assert pocketvision.compress(run, place / "photos").stages[0].validation is not None


def test_other_images_are_refused(place: Path, tmp_path: Path) -> None:
    for index, path in enumerate(sorted((place / "photos").rglob("*.png"))):
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(path)
    for data in (place / "photos", tmp_path / "nothere"):
        with pytest.raises(UsageError, match="none of the images that"):
            pocketvision.export(place / "train/one", data)


def test_a_missing_and_a_changed_image_are_named_and_left_out_and_a_renamed_one_is_found(place: Path) -> None:
    cats = sorted((place / "photos/cat").iterdir())
    cats[0].unlink()
    cats[1].write_bytes(cats[2].read_bytes())
    cats[3].rename(place / "photos/dog/renamed.png")
    heard = Heard()
    pocketvision.export(place / "train/one", place / "photos", precision="int8", progress=heard)
    said = next(line for line in heard.lines if line.startswith("left out"))
    assert said.startswith("left out: 2 of the run's 80 images")
    assert all(f"cat/{path.name}" in said for path in cats[:2])
    assert cats[3].name not in said.split(": ")[-1].split(", ")
    assert "more" not in said


def test_where_all_validation_images_are_gone_the_rest_still_calibrates(place: Path) -> None:
    run = place / "train/one"
    for line in (run / "splits.csv").read_text().splitlines()[1:]:
        file, _, split, _ = line.split(",")
        if split == "val":
            (place / "photos" / file).unlink()
    written = pocketvision.export(run, place / "photos", precision="int8", abstain="0.7")
    assert written.manifest.abstain_below == 0.7
