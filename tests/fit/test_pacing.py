"""What the stages after training are given: nothing is kept without a limit, and the proof gets what is left."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.clock import Clock
from pocketvision.fit import pacing
from pocketvision.fit.pacing import REPORT_S, delivery_s, proof_s, reading_s, spread
from pocketvision.progress import Silent
from pocketvision.train.inputs import load_data
from pocketvision.values import ImageSpec


class Fixed(Clock):
    """A clock that stands still, on a machine that is so many times slower than its processor."""

    def __init__(self, limit_s: float, spent_s: float = 0.0, slow: float = 1.0) -> None:
        super().__init__(limit_s)
        self.at, self.slow = spent_s, slow

    def spent(self) -> float:
        return self.at

    def slowness(self) -> float:
        return self.slow


def image_batch(folder: Path) -> Path:
    dice = np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(dice.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / name / f"{number}.png")
    return folder


def test_time_for_delivery_grows_with_the_test_images_and_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    loaded = load_data(image_batch(tmp_path / "data"), run, val=0.2, test=0.25, seed=1, progress=Silent())
    monkeypatch.setattr(pacing, "reading_s", lambda *_: 0.1)
    tested = len(loaded.dataset.of("test"))
    assert tested > 5
    assert delivery_s(loaded, ImageSpec(32), Fixed(float("inf"))) == 0
    idle, busy = (delivery_s(loaded, ImageSpec(32), Fixed(1000, slow=slow)) for slow in (1.0, 3.0))
    assert idle == pytest.approx(pacing.DELIVERY_S + (2 + pacing.RESIZING) * 0.1 * tested)
    assert busy == pytest.approx(idle + 2 * pacing.DELIVERY_S)
    short = delivery_s(loaded, ImageSpec(32), Fixed(10))
    assert short == pytest.approx(pacing.DELIVERY_S + 0.2 * tested + 1.0)
    assert len(spread(loaded.dataset.of("test"))) <= 12


def test_the_proof_gets_what_is_left() -> None:
    assert proof_s(Fixed(float("inf"))) is None
    assert proof_s(Fixed(60, 40, 2.0)) == pytest.approx(20 - 2 * REPORT_S)
    assert proof_s(Fixed(60, 90)) == 1.0


def test_a_image_that_cannot_be_read_takes_no_stage_down(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert reading_s([tmp_path / "broken.png"], ImageSpec(32)) > 0
    assert reading_s([], ImageSpec(32)) == 0
