"""Refusing from end to end: trained, exported with each setting, asked, and shown on the page."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pocketvision
from pocketvision.errors import UsageError, WeightsError
from pocketvision.files import read_json
from pocketvision.runtime import open as open_model
from pocketvision.values import Compression, Manifest, Proof

TINY = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "weights": "none", "epochs": 4, "device": "cpu"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return pocketvision.fit("digits", **TINY, output=tmp_path_factory.mktemp("runs"), name="tiny")


def test_fit_settles_a_threshold_and_measures_it(finished: Any) -> None:
    run = Path(finished.run)
    manifest = open_model(finished.artefact).manifest
    assert manifest == replace(read_json(Manifest, run / "export" / "manifest.json"), created="")
    assert manifest.abstain_below is not None
    assert 0 < manifest.abstain_below < 1
    assert manifest.refusal is not None
    assert manifest.refusal.right is not None
    assert manifest.refusal.right.value >= manifest.figures["validation"].value
    proof = read_json(Proof, run / "verify.json")
    assert proof.abstain_below == manifest.abstain_below
    assert not proof.failures
    assert proof.confidence is not None
    assert proof.confidence.count == proof.accuracy.count
    assert proof.refusal is not None
    kept = [answer for answer in proof.answers if answer.probability >= manifest.abstain_below]
    assert proof.refusal.coverage.value == len(kept) / len(proof.answers)


def test_the_record_tells_each_step_of_calibration(finished: Any) -> None:
    record = read_json(Compression, Path(finished.run) / "compress.json")
    plain = next(variant for variant in record.variants if variant.precision == "float")
    assert record.untempered is not None
    assert plain.confidence is not None
    assert plain.confidence.nll <= record.untempered.nll
    assert "not sure" in record.abstain


def test_the_page_shows_it(finished: Any) -> None:
    page = Path(finished.report).read_text(encoding="utf-8")
    assert 'id="confidence"' in page
    assert "How far to trust it" in page
    assert "Trained net, without its temperature" in page


def test_predict_refuses_what_is_below(finished: Any) -> None:
    root = json.loads((Path(finished.run) / "check.json").read_text())["root"]
    least = open_model(finished.artefact).manifest.abstain_below
    assert least is not None
    answers = pocketvision.predict(finished.artefact, Path(root, "8"))
    assert all(answer.sure == (answer.probability >= least) for answer in answers)


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_export_takes_what_is_asked(finished: Any, tmp_path: Path, precision: Any) -> None:
    words = {"precision": precision, "output": tmp_path}
    off = pocketvision.export(finished.run, **words, abstain="off", name="off")
    assert off.manifest.abstain_below is None
    assert off.manifest.refusal is None
    given = pocketvision.export(finished.run, **words, abstain="0.6", name="given")
    assert given.manifest.abstain_below == 0.6
    assert given.manifest.refusal is not None
    chosen = pocketvision.export(finished.run, **words, name="auto")
    if precision == finished.precision:
        delivered = open_model(finished.artefact).manifest
        assert chosen.manifest.abstain_below == pytest.approx(delivered.abstain_below, abs=0.02)


def test_wrong_wishes_leave_no_run(tmp_path: Path, finished: Any) -> None:
    with pytest.raises(UsageError, match="--abstain takes a number from 0 to 1, not 'maybe'"):
        pocketvision.fit("digits", **TINY, abstain="maybe", output=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match="from 0 to 1"):
        pocketvision.export(finished.run, abstain="1.5", output=tmp_path)


def test_a_tampered_file_is_not_opened(finished: Any, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(finished.artefact)
    entry = next(item for item in model.metadata_props if item.key == "pocketvision")
    entry.value = json.dumps({**json.loads(entry.value), "abstain_below": 7})
    del model.metadata_props[-1]  # the digest, which files from before lack
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(WeightsError, match="abstain_below is 7"):
        open_model(tmp_path / "model.onnx")
