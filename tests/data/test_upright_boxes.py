"""Boxes of images that are stored turned lie where the thing is seen, whichever way they were annotated."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pocketvision.data.check import load_dataset
from pocketvision.data.layout import Found
from pocketvision.data.splits import read_dataset, write_splits
from pocketvision.data.upright_boxes import place
from pocketvision.images.decode import decode, read
from pocketvision.values import Box

STORED = (50, 40)
PATCH = (10, 4, 20, 12)
"""Where the white patch is in the stored image."""


def turned(orientation: int, kind: str = "PNG", seed: int = 0) -> bytes:
    """Return an image of noise with a white patch, to be turned by its orientation."""
    pixels = np.random.default_rng(seed).integers(0, 100, (STORED[1], STORED[0], 3), dtype=np.uint8)
    x1, y1, x2, y2 = PATCH
    pixels[y1:y2, x1:x2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, exif=exif)
    return stream.getvalue()


def patch(pixels: np.ndarray) -> tuple[float, ...]:
    """Return where an upright image is white, in shares."""
    rows, columns = np.nonzero((pixels > 200).all(axis=2))
    height, width = pixels.shape[:2]
    corners = columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height
    return tuple(map(float, corners))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(orientation: int, kind: str) -> None:
    content = turned(orientation, kind)
    image = read(content)
    assert image.orientation == orientation
    seen = patch(decode(content))
    stored = place(Found("1", "", None, boxes=(Box(0, *PATCH),), size=STORED), image.size, orientation)
    assert (stored.boxes[0].x1, stored.boxes[0].y1, stored.boxes[0].x2, stored.boxes[0].y2) == pytest.approx(seen)
    assert stored.boxes[0].area == 80
    assert (stored.frame, stored.problems) == ("stored", ())
    assert stored.certain == (orientation > 4), "only a side on the other side tells"
    width, height = image.size
    corners = np.array(seen) * [width, height, width, height]
    upright = place(Found("1", "", None, boxes=(Box(0, *corners),), size=image.size), image.size, orientation)
    if orientation in (1, 5, 6, 7, 8):
        assert upright.boxes == stored.boxes
    custom = Found("1", "", None, boxes=(Box(0, *corners),), frame="upright")
    assert place(custom, image.size, orientation).boxes == stored.boxes
    shares = Found("1", "", None, boxes=(Box(0, *seen),), frame="upright", shares=True)
    assert place(shares, image.size, orientation).boxes == stored.boxes


def test_sizes_that_do_not_tell() -> None:
    square = Found("1", "", None, boxes=(Box(0, 0, 0, 10, 20),), size=(100, 100))
    found = place(square, (50, 50), 6)
    assert (found.frame, found.certain) == ("stored", False)
    assert found.boxes[0] == Box(0, 0.8, 0, 1, 0.1, area=50)
    half = Found("1", "", None, boxes=(Box(0, 0, 0, 10, 20),), size=(25, 20))
    assert place(half, (40, 50), 6).certain, "half the size of the stored image"
    assert place(half, (40, 50), 6).boxes[0] == Box(0, 0, 0, 1, 0.4, area=800)


def test_a_size_that_is_not_the_images() -> None:
    half = place(Found("1", "", None, boxes=(Box(0, 5, 4, 10, 8, area=15),), size=(25, 20)), (50, 40), 1)
    assert half.boxes[0] == Box(0, 0.2, 0.2, 0.4, 0.4, area=60)
    assert [problem.detail for problem in half.problems] == [
        "described as 25 x 20 pixels, but has 50 x 40; boxes are scaled to it"
    ]
    other = place(Found("1", "", None, boxes=(Box(0, 5, 4, 70, 8),), size=(80, 40)), (50, 40), 1)
    assert other.boxes[0] == Box(0, 0.1, 0.1, 1, 0.2, area=180)
    assert [problem.detail for problem in other.problems] == [
        "described as 80 x 40 pixels, but has 50 x 40; boxes are taken as pixels of the image as it is",
        "box 1 (5, 4, 70, 8) sticks out of the image and is clipped",
    ]


def test_boxes_have_one_order_and_as_many_digits_as_are_kept() -> None:
    boxes = (Box(1, 10, 20, 20, 30), Box(0, 1 / 3, 5, 7, 9, difficult=True))
    found = place(Found("1", "", None, boxes=boxes), (30, 30), 1).boxes
    assert [box.label for box in found] == [0, 1]
    assert found[0].x1 == 0.011111
    assert place(Found("1", "", None, boxes=boxes[::-1]), (30, 30), 1).boxes == found


def voc(root: Path, sizes: dict[str, tuple[int, int] | None]) -> Path:
    for name in ("JPEGImages", "Annotations"):
        (root / name).mkdir(parents=True, exist_ok=True)
    x1, y1, x2, y2 = PATCH
    for number, (name, size) in enumerate(sizes.items()):
        (root / f"JPEGImages/{name}.png").write_bytes(turned(6, seed=number))
        given = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
        corners = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        thing = f"<object><name>cat</name><bndbox>{corners}</bndbox></object>"
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{given}{thing}</annotation>")
    return root


def test_the_whole_way_and_what_is_said(tmp_path: Path) -> None:
    root = voc(tmp_path, {"a": (50, 40), "b": None, "c": (50, 40), "d": (40, 50)})
    dataset, health, _ = load_dataset(root)
    for example in dataset.examples:
        box = example.target[0]
        seen = patch(decode(dataset.path(example)))
        if example.file != "JPEGImages/d.png":
            assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(seen)
        else:
            assert (box.x1, box.y1) == pytest.approx((10 / 40, 4 / 50))
    assert (
        "4\N{NO-BREAK SPACE}images with boxes are stored turned; the boxes were read of 1 as the files hold them (by "
        "custom, their sizes do not tell), of 2 as the files hold them (their sizes tell), of 1 as they are seen "
        "(their sizes tell), and are put upright with them."
    ) in health.warnings


def test_boxes_come_back_from_splits_csv(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    images, annotations = [], []
    for number in range(9):
        (root / f"{number}.png").write_bytes(turned(1, seed=number))
        images.append({"id": number, "file_name": f"{number}.png", "width": 50, "height": 40})
        box = {"image_id": number, "category_id": number % 2, "bbox": [number, 1, 7.7, 3.3], "area": 20.25}
        annotations += [box | {"iscrowd": 1}, box | {"bbox": [9, 9, 9, 9]}] if number < 8 else []
    categories = [{"id": 0, "name": 'a "cat", or two'}, {"id": 1, "name": "Käfer"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "instances_all.json").write_text(json.dumps(content))
    dataset, _, _ = load_dataset(root)
    write_splits(tmp_path / "splits.csv", dataset)
    again = read_dataset(root, dataset.labels, tmp_path / "splits.csv")
    assert again == dataset
    assert {len(example.target) for example in again.examples} == {0, 2}
    assert dataset.examples[0].target[0] == Box(0, 0, 0.025, 0.154, 0.1075, crowd=True, area=20.25)


def test_orientations_are_those_of_pillow() -> None:
    for orientation in range(1, 9):
        image = Image.open(io.BytesIO(turned(orientation)))
        assert patch(np.asarray(ImageOps.exif_transpose(image))) == patch(decode(turned(orientation)))
