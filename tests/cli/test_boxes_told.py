"""What `verify` and `fit` say of a detector on the terminal: AP50 by its name, and no refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from pocketvision.cli.fit import show as show_fit
from pocketvision.cli.terminal import metric_words
from pocketvision.cli.verify import show as show_proof
from pocketvision.files import read_json
from pocketvision.values import Proof, Summary, to_json
from tests.report.detector_run import build_detector_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_detector_run(tmp_path_factory.mktemp("told"))


def test_verify_tells_precision_and_recall_at_the_threshold(run: Path, capsys: Any) -> None:
    proof = read_json(Proof, run / "verify.json")
    show_proof(proof)
    shown = capsys.readouterr().out
    others = proof.accuracy.others
    assert f"  AP50       {proof.accuracy.value:.1%} (95% interval" in shown
    assert f"AP75 {others['AP75']:.1%}, AP small" in shown
    assert f"recall {others['recall']:.1%}" in shown
    assert "from a score of 0.4 on" in shown
    assert "of all counts by class as the trained net, largest score gap" in shown
    assert "accuracy" not in shown.replace("min_accuracy", "")
    assert "refus" not in shown


def test_fit_names_the_metric_and_keeps_accuracy_for_others(run: Path, capsys: Any) -> None:
    summary = read_json(Summary, run / "summary.json")
    assert "metric" not in to_json(summary), "what classifiers are told is as it was"
    show_fit(summary)
    assert "\n  accuracy  " in capsys.readouterr().out
    text = json.loads((run / "summary.json").read_text(encoding="utf-8")) | {"metric": "AP50"}
    (run / "summary.json").write_text(json.dumps(text), encoding="utf-8")
    show_fit(read_json(Summary, run / "summary.json"))
    assert "\n  AP50      " in capsys.readouterr().out


def test_a_long_name_stands_with_its_figure() -> None:
    assert metric_words("AP50") == ("AP50", "")
    assert metric_words("mean average precision") == ("accuracy", "mean average precision ")
