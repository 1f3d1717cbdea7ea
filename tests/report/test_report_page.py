"""The page: what it shows, that it fetches nothing, and that nothing in a run can break out of it."""

import base64
import dataclasses
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pocketvision.errors import DataError, UsageError
from pocketvision.files import read_json, write_json
from pocketvision.report import plots
from pocketvision.report.plots import bundle
from pocketvision.report.run import contents
from pocketvision.report.thumbnails import thumbnail
from pocketvision.runs import RunFolder
from pocketvision.values import Budget, Choice, Cost, PredictedLatency, Proof
from pocketvision.verbs.report import report

SECTIONS = [
    "result", "asked", "choice", "training", "compression", "proof", "resizers", "confidence", "confusions",
    "untested", "repeat",
]  # fmt: skip
EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a' onload='alert(1)", "{{ 7*7 }}", "b|`c`")


class Elements(HTMLParser):
    """Collects elements with their attributes, the text outside scripts, and the scripts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.scripts, self.styles, self.inside = [], [], [], [], ""
        self.open, self.crossed = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.inside = ""
        if self.open.pop() != tag:
            self.crossed.append((tag, self.getpos()))

    def handle_data(self, data):
        {"script": self.scripts, "style": self.styles}.get(self.inside, self.text).append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self):
        return " ".join(" ".join(self.text).split())


def page_of(run):
    return Elements(report(run).read_text(encoding="utf-8"))


def change(run, name, kind, **fields):
    write_json(run / name, dataclasses.replace(read_json(kind, run / name), **fields))


@pytest.fixture(autouse=True)
def short_bundle(monkeypatch):
    """Keep the 5 MB of the plot library out of the pages, save where a test undoes this."""
    monkeypatch.setattr(plots, "bundle", lambda: "/* plots */")


VARIANTS = {
    "ten classes": {},
    "a failed budget": {"max_size": 500_000},
    "no budget": {"budget": False},
    "one epoch": {"epochs": 1},
    "no epoch": {"epochs": 0},
    "two classes": {"labels": ("cat", "dog"), "per_class": 5},
    "150 classes": {"labels": [f"class {number}" for number in range(150)], "per_class": 6},
    "nothing wrong": {"wrong": 0.0},
    "all wrong": {"wrong": 1.0},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_section_stands_in_every_kind_of_run(fake_run, options):
    page = page_of(fake_run(**options))
    assert [attributes["id"] for attributes in page.of("section")] == SECTIONS
    assert (page.open, page.crossed) == ([], [])
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [attributes["href"] for attributes in page.of("a") if attributes["href"] != "#result"]
    assert [anchor[1:] for anchor in anchors] == SECTIONS[1:]
    assert "nan" not in page.words().lower().split()
    assert "None" not in page.words().split()


def test_other_ways_to_resize_stand_beside_ours(fake_run):
    run = fake_run()
    words = page_of(run).words()
    assert "OpenCV, INTER_LINEAR (its default)" in words
    assert "95.0%" in words
    proof = read_json(Proof, run / "verify.json")
    write_json(run / "verify.json", dataclasses.replace(proof, resized=()))
    page = page_of(run)
    assert "resizers" not in [section["id"] for section in page.of("section")]
    assert "An app that resizes otherwise" in page.words()


def test_the_page_fetches_nothing(fake_run):
    page = page_of(fake_run())
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "poster", "action", "data", "background"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert tag_names(page).isdisjoint({"link", "iframe", "object", "embed", "base", "form"})
    css = " ".join(page.styles) + " ".join(attributes.get("style") or "" for _, attributes in page.elements)
    assert not re.search(r"url\(|@import|https?:", css)


def tag_names(page):
    return {tag for tag, _ in page.elements}


def test_the_policy_allows_the_two_scripts_by_their_hash_and_no_address(fake_run, monkeypatch):
    monkeypatch.undo()
    page = page_of(fake_run())
    policy = next(a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    kinds = [attributes.get("type") for attributes in page.of("script")]
    running = [text for text, kind in zip(page.scripts, kinds, strict=True) if kind != "application/json"]
    assert [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running] == allowed
    assert running[0] == bundle()


def test_the_plot_library_is_inlined_once(fake_run, monkeypatch):
    monkeypatch.undo()
    text = report(fake_run()).read_text(encoding="utf-8")
    assert text.count(bundle()) == 1
    assert len(text) < len(bundle()) + 500_000


def test_hostile_labels_and_files_stay_text(fake_run):
    run = fake_run(labels=EVIL, wrong=0.3)
    choice = read_json(Choice, run / "choice.json")
    evil = [dataclasses.replace(c, reason=EVIL[0] + c.reason) for c in choice.candidates]
    write_json(run / "choice.json", dataclasses.replace(choice, candidates=tuple(evil), notes=EVIL))
    (run / "args.yaml").write_text(json.dumps({"command": EVIL[0], "data": EVIL[1]}), encoding="utf-8")
    page = page_of(run)
    assert len(page.of("script")) == 7  # five charts, plotly, the page's own
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert {attributes["src"][:10] for attributes in page.of("img")} == {"data:image"}
    assert not any("<" in script for script in page.scripts if script.startswith("{"))
    for label in EVIL:
        assert label in page.words()
    prose, fence, _ = (run / "model_card.md").read_text(encoding="utf-8").partition("```")
    assert fence
    assert "<script" not in prose


def test_verdicts_are_shown_with_what_was_allowed_and_measured(fake_run):
    words = page_of(fake_run(max_size=500_000)).words().replace("\N{NO-BREAK SPACE}", " ")
    assert "The budget is broken." in words
    assert words.count("✕ FAIL") == 1
    assert words.count("✓ PASS") == 3
    assert "File size ✕ FAIL 912 KB allowed: at most 500 KB 912,448 bytes" in words


def test_a_limit_that_could_not_be_judged_says_so(fake_run):
    run = fake_run()
    proof = read_json(Proof, run / "verify.json")
    verdict = dataclasses.replace(proof.verdicts[2], measured=-1.0, passed=False)
    write_json(run / "verify.json", dataclasses.replace(proof, verdicts=(verdict,)))
    assert "Multiply-adds ✕ FAIL not measured allowed" in page_of(run).words()


def test_a_limit_for_another_device_is_judged_by_prediction_and_says_so(fake_run):
    run = fake_run()
    device = PredictedLatency("Pixel <7>", "LiteRT", 1, 8.7, 8.1, 9.4)
    proof, choice = read_json(Proof, run / "verify.json"), read_json(Choice, run / "choice.json")
    verdict = dataclasses.replace(proof.verdicts[1], allowed=10.0, measured=8.7, predicted=device)
    write_json(run / "verify.json", dataclasses.replace(proof, verdicts=(verdict,)))
    budget = Budget({"max_latency": 10.0}, "pixel7.json")
    taken = dataclasses.replace(choice.taken, latency=None, predicted=device)
    write_json(run / "choice.json", Choice(budget, taken, (taken,)))
    words = page_of(run).words().replace("\N{NO-BREAK SPACE}", " ")
    told = "predicted for Pixel <7>, 8.10 ms to 9.40 ms"
    assert f"Latency on Pixel <7> ✓ PASS 8.70 ms allowed: at most 10 ms {told}" in words
    assert "Every limit was checked on the delivered file, its time on the device by prediction." in words
    assert "latency at most 10 ms by pixel7.json" in words
    assert "No other device was timed, the time on Pixel <7> is a prediction" in words
    assert "Latency 6.21 ms p90 6.98 ms" in words, "what this machine measured stays"
    prose = (run / "model_card.md").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    row = next(line for line in prose.splitlines() if line.startswith("| Latency on"))
    assert "8.70 ms (predicted for Pixel" in row
    assert row.endswith("| PASS |")
    assert "<7>" not in row


def test_the_delivered_files_own_counts_come_first(fake_run):
    run = fake_run(budget=False)
    write_json(run / "export" / "cost.json", Cost(1_234_567, 7_654_321, 1, 2_222_222))
    words = page_of(run).words().replace("\N{NO-BREAK SPACE}", " ")
    assert "Multiply-adds 7.65 M 7,654,321" in words
    assert "Peak memory 2.22 MB" in words


def test_a_failed_verification_leads_the_page(fake_run):
    run = fake_run()
    change(run, "verify.json", Proof, failures=("the labels differ from those trained",), agreement=None)
    words = page_of(run).words()
    assert words.index("Verification failed.") < words.index("What was asked")
    assert "the labels differ from those trained" in words
    assert "Nothing failed" not in words
    assert "Verification failed" in (run / "model_card.md").read_text(encoding="utf-8")


def test_a_file_changed_after_its_proof_is_told(fake_run):
    run = fake_run()
    (run / "export" / "model.onnx").write_bytes(b"another")
    words = page_of(run).words()
    assert "The file changed after it was verified" in words
    assert hashlib.sha256(b"another").hexdigest() in words


def test_mistakes_are_shown_as_images_or_a_grey_tile(fake_run):
    page = page_of(fake_run())
    images = [attributes["src"] for attributes in page.of("img")]
    grey = [attributes for attributes in page.of("div") if attributes.get("class") == "grey"]
    assert (len(images), len(grey)) == (11, 1)
    for source in images:
        with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as image:
            assert image.format == "WEBP"
            assert max(image.size) == 176


def test_an_unreadable_image_and_one_outside_the_data_set_are_left_grey(fake_run):
    run = fake_run()
    data = run.parents[2] / "fruit"
    (data / "cherry" / "0005.png").write_bytes(b"not an image")
    Image.new("RGB", (50, 50)).save(data.parent / "private.png")
    proof = read_json(Proof, run / "verify.json")
    outside = [dataclasses.replace(a, file="../private.png", probability=1.0) for a in proof.answers[:1]]
    answers = (dataclasses.replace(outside[0], predicted="fig"), *proof.answers[1:])
    write_json(run / "verify.json", dataclasses.replace(proof, answers=answers))
    page = page_of(run)
    assert "../private.png" in page.words()
    grey = [attributes for attributes in page.of("div") if attributes.get("class") == "grey"]
    assert len(grey) == 3


def test_many_classes_are_cut_to_the_worst_and_folded(fake_run):
    page = page_of(fake_run(labels=[f"class {number}" for number in range(150)], per_class=6))
    assert "the 20 most confused of 150 classes" in page.words()
    assert "All 150 classes" in page.words()
    assert len([a for a in page.of("td") if (a.get("class") or "").split(" ")[0] in ("right", "wrong", "rest")]) == 420


@pytest.mark.parametrize("name", sorted(set(contents(RunFolder(Path()))) - {"args.yaml"}))
def test_a_missing_file_is_named_with_the_way_to_get_it(fake_run, name):
    run = fake_run()
    (run / name).unlink()
    with pytest.raises(DataError, match=rf"{re.escape(name)} is missing .*pocketvision fit .*--resume$"):
        report(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("args.yaml", "- a list"),
        ("args.yaml", "{unclosed"),
        ("choice.json", "{"),
        ("choice.json", "[]"),
        ("check.json", '{"unknown": 1}'),
        ("check.json", "{}"),
        ("results.csv", "epoch,phase\n1,all\n"),
        ("results.csv", "epoch,phase,learning_rate\none,all,0\n"),
    ],
)
def test_a_damaged_file_is_named(fake_run, name, content):
    run = fake_run()
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(name)):
        report(run)


def test_another_runs_labels_are_refused(fake_run):
    run = fake_run()
    (run / "labels.txt").write_text("x\ny\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"labels\.txt and export/manifest\.json"):
        report(run)


def test_no_run_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="pocketvision fit"):
        report(tmp_path / "nowhere")


def test_output_may_lie_elsewhere_and_the_run_is_left_alone(fake_run, tmp_path):
    run = fake_run()
    before = sorted(path.name for path in run.rglob("*"))
    path = report(str(run), output=str(tmp_path / "out"))
    assert path == tmp_path / "out" / "report.html"
    assert sorted(p.name for p in path.parent.iterdir()) == [".pocketvision", "model_card.md", "report.html"]
    assert sorted(p.name for p in run.rglob("*")) == before


def test_the_same_run_gives_the_same_page(fake_run):
    run = fake_run()
    assert report(run).read_bytes() == report(run).read_bytes()


def test_a_budget_without_any_candidate_timed_has_no_latency_axis(fake_run):
    run = fake_run(budget=False)
    choice = read_json(Choice, run / "choice.json")
    untimed = tuple(dataclasses.replace(candidate, latency=None) for candidate in choice.candidates)
    taken = dataclasses.replace(choice.taken, latency=None)
    write_json(run / "choice.json", Choice(Budget(), taken, untimed))
    axes = [attributes["data-axis"] for attributes in page_of(run).of("button") if "data-axis" in attributes]
    assert axes == ["0", "1"]


def test_a_image_that_took_anothers_name_is_not_shown(tmp_path):
    """Its answer stands there still, and would be another image's."""
    image = tmp_path / "apple" / "1.png"
    image.parent.mkdir()
    Image.new("RGB", (20, 20), "red").save(image)
    sha256 = hashlib.sha256(image.read_bytes()).hexdigest()
    shown = thumbnail(tmp_path, "apple/1.png", sha256)
    assert shown == thumbnail(tmp_path, "apple/1.png")
    assert shown.startswith("data:image")
    Image.new("RGB", (20, 20), "blue").save(image)
    assert not thumbnail(tmp_path, "apple/1.png", sha256)
