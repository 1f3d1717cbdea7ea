"""The section on bytes sent: what was tried, as a chart and in words, and runs that chose no weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pocketvision.files import read_json, write_json
from pocketvision.report import plots
from pocketvision.report.download import download_section, drawn_of
from pocketvision.report.run import read
from pocketvision.values import Compression, Trial
from pocketvision.verbs.report import report

TRIALS = (
    Trial(None, 800_000, 0.95, False),
    Trial(0.5, 500_000, 0.952, False),
    Trial(2.0, 300_000, 0.948, True),
    Trial(4.0, 260_000, 0.91, False),
    Trial(32.0, 100_000, 0.2, False),
)


@pytest.fixture(autouse=True)
def short_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "bundle", lambda: "/* plots */")


@pytest.fixture
def record(fake_run: Callable[..., Path]) -> Compression:
    return replace(read_json(Compression, fake_run() / "compress.json"), trials=TRIALS, compressor="brotli")


def rounded(record: Compression) -> Compression:
    trials = tuple(replace(one, taken=one.strength is None) for one in record.trials)
    return replace(record, trials=trials)


def test_the_chart_holds_the_trials(record: Compression) -> None:
    section = download_section(record, 400_000, "accuracy")
    assert section is not None
    figure = json.loads(section.chart.figure)
    curve, ring = figure["data"]
    assert curve["x"] == [800_000, 500_000, 300_000, 260_000]
    assert curve["y"] == [0.95, 0.952, 0.948, 0.91]
    assert curve["text"] == ["plain int8", "strength 0.5", "strength 2", "strength 4"]
    assert curve["marker"]["symbol"] == ["square", "circle", "circle", "circle"]
    assert (ring["x"], ring["y"]) == ([300_000], [0.948])
    assert all("bytes" in trace["hovertemplate"] for trace in (curve, ring))
    (line,) = figure["layout"]["shapes"]
    assert line["x0"] == line["x1"] == 400_000
    assert figure["layout"]["xaxis"]["title"]["text"] == "Bytes of the file under brotli (log scale)"
    unlimited = download_section(record, None, "accuracy")
    assert unlimited is not None
    assert "shapes" not in json.loads(unlimited.chart.figure)["layout"]


def test_the_words(record: Compression) -> None:
    section = download_section(record, None, "accuracy")
    assert section is not None
    assert section.text == (
        "The int8 weights were chosen at strength 2: 800,000 bytes become 300,000 bytes under brotli, 38% of the file "
        "in plain int8. Of the validation answers 94.8% are right, and were 95.0% before. The next smaller one that "
        "was tried takes 260,000 bytes and has 91.0%."
    )
    assert "Not drawn: 1\N{NO-BREAK SPACE}choice that lost more than 20% of the answers." in section.note
    kept = download_section(rounded(record), None, "accuracy")
    assert kept is not None
    assert kept.text.startswith("Weights are as rounded, 800,000 bytes under brotli")
    plain = download_section(replace(record, taken="float"), None, "accuracy")
    assert plain is not None
    assert plain.text.endswith("The file that was delivered is in float, though.")


def test_what_was_taken_is_drawn_whatever_it_lost() -> None:
    forced = tuple(replace(one, taken=one.strength == 32) for one in TRIALS)
    assert len(drawn_of(TRIALS)) == 4
    assert drawn_of(forced) == forced


def test_the_page_shows_it_where_weights_were_chosen(fake_run: Callable[..., Path], record: Compression) -> None:
    run = fake_run()
    report(run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'data-chart="download"' not in page
    assert read(run).compression.trials == ()
    write_json(run / "compress.json", record)
    report(run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'data-chart="download"' in page
    assert "All 5 choices" in page
    assert "100,000\N{NO-BREAK SPACE}bytes" in page, "the table has what the chart leaves out"
