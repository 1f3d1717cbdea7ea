"""The section on confidence: calibration rows, charts, sentences, and runs from before there was a threshold."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pocketvision.files import read_json, write_json
from pocketvision.metrics.accuracy import wilson
from pocketvision.report import plots
from pocketvision.report.card import card
from pocketvision.report.confidence import confidence_section, refusal_words
from pocketvision.report.run import read
from pocketvision.report.untested import untested
from pocketvision.values import Compression, Confidence, Proof, Refusal
from pocketvision.verbs.report import report

FOUND = Confidence(120, 0.021, 0.0, 0.034, 0.018, 0.0411, 0.1234, 0.0042)


@pytest.fixture(autouse=True)
def short_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "bundle", lambda: "/* plots */")


def change(run: Path, name: str, kind: type, **fields: object) -> None:
    write_json(run / name, replace(read_json(kind, run / name), **fields))


def settled(run: Path) -> None:
    """Let int8 have a temperature of its own."""
    record = read_json(Compression, run / "compress.json")
    plain, small = record.variants
    variants = (
        replace(plain, confidence=FOUND),
        replace(small, confidence=FOUND, temperature=1.12, as_rounded=replace(FOUND, ece=0.06)),
    )
    told = "answers below 62.0% count as not sure: the error is to be at most 1.0%"
    change(
        run, "compress.json", Compression, variants=variants, temperature=0.63, untempered=FOUND, abstain=told
    )  # fmt: skip


def test_every_step_of_calibration_has_its_row(fake_run: Callable[..., Path]) -> None:
    run = fake_run()
    settled(run)
    shown = confidence_section(read(run))
    assert shown is not None
    assert [(row.who, row.images) for row in shown.rows] == [
        ("Trained net, without its temperature", "validation"),
        ("Trained net, temperature 0.63", "validation"),
        ("Rounded to int8", "validation"),
        ("int8 with its own temperature, 1.12 more", "validation"),
        ("Delivered file, int8", "test"),
    ]
    assert [row.found.ece for row in shown.rows] == [0.021, 0.021, 0.06, 0.021, 0.031]
    page = report(run).read_text(encoding="utf-8")
    assert 'id="confidence"' in page
    assert "int8 with its own temperature, 1.12 more" in page
    assert "the error is to be at most 1.0%" in page


def test_the_charts_hold_the_figures(fake_run: Callable[..., Path]) -> None:
    run = read(fake_run())
    shown = confidence_section(run)
    assert shown is not None
    line, dots = json.loads(shown.reliability.figure)["data"]
    assert line["x"] == line["y"]
    assert len(dots["x"]) == 15
    curve, ring = json.loads(shown.risk.figure)["data"]
    assert curve["x"][-1] == 1.0
    assert curve["y"][-1] == pytest.approx(1 - run.proof.accuracy.value)
    assert run.proof.refusal is not None
    assert ring["x"] == [run.proof.refusal.coverage.value]


def test_many_answers_make_no_longer_a_curve(fake_run: Callable[..., Path]) -> None:
    shown = confidence_section(read(fake_run(per_class=120)))
    assert shown is not None
    assert len(json.loads(shown.risk.figure)["data"][0]["x"]) == 300


def test_an_older_run_shows_what_its_answers_tell(fake_run: Callable[..., Path]) -> None:
    run = fake_run()
    change(run, "verify.json", Proof, confidence=None, abstain_below=None, refusal=None)
    shown = confidence_section(read(run))
    assert shown is not None
    assert shown.rows == ()
    assert shown.calibration == ""
    page = report(run).read_text(encoding="utf-8")
    assert "It never refuses" in page
    assert "Calibration error on the test images" not in card(read(run))
    assert any("name one of them all the same" in gap.text for gap in untested(read(run)))


def test_without_answers_there_is_no_section(fake_run: Callable[..., Path]) -> None:
    run = fake_run()
    change(run, "verify.json", Proof, answers=())
    assert confidence_section(read(run)) is None
    page = report(run).read_text(encoding="utf-8")
    assert 'id="confidence"' not in page
    assert 'href="#confidence"' not in page


def test_the_sentences(fake_run: Callable[..., Path]) -> None:
    proof = read(fake_run()).proof
    assert refusal_words(proof).startswith("Below 62.0% it answers “not sure”. It then answers ")
    everything = replace(proof, refusal=Refusal(wilson(0, 10), None))
    assert refusal_words(everything).endswith("answers 0.0% of the test images.")


def test_the_card_and_the_gaps_speak_of_refusing(fake_run: Callable[..., Path]) -> None:
    run = read(fake_run())
    assert "Calibration error on the test images: 3.1%" in card(run)
    assert any("says “not sure” where its probability is below 62.0%" in gap.text for gap in untested(run))
