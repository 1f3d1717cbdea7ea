"""Weights that `fit` chooses for a download: as strongly as costs no answer, or as a limit asks."""

from pathlib import Path

import numpy as np
import pytest

import pocketvision
from pocketvision.errors import UsageError
from pocketvision.runs import RunFolder
from pocketvision.runtime import download_bytes
from pocketvision.runtime import open as open_model

TINY = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "epochs": 3, "device": "cpu", "weights": "none"}


def test_what_has_no_delivered_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--delivered: .* is no run of `fit`"):
        pocketvision.export(tmp_path, delivered=True)


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
    written = pocketvision.export(summary.run, delivered=True, format="litert")
    assert written.precision == "int8"
    delivered, other = (open_model(path) for path in (summary.artefact, written.file))
    assert other.manifest.abstain_below == delivered.manifest.abstain_below
    assert [probe.png_base64 for probe in other.manifest.probes] == [
        probe.png_base64 for probe in delivered.manifest.probes
    ]
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    assert np.abs(delivered.run(images) - other.run(images)).max() < 0.1
    assert download_bytes(Path(written.file)) < 1.05 * download_bytes(Path(summary.artefact))
    for wrong in ({"precision": "float"}, {"labels": "labels.txt"}):
        with pytest.raises(UsageError, match="--delivered: the file is in int8"):
            pocketvision.export(summary.run, delivered=True, **wrong)
    free = pocketvision.fit("digits", **asked, name="free")
    assert summary.test_accuracy > free.test_accuracy - 0.05
