"""Weights that `fit` chooses for a download: as strongly as costs no answer, or as a limit asks."""

from pathlib import Path

import pytest

import pocketvision
from pocketvision.runs import RunFolder

TINY = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "epochs": 3, "device": "cpu", "weights": "none"}


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
