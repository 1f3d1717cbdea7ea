"""The page and the card of a detector: figures, curves, the worst images, and no word that is wrong for boxes."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pocketvision import predict
from pocketvision.export.manifest import manifest_of_file
from pocketvision.export.write import write_graph
from pocketvision.files import read_json
from pocketvision.report.boxes import fates_of
from pocketvision.report.card import snippet
from pocketvision.report.run import read
from pocketvision.report.untested import untested
from pocketvision.values import Answer, Box, FoundBox, Proof
from pocketvision.verbs.report import report
from tests.export.detector import IMAGE, MODEL, TASK, detector, images
from tests.export.detector import LABELS as SHAPES
from tests.report.detector_run import LABELS, build_detector_run
from tests.report.test_report_page import Elements


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_detector_run(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def page(run: Path) -> Elements:
    return Elements(report(run).read_text(encoding="utf-8"))


def test_the_page_has_the_figures_of_the_proof(page: Elements, run: Path) -> None:
    proof, said = read_json(Proof, run / "verify.json"), page.words()
    sections = [one["id"] for one in page.of("section")]
    assert "boxes" in sections
    assert {"confusions", "attributes", "confidence"}.isdisjoint(sections)
    others = proof.accuracy.others
    for name in ("AP", "AP75", "AP small", "AP medium", "AP large"):
        assert f"{name} {100 * others[name]:.1f}%" in said
    assert f"AP50 of {100 * proof.accuracy.value:.1f}%" in said
    assert f"finds {100 * others['recall']:.1f}% of the true boxes" in said
    for part in proof.attributes[:3]:
        assert part.average_precision is not None
        assert f"{part.name} {100 * part.average_precision:.1f}%" in said
    assert "never seen – not tested" in said


def test_nothing_speaks_of_accuracy_where_ap50_is_meant(page: Elements, run: Path) -> None:
    said = re.sub(r"Suggested (top-1 )?accuracy|promise(s)?( the highest)? accuracy", "", page.words())
    left_over = [match[0] for match in re.finditer(r".{40}(?<![-_])\b[Aa]ccura(cy|te)\b.{20}", said)]
    known = ("little less accurate", "highest accuracy among the nets", "its accuracy is 0.4 points")
    assert [text for text in left_over if not any(part in text for part in known)] == []
    card = (run / "model_card.md").read_text(encoding="utf-8")
    assert "ccuracy" not in card.partition("```python")[0]
    assert "pipeline_tag: object-detection" in card
    assert "| AP50 | at least 10% |" in card
    assert "Every image shown" not in said + card


def test_curves_are_drawn_with_the_threshold_and_tell_scores(page: Elements) -> None:
    figure = next(
        json.loads(text) for text in page.scripts if text.startswith('{"data"') and "of what is found right" in text
    )
    lines = [trace for trace in figure["data"] if trace["mode"].startswith("lines")]
    rings = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert len(lines) == 3, "one class has no true box"
    assert len(rings) == 3
    for trace in lines:
        assert trace["x"] == sorted(trace["x"])
        assert all("from a score of" in text for text in trace["text"])
    assert "<b>" not in json.dumps([trace["text"] for trace in figure["data"]]), "a label is no markup"


def test_the_worst_images_show_what_was_missed_and_what_was_wrong(page: Elements, run: Path) -> None:
    fates = fates_of(read_json(Proof, run / "verify.json"))
    pictures = [one["alt"] for one in page.of("img") if "missed" in one.get("alt", "")]
    most = max(fate.missed for fate in fates)
    assert pictures[0].startswith(f"{most} missed, ")
    kinds = [one["class"] for one in page.of("rect")]
    assert {"right", "wrong", "missed", "found"} <= set(kinds)
    shown = [fate for fate in fates if any(alt.endswith(fate.answer.file) for alt in pictures)]
    assert kinds.count("missed") == sum(fate.missed for fate in shown)
    assert kinds.count("wrong") == sum(fate.wrong for fate in shown)


def test_what_became_of_boxes_is_counted_as_in_the_figures(run: Path) -> None:
    proof = read_json(Proof, run / "verify.json")
    fates = fates_of(proof)
    hits, wrong, missed = (
        sum(counts) for counts in zip(*((len(f.right), f.wrong, f.missed) for f in fates), strict=True)
    )
    others = proof.accuracy.others
    assert hits / (hits + wrong) == pytest.approx(others["precision"])
    assert hits / (hits + missed) == pytest.approx(others["recall"])


def test_difficult_boxes_are_neither_missed_nor_is_finding_them_wrong(run: Path) -> None:
    proof = read_json(Proof, run / "verify.json")
    true = (Box(0, 0.1, 0.1, 0.3, 0.3, difficult=True, area=9.0), Box(0, 0.6, 0.6, 0.9, 0.9, area=9.0))
    found = tuple(FoundBox(LABELS[0], 0, 0.9, corner, corner, corner + 0.2, corner + 0.2) for corner in (0.1, 0.4))
    answers = (Answer("a.png", "", "", 0.9, (), found, true), Answer("b.png", "", "", 1.0, ()))
    object.__setattr__(proof, "answers", answers)
    first, second = fates_of(proof)
    assert (first.missed, first.wrong, len(first.right)) == (1, 1, 0)
    assert (second.missed, second.wrong) == (0, 0)


def test_what_was_not_tested_names_classes_and_sizes(run: Path) -> None:
    gaps = {gap.title: gap.text for gap in untested(read(run))}
    assert "never seen: 0" in gaps["Classes with few true boxes"]
    assert "Rare attributes" not in gaps
    assert "Things of other sizes" not in gaps


def test_a_detector_without_fault_says_so(tmp_path: Path) -> None:
    page = Elements(report(build_detector_run(tmp_path, images=4, perfect=True)).read_text(encoding="utf-8"))
    assert "On every test image all was found, and nothing else." in page.words()
    assert [one["class"] for one in page.of("rect")] == []


def test_the_cards_program_names_the_things_and_where_they_are(tmp_path: Path) -> None:
    graph = detector()
    manifest = replace(manifest_of_file(MODEL, IMAGE, SHAPES), task="detection", thresholds=TASK.thresholds)
    write_graph(graph, manifest, tmp_path / "model.onnx")
    Image.fromarray(images()[0]).save(tmp_path / "image.jpg", quality=95)
    program = snippet(IMAGE, placed=True)
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    (answer,) = predict(tmp_path / "model.onnx", tmp_path / "image.jpg")
    assert answer.boxes
    assert [line.split(" 0.")[0] for line in told] == [box.label for box in answer.boxes]
    corners = [float(number) for number in told[0].split()[-4:]]
    side = manifest.image.resolution
    best = answer.boxes[0]
    wanted = [best.x1 / side, best.y1 / side, best.x2 / side, best.y2 / side]
    assert [min(max(corner, 0), 1) for corner in corners] == pytest.approx(wanted, abs=2e-3)
