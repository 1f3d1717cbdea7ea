"""Weights that `fit` chooses for a download: as strongly as costs no answer, or as a limit asks."""

from pathlib import Path

import numpy as np
import pytest

import pocketvision
from pocketvision.fit.lighter import as_right
from pocketvision.runs import RunFolder

TINY = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "epochs": 3, "device": "cpu", "weights": "none"}


def test_one_standard_error_of_what_differs_is_chance() -> None:
    before = np.array([True] * 90 + [False] * 10)
    one, two, swapped = before.copy(), before.copy(), before.copy()
    one[0], two[:2], swapped[:3], swapped[-1] = False, False, False, True
    assert as_right(before, before)
    assert as_right(before, one)
    assert not as_right(before, two)
    assert as_right(before, swapped)


@pytest.mark.slow
def test_fit_keeps_a_download_that_rounding_alone_breaks(tmp_path: Path) -> None:
    asked = {**TINY, "output": tmp_path}
    summary = pocketvision.fit("digits", **asked, name="limited", max_download="60KB")
    (verdict,) = [verdict for verdict in summary.verdicts if verdict.limit == "max_download"]
    assert verdict.passed
    assert summary.precision == "int8"
    record = RunFolder(Path(summary.run)).compression.read()
    assert record.compressor == "deflate"
    (taken,) = [trial for trial in record.trials if trial.taken]
    assert taken.strength is not None
    assert taken.download_bytes < 0.7 * record.trials[0].download_bytes
    assert taken.accuracy == pytest.approx(record.variants[1].validation.value, abs=0.02)
    free = pocketvision.fit("digits", **asked, name="free")
    assert summary.test_accuracy > free.test_accuracy - 0.05
