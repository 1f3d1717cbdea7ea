"""The page prepares images as Python does: the cases that its own tests are held to, written from our `prepare`."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pocketvision.images.prepare import center_box, prepare
from pocketvision.values import ImageSpec

CASES = Path(__file__).parents[2] / "web" / "test" / "prepare-cases.json"
SIZES = ((64, 64), (100, 75), (75, 100), (33, 47), (500, 375), (257, 256), (640, 12), (9, 300), (1, 1), (31, 1000))
SPECS = (
    ImageSpec(32),
    ImageSpec(64, "crop", 0.875),
    ImageSpec(50, "squash", 0.9),
    ImageSpec(33, "crop", 1.0),
)


def draw(width: int, height: int) -> np.ndarray:
    """Draw RGB [height, width, 3] by the formula that web/test/resize.test.ts has too."""
    y, x, channel = np.ogrid[:height, :width, :3]
    return ((x * x * 7 + y * 31 + x * y * 13 + channel * 101) % 256).astype(np.uint8)


def case(width: int, height: int, spec: ImageSpec) -> dict[str, object]:
    rule = {name: asdict(spec)[name] for name in ("resolution", "crop_mode", "crop_pct")}
    digest = hashlib.sha256(prepare(draw(width, height), spec).tobytes()).hexdigest()
    box = center_box(width, height, spec)
    return {"width": width, "height": height, "spec": rule, "box": box, "sha256": digest}


def test_the_pages_cases_are_what_python_does(golden) -> None:
    if not CASES.parent.is_dir():
        pytest.skip("the page's sources are not here; they are in a checkout only")
    lines = [json.dumps(case(*size, spec)) for size in SIZES for spec in SPECS]
    golden(CASES, "[\n" + ",\n".join(lines) + "\n]\n")
