"""`predict` with a detector: boxes in pixels of the upright image, on the terminal, as files, and drawn."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision import predict
from pocketvision.cli.app import run
from pocketvision.errors import RunExists, UsageError
from pocketvision.runtime.fake import FakeRunner
from pocketvision.values import AnchorMap, DetectorSpec, FoundBox, ImageSpec, Manifest, ModelSpec
from pocketvision.verify.found import as_coco, in_pixels

SIDE, LABELS = 64, ("star", "bright patch")
MODEL = ModelSpec("mobilenet_v1", 0.25, SIDE, 2, detector=DetectorSpec((AnchorMap(16, ((0.5, 0.5),)),)))
MANIFEST = Manifest(
    format_version=1,
    name="patches",
    task="detection",
    labels=LABELS,
    image=ImageSpec(SIDE),
    model=MODEL,
    precision="float",
    data_digest="",
    splits={},
    figures={},
    probes=(),
    versions={},
    created="",
    thresholds=(0.5, 0.5),
)
PATCH = (0.25, 0.125, 0.5, 0.75)
"""x1, y1, x2, y2 of the bright patch that images hold, in shares of the upright image."""


def bright(images: np.ndarray) -> np.ndarray:
    """Answer with the one box around what is bright, and with one below the threshold."""
    found = np.zeros((len(images), 100, 6), np.float32)
    for number, image in enumerate(images):
        rows, columns = np.nonzero(image.mean(axis=2) > 128)
        if rows.size:
            ends = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / SIDE
            found[number, 0] = [*ends, 1, 0.97]
            found[number, 1] = [0.1, 0.1, 0.2, 0.2, 0, 0.3]
    return found


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a path that opens as a file which finds bright patches."""
    monkeypatch.setattr("pocketvision.verbs.predict.open_model", lambda *_, **__: FakeRunner(MANIFEST, bright))
    return tmp_path / "model.onnx"


def patched(width: int, height: int, *, level: int = 255) -> np.ndarray:
    pixels = np.zeros((height, width), np.uint8)
    x1, y1, x2, y2 = PATCH
    pixels[round(y1 * height) : round(y2 * height), round(x1 * width) : round(x2 * width)] = level
    return pixels


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def turned(path: Path, image: Image.Image, orientation: int, stored: Image.Transpose) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(path, image.transpose(stored), exif=exif, quality=95)


def test_boxes_are_in_pixels_of_the_upright_image_whatever_it_is_stored_as(file: Path, tmp_path: Path) -> None:
    plain = Image.fromarray(patched(320, 240))
    wide = np.asarray(patched(320, 240)).astype(np.uint16) * 257
    images = {
        save(tmp_path / "grey.png", plain): (320, 240),
        save(tmp_path / "color.jpg", plain.convert("RGB"), quality=95): (320, 240),
        save(tmp_path / "deep.png", Image.fromarray(wide)): (320, 240),
        save(tmp_path / "palette.gif", plain.convert("P")): (320, 240),
        turned(tmp_path / "right.jpg", plain, 6, Image.Transpose.ROTATE_90): (320, 240),
        turned(tmp_path / "over.jpg", plain, 3, Image.Transpose.ROTATE_180): (320, 240),
        turned(tmp_path / "mirror.jpg", plain, 5, Image.Transpose.TRANSPOSE): (320, 240),
        save(tmp_path / "narrow.png", Image.fromarray(patched(48, 2400))): (48, 2400),
        save(tmp_path / "huge.png", Image.fromarray(patched(8000, 5000)), compress_level=1): (8000, 5000),
        save(tmp_path / "tiny.png", Image.fromarray(patched(16, 16))): (16, 16),
    }
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "over.jpg").convert("L")) > 128, patched(320, 240) > 128)
    for answer, (path, (width, height)) in zip(predict(file, list(images)), images.items(), strict=True):
        assert answer.boxes is not None, path
        (box,) = answer.boxes
        assert (box.label, box.index, round(box.score, 2)) == ("bright patch", 1, 0.97)
        wanted = np.array(PATCH) * [width, height, width, height]
        off = np.abs(np.array([box.x1, box.y1, box.x2, box.y2]) - wanted) / [width, height, width, height]
        assert off.max() <= 1.01 / SIDE, (path.name, box)


def test_boxes_end_where_the_image_ends() -> None:
    found = FoundBox("star", 0, 0.9, -0.1, 0.25, 1.2, 1.00001)
    (box,) = in_pixels([found], (400, 200), ImageSpec(SIDE))
    assert (box.x1, box.y1, box.x2, box.y2) == (0, 50, 400, 200)
    (box,) = in_pixels([replace(found, x1=0.0, x2=1.0)], (400, 200), ImageSpec(SIDE, "crop", 1.0))
    assert (box.x1, box.x2) == (100, 300), "the net saw the middle only"


def test_what_is_found_is_told_in_words_and_in_numbers(file: Path, tmp_path: Path, capsys: Any) -> None:
    save(tmp_path / "in/photo.png", Image.fromarray(patched(100, 50)))
    save(tmp_path / "in/zero.png", Image.new("L", (40, 40)))
    (tmp_path / "in/broken.jpg").write_bytes(b"no image")
    assert run(["predict", str(file), str(tmp_path / "in")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", "found"]
    assert lines[2].split(maxsplit=1)[1] == "1 bright patch (best 0.97)"
    assert lines[3].split(maxsplit=1)[1] == "(none)"
    assert run(["predict", str(file), str(tmp_path / "in/photo.png")]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"{tmp_path / 'in/photo.png'}  1 bright patch (best 0.97)"
    run(["predict", str(file), str(tmp_path / "in"), "--json"])
    broken, photo, zero = json.loads(capsys.readouterr().out)
    assert broken["error"]
    assert "boxes" not in broken
    assert zero["boxes"] == []
    assert photo["boxes"][0]["x1"] == pytest.approx(25, abs=2)
    assert photo["top"] == [["bright patch", pytest.approx(0.97)]]


def test_csv_has_a_line_for_each_box_and_coco_a_record(file: Path, tmp_path: Path, capsys: Any) -> None:
    for name in ("7.png", "0012.png"):
        save(tmp_path / "in" / name, Image.fromarray(patched(100, 50)))
    (tmp_path / "in/3.jpg").write_bytes(b"no image")
    run(["predict", str(file), str(tmp_path / "in"), "--format", "csv"])
    shown = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(shown.out)))
    assert [Path(row["file"]).name for row in rows] == ["7.png", "0012.png"]
    assert list(rows[0]) == ["file", "label", "score", "x1", "y1", "x2", "y2"]
    assert (rows[0]["label"], rows[0]["score"]) == ("bright patch", "0.97")
    assert "3.jpg: not an image" in shown.err
    run(["predict", str(file), str(tmp_path / "in"), "--format", "coco"])
    results = json.loads(capsys.readouterr().out)
    assert [row["image_id"] for row in results] == [7, 12]
    assert {row["category_id"] for row in results} == {2}
    x, y, width, height = results[0]["bbox"]
    assert [x, y, width, height] == pytest.approx([25, 6.25, 25, 31.25], abs=2)


def test_images_without_numbers_for_names_are_numbered_as_given(file: Path, tmp_path: Path) -> None:
    paths = [save(tmp_path / name, Image.fromarray(patched(100, 50))) for name in ("a.png", "5.png")]
    rows = json.loads(as_coco(predict(file, paths)))
    assert [(row["image_id"], Path(row["file_name"]).name) for row in rows] == [(1, "a.png"), (2, "5.png")]


def test_pictures_have_the_boxes_and_names_of_their_own(file: Path, tmp_path: Path) -> None:
    plain = Image.fromarray(patched(320, 240))
    first = save(tmp_path / "a/photo.png", plain)
    paths = [first, save(tmp_path / "b/Photo.jpg", plain), save(tmp_path / "c/zero.png", Image.new("L", (40, 40)))]
    (tmp_path / "broken.png").write_bytes(b"no image")
    drawn = tmp_path / "drawn"
    predict(file, [*paths, tmp_path / "broken.png"], draw=drawn)
    assert sorted(path.name for path in drawn.glob("*.jpg")) == ["Photo-2.jpg", "photo.jpg", "zero.jpg"]
    picture = np.asarray(Image.open(drawn / "photo.jpg").convert("RGB")).astype(int)
    assert picture.shape == (240, 320, 3)
    frame = picture[35:175, 80]
    assert np.ptp(frame, axis=1).min() > 60, "its left side is a colored line"
    assert np.ptp(picture[100, 120]) < 20, "and its inside is as it was"
    predict(file, paths, draw=drawn)
    assert first.read_bytes() != (drawn / "photo.jpg").read_bytes()


def test_nothing_of_the_users_is_drawn_over(file: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "in/photo.jpg", Image.fromarray(patched(320, 240)))
    before = path.read_bytes()
    with pytest.raises(RunExists, match="another folder with --draw"):
        predict(file, [path], draw=path.parent)
    assert path.read_bytes() == before


def test_what_needs_boxes_is_refused_for_other_files(toy: Any, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(UsageError, match="no detector"):
        predict(toy.file, [toy.data / "red/3.png"], draw=tmp_path / "drawn")
    assert not (tmp_path / "drawn").exists()
    assert run(["predict", str(toy.file), str(toy.data / "red/3.png"), "--format", "coco"]) == 2
    assert "finds no boxes" in capsys.readouterr().err
    assert run(["predict", str(toy.file), str(toy.data / "red/3.png"), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["label"] for row in rows] == ["red"]
