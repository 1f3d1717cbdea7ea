"""What `check` says of the sizes of things before anything is trained."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.check import show
from pocketvision.data.box_sizes import reach_of, reach_warnings
from pocketvision.values import Box, BoxReach, Dataset, Example, Health, from_json, to_json
from pocketvision.verbs.check import check


def dataset(height: float, width: float, *, count: int = 60) -> Dataset:
    """Return boxes of one size and a few large ones, all over the image."""
    rng = np.random.default_rng(0)
    examples = []
    for number in range(count):
        y, x = rng.random(2) * (1 - np.array([height, width]))
        small = Box(0, x, y, x + width, y + height, area=1.0)
        large = Box(1, 0.1, 0.2, 0.8, 0.9, area=1.0)
        hard = Box(2, 0.1, 0.2, 0.8, 0.9, difficult=True, area=1.0)
        split = "train" if number % 3 else "test"
        examples.append(Example(f"{number}.png", (small, large, hard), split, f"{number}"))
    return Dataset("r", ("nut", "plate", "ghost"), tuple(examples), kind="boxes")


def test_sizes_and_shares_of_each_class() -> None:
    nut, plate, ghost = reach_of(dataset(0.07, 0.05))
    assert (nut.name, nut.boxes, nut.median_width, nut.median_height) == ("nut", 60, 16.0, 22.4)
    assert nut.paper is not None
    assert nut.fitted is not None
    assert nut.paper < 0.3
    assert nut.fitted > 0.95
    assert (plate.paper, plate.fitted, plate.median_width) == (1, 1, 224)
    assert ghost == BoxReach("ghost", 0, 0.0, 0.0, None, None)


def test_what_to_do_is_said() -> None:
    def said(height: float, width: float) -> str:
        data = dataset(height, width)
        return " ".join(reach_warnings(data, reach_of(data)))

    assert said(0.3, 0.3) == ""
    assert "those fitted to your boxes, which are used here, reach" in said(0.07, 0.05)
    assert "'plate'" not in said(0.07, 0.05)
    assert "take a resolution of 512, where they reach" in said(0.035, 0.035)
    assert "narrower or lower than 8 pixels" not in said(0.035, 0.035)
    tiny = said(0.01, 0.02)
    assert "cut the images into tiles, because even at 640 pixels they are too few" in tiny
    assert "'nut' are narrower or lower than 8 pixels at 320: cut the images into tiles" in tiny


def test_check_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = "filename,class,xmin,ymin,xmax,ymax\n"
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
        table += f"{number}.png,nut,{number},{number},{number + 5},{number + 7}\n"
    (tmp_path / "boxes.csv").write_text(table)
    health = check(tmp_path, output=tmp_path / "out")
    page = (tmp_path / "out/check.html").read_text(encoding="utf-8")
    assert "<td>6</td><td>25 × 35</td><td>100%</td><td>100%</td>" in page
    show(health, {"output": None})
    printed = capsys.readouterr().out
    assert "class of boxes  boxes  median at 320  SSD's anchors reach  fitted ones" in printed
    assert "nut                 6        25 x 35" in printed
    assert from_json(Health, json.loads(json.dumps(to_json(health)))) == health
    assert [(one.name, one.boxes, one.median_height) for one in health.reach] == [("nut", 6, 35.0)]
    assert health.reach[0].fitted == 1
