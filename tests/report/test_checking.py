"""The verb `check`: its page shows the images in question, its table is what `fit` can read, originals stay."""

import csv
import hashlib
import importlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.app import run
from pocketvision.data.check import load_dataset
from pocketvision.errors import DataError, UsageError
from pocketvision.files import read_json
from pocketvision.progress import Silent
from pocketvision.report.gallery import render
from pocketvision.values import Health
from pocketvision.verbs.check import check


def scene(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    generator = np.random.default_rng(seed)
    coarse, fine = (
        Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize(size) for side in (4, 9)
    )
    return Image.blend(coarse, fine, 0.4)


def jpeg(image: Image.Image, quality: int = 85, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Two classes and a half, with one of each thing that can be wrong."""
    root = tmp_path / "pets & co"
    for number, (label, count) in enumerate({"cat": 12, "dog": 12, "Dog ": 4, "rare": 2}.items()):
        for seed in range(count):
            put(root / label / f"{seed}.jpg", jpeg(scene(100 * number + seed)))
    put(root / "cat/copy.jpg", jpeg(scene(1)))
    put(root / "cat/small.jpg", jpeg(scene(2, (96, 80)).resize((48, 40)), 60))
    put(root / "Dog /same as a dog.jpg", jpeg(scene(100)))
    put(root / "dog/is 3 a cat.jpg", jpeg(scene(3)))
    put(root / "dog/is 4 a cat.jpg", jpeg(scene(4), 50))
    put(root / "cat/cut.jpg", jpeg(scene(50))[:900])
    put(root / "cat/empty.jpg", b"")
    put(root / "cat/<b>.txt", b"a note")
    turned = Image.Exif()
    turned[0x0112] = 6
    put(root / "cat/turned.jpg", jpeg(scene(51), exif=turned))
    put(root / "cat/grey.jpg", jpeg(scene(52).convert("L")))
    put(root / "cat/print.jpg", jpeg(scene(53).convert("CMYK")))
    put(root / "cat/кошка.jpg", jpeg(scene(54)))
    put(root / "cat/wide.jpg", jpeg(scene(55, (200, 40))))
    put(root / "cat/tiny.jpg", jpeg(scene(56, (20, 18))))
    put(root / "cat/black.jpg", jpeg(Image.new("RGB", (90, 90))))
    for name, mode in (("list.png", "P"), ("clear.png", "RGBA")):
        scene(57 + len(mode)).convert(mode).save(root / "cat" / name)
    clear = Image.open(root / "cat/clear.png")
    clear.putalpha(100)
    clear.save(root / "cat/clear.png")
    Image.fromarray(np.arange(6400, dtype=np.uint16).reshape(80, 80) * 10).save(root / "cat/deep.png")
    return root


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_what_is_told(messy):
    health = check(messy)
    kinds = {problem.file: problem.kind for problem in health.problems}
    assert kinds == {
        "cat/copy.jpg": "duplicate",
        "cat/small.jpg": "near duplicate",
        "Dog /same as a dog.jpg": "conflict",
        "dog/0.jpg": "conflict",
        "cat/3.jpg": "conflict",
        "dog/is 3 a cat.jpg": "conflict",
        "cat/4.jpg": "near conflict",
        "dog/is 4 a cat.jpg": "near conflict",
        "cat/cut.jpg": "unreadable",
        "cat/empty.jpg": "empty file",
        "cat/<b>.txt": "not an image",
    }
    statistics = {statistic.kind: set(statistic.files) for statistic in health.statistics}
    assert statistics == {
        "tiny": {"cat/tiny.jpg"},
        "far from square": {"cat/wide.jpg"},
        "one tone": {"cat/black.jpg"},
        "grey": {"cat/grey.jpg", "cat/black.jpg", "cat/deep.png"},
        "turned": {"cat/turned.jpg"},
        "transparent": {"cat/clear.png"},
        "palette": {"cat/list.png"},
        "CMYK": {"cat/print.jpg"},
        "16 bits": {"cat/deep.png"},
    }
    assert health.faults[0].startswith("a class needs 3 different usable images at least: 'rare' has 2, add 1")
    assert any(warning.endswith("'Dog ' is now 'Dog'.") for warning in health.warnings)
    assert any(warning.startswith("'dog', 'Dog' differ only by capitals, spaces") for warning in health.warnings)
    assert health.images == sum(sum(row.values()) for row in health.counts.values())


def test_a_huge_image_is_told_of(messy, monkeypatch):
    monkeypatch.setattr("pocketvision.data.statistics.HUGE_PIXELS", 7_900)
    (huge,) = [statistic for statistic in check(messy).statistics if statistic.kind == "huge"]
    assert huge.files[:2] == ("cat/black.jpg", "cat/wide.jpg")


def test_the_fix_is_read_back_and_the_originals_stay(messy, tmp_path):
    before = digests(messy)
    news = []

    class Loud:
        def say(self, text):
            news.append(text)

        bar = staticmethod(Silent().bar)

    check(messy, fix=tmp_path / "clean.csv", progress=Loud())
    assert digests(messy) == before
    assert "clean.reasons.csv beside it" in news[-1]
    dataset, health, _ = load_dataset(tmp_path / "clean.csv")
    assert health.problems == ()
    assert health.labels == ("cat", "dog")
    rows = table(tmp_path / "clean.csv")
    assert {row["filename"]: row["split"] for row in rows} == {e.file: e.split for e in dataset.examples}
    assert {row["label"] for row in rows if row["filename"].startswith("pets & co/Dog /")} == {"dog"}
    reasons = {row["filename"].removeprefix("pets & co/"): row for row in table(tmp_path / "clean.reasons.csv")}
    left_out = {file: row["reason"] for file, row in reasons.items() if row["action"] == "left out"}
    assert set(left_out) == {
        *("cat/copy.jpg", "cat/small.jpg", "dog/0.jpg", "cat/3.jpg", "dog/is 3 a cat.jpg", "cat/4.jpg"),
        *("dog/is 4 a cat.jpg", "cat/cut.jpg", "cat/empty.jpg", "cat/<b>.txt", "rare/0.jpg", "rare/1.jpg"),
    }
    assert left_out["cat/small.jpg"] == "nearly the same image as cat/2.jpg"
    assert left_out["rare/0.jpg"] == "its class has only 2 usable images; it needs 3"
    assert {file for file, row in reasons.items() if row["action"] == "relabeled"} <= {
        file for file in before if file.startswith("Dog /")
    }
    assert {row["filename"].removeprefix("pets & co/") for row in rows} | set(left_out) == set(before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("elsewhere/clean.csv", "relative to its folder and must not lead out of it. Put it into"),
        ("clean.txt", "name the file 'clean.csv', not 'clean.txt'"),
        ("old.csv", "exists already"),
    ],
)
def test_a_fix_that_cannot_be_written_is_told_before_the_work(messy, tmp_path, monkeypatch, name, message):
    monkeypatch.setattr(importlib.import_module("pocketvision.verbs.check"), "examine", None)
    put(tmp_path / "old.csv", b"mine")
    with pytest.raises(UsageError, match=re.escape(message)):
        check(messy, fix=tmp_path / name)
    assert (tmp_path / "old.csv").read_bytes() == b"mine"


def test_a_fix_keeps_to_the_list_of_classes(messy):
    put(messy / "labels.txt", b"cat\ndog\nDog\nrare\n")
    (messy / "Dog ").rename(messy / "Dog")
    with pytest.raises(UsageError, match=r"labels\.txt' lists other classes than the cleaned table"):
        check(messy, fix=messy / "clean.csv")
    check(messy, fix=messy.parent / "clean.csv")
    assert load_dataset(messy.parent / "clean.csv")[1].labels == ("cat", "dog")


def test_nothing_left_to_learn_from(tmp_path):
    for label in ("a", "b"):
        for seed in range(3):
            put(tmp_path / label / f"{seed}.jpg", jpeg(scene(seed)))
    with pytest.raises(DataError, match="a class needs 3 different usable"):
        check(tmp_path, fix=tmp_path / "clean.csv")
    assert not (tmp_path / "clean.csv").exists()


def test_the_gallery(messy, tmp_path):
    health = check(messy, output=tmp_path / "out")
    page = (tmp_path / "out/check.html").read_text(encoding="utf-8")
    assert read_json(Health, tmp_path / "out/check.json") == health
    assert "cat/&lt;b&gt;.txt" in page
    assert "<b>.txt" not in page
    assert "pets &amp; co" in page
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "<script" not in page
    for title in (
        "One image, two labels",
        "Nearly one image",
        "Near duplicates",
        "Exact copies",
        "Far from",
    ):
        assert title in page
    assert page.count("data:image/webp") >= 15
    assert "'rare' has 2, add 1" in page.replace("&#39;", "'")


def test_a_gallery_of_nothing_wrong_and_of_lost_images(messy, tmp_path):
    for seed in range(6):
        put(tmp_path / "fine" / "ab"[seed % 2] / f"{seed}.jpg", jpeg(scene(seed)))
    assert "Nothing wrong" in render(check(tmp_path / "fine"))
    health = check(messy)
    for path in messy.rglob("*.*"):
        path.unlink()
    assert "no image" in render(health)


def test_the_command_tells_and_ends_with_an_error_where_no_net_can_be_trained(messy, capsys):
    assert run(["check", str(messy)]) == 1
    told = capsys.readouterr()
    assert "near duplicate: 1, 0 left out" in told.out
    assert re.search(r"far from square +1 +one side is more", told.out)
    assert "--fix FILE.csv" in told.out
    assert "'rare' has 2, add 1" in told.err
    assert run(["check", str(messy), "--json"]) == 1
    assert capsys.readouterr().out.startswith("{")
    assert run(["check", str(messy), "--fix", str(messy.parent / "sub" / "x.csv")]) == 2


def test_boxes_and_attributes_have_a_gallery_but_no_fix(tmp_path):
    lines = ["filename,smile,hat"]
    for seed in range(6):
        put(tmp_path / f"{seed}.jpg", jpeg(scene(seed)))
        lines.append(f"{seed}.jpg,{seed % 2},1")
    put(tmp_path / "again.jpg", jpeg(scene(0), 40))
    (tmp_path / "list.csv").write_text("\n".join([*lines, "again.jpg,1,1"]))
    health = check(tmp_path / "list.csv", output=tmp_path / "out")
    assert {problem.kind for problem in health.problems} == {"near conflict"}
    assert "Images that have each attribute" in (tmp_path / "out/check.html").read_text()
    with pytest.raises(UsageError, match=r"one class for each image, but .* has attributes"):
        check(tmp_path / "list.csv", fix=tmp_path / "clean.csv")
