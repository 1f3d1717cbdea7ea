"""Every place and form of an orientation: what Python does with it, and the page's own cases."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.images.decode import read
from pocketvision.images.upright import UPRIGHT
from tests.images.orientations import HEIGHT, JPEG, ROWS, WIDTH, Case, cases

CASES = list(cases())
PAGES_CASES = Path(__file__).parents[2] / "web" / "test" / "orientation-cases.json"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_image_is_turned_by_the_orientation_that_counts(case: Case) -> None:
    lossless = np.frombuffer(b"".join(ROWS), np.uint8).reshape(HEIGHT, WIDTH, 3)
    stored = read(JPEG).pixels if case.content.startswith(b"\xff\xd8") else lossless
    turn = UPRIGHT.get(str(case.orientation))
    expected = stored if turn is None else np.asarray(Image.fromarray(stored).transpose(turn))
    assert np.array_equal(read(case.content).pixels, expected)


def test_the_page_is_held_to_the_same_cases(golden: Callable[[Path, str], None]) -> None:
    if not PAGES_CASES.parent.is_dir():
        pytest.skip("the page's sources are not here; they are in a checkout only")
    assert len({case.name for case in CASES}) == len(CASES) > 70
    lines = [json.dumps(case._asdict() | {"content": base64.b64encode(case.content).decode()}) for case in CASES]
    golden(PAGES_CASES, "[\n" + ",\n".join(lines) + "\n]\n")
