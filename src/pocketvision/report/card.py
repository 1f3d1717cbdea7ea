"""The model card: YAML front matter as model hubs read it, then the same facts as text."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import get_args

import yaml

from pocketvision import words
from pocketvision.images.code import prepare_code
from pocketvision.report import tables
from pocketvision.report.boxes import at_threshold
from pocketvision.report.choice import answers, raced
from pocketvision.report.confidence import refusal_words
from pocketvision.report.run import Run
from pocketvision.report.untested import untested
from pocketvision.report.words import SIZES
from pocketvision.values import Estimate, ImageSpec, Score, Split

SHOWN_LABELS = 50
WEAKEST = 5
_CLASSIFIER = ("image-classification", "Image Classification")

SNIPPET = """import json

import onnxruntime
{prepare}

with open("manifest.json", encoding="utf-8") as stream:
    labels = json.load(stream)["labels"]
session = onnxruntime.InferenceSession("model.onnx")
probabilities = session.run(None, {{"image": prepare("image.jpg")[None]}})[0][0]
print(labels[probabilities.argmax()], f"{{probabilities.max():.1%}}")"""

SNIPPET_OF_ATTRIBUTES = """import json

import onnxruntime
{prepare}

with open("manifest.json", encoding="utf-8") as stream:
    manifest = json.load(stream)
session = onnxruntime.InferenceSession("model.onnx")
probabilities = session.run(None, {{"image": prepare("image.jpg")[None]}})[0][0]
for label, probability, threshold in zip(manifest["labels"], probabilities, manifest["thresholds"]):
    print(label, "yes" if probability >= threshold else "no", f"{{probability:.1%}}")"""


SNIPPET_OF_BOXES = """import json

import onnxruntime
{prepare}

with open("manifest.json", encoding="utf-8") as stream:
    manifest = json.load(stream)
session = onnxruntime.InferenceSession("model.onnx")
names = ["boxes", "classes", "scores", "count"]
boxes, classes, scores, count = session.run(names, {{"image": prepare("image.jpg")[None]}})
for (top, left, bottom, right), label, score in zip(boxes[0], classes[0].astype(int), scores[0]):
    if score >= manifest["thresholds"][label]:  # corners are shares of the upright image's height and width
        print(manifest["labels"][label], f"{{score:.2f}}", f"{{left:.3f}} {{top:.3f}} {{right:.3f}} {{bottom:.3f}}")"""


def card(run: Run) -> str:
    """Return the model card of a run as Markdown."""
    parts = (
        *(_front(run), _what(run), _data(run), _results(run), _budget(run), _choice(run)),
        *(_limits(run), _how(run), _again(run)),
    )
    return "\n\n".join(part for part in parts if part).replace(words.SPACE, " ") + "\n"


def plain(text: object) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    line = " ".join(str(text).split())
    # An underscore within a word starts no emphasis.
    return re.sub(r"([\\`*\[\]|#~!]|\b_|_\b)", r"\\\1", html.escape(line, quote=False))


def snippet(image: ImageSpec, *, several: bool = False, placed: bool = False) -> str:
    """Return the Python program that answers an image with onnxruntime, Pillow and numpy alone.

    It names the image, or its attributes with `several`, or the things in it and where they are with `placed`.
    """
    program = SNIPPET_OF_BOXES if placed else SNIPPET_OF_ATTRIBUTES if several else SNIPPET
    return program.format(prepare=prepare_code(image))


def _front(run: Run) -> str:
    kind = run.metric.replace(" ", "_")
    hub, told = ("object-detection", "Object Detection") if run.placed else _CLASSIFIER
    result = {
        "task": {"type": hub, "name": told},
        "dataset": {"name": run.title, "type": "imagefolder", "split": "test"},
        "metrics": [{"type": kind, "name": run.metric_title, "value": round(run.proof.accuracy.value, 4)}],
    }
    model, tags = run.manifest.model.name, ["multi-label"] if run.several else []
    fields = {
        "license": str(run.args.get("license") or "unknown"),
        "library_name": "pocketvision",
        "pipeline_tag": hub,
        "tags": [hub, *tags, "onnx", "onnxruntime", "edge", model, run.manifest.precision],
        "metrics": [kind],
        "model-index": [{"name": run.manifest.name, "results": [result]}],
    }
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).strip()}\n---"


def _what(run: Run) -> str:
    proof, latency, manifest = run.proof, run.proof.latency, run.manifest
    side = manifest.image.resolution
    failures = [f"> **Verification failed:** {plain(failure)}\n" for failure in run.failures]
    return "\n".join(
        (
            f"# {plain(manifest.name)}\n",
            f"{plain(manifest.model)}, stored as {manifest.precision}: a file of {words.size(proof.size_bytes)}",
            _worth(run),
            f"(95% interval {words.interval(proof.accuracy)})",
            f"and takes {words.ms(latency.median_ms)} an image (median; p90 {words.ms(latency.p90_ms)};",
            f"{plain(latency.runtime)}, {words.plural(latency.threads, 'thread')}, {plain(latency.machine)}).\n",
            *failures,
            f"- Made: {plain(manifest.created)} by pocketvision {plain(manifest.versions.get('pocketvision', ''))}",
            f"- SHA-256 of the file: `{run.sha256}`",
            f"- Input: one image, uint8 RGB, {side} × {side} pixels; the file normalizes by itself",
            f"- Output: {_output(run)}",
        )
    )


def _output(run: Run) -> str:
    labels = words.plural(len(run.manifest.labels), "label")
    if run.placed:
        return f"boxes as top, left, bottom, right in shares of the image, each with one of {labels} and a score"
    return f"a probability for each of {labels}"


def _worth(run: Run) -> str:
    figure = run.proof.accuracy
    if run.placed:
        return f"that finds things with an {figure.metric} of {words.percent(figure.value)} on {_unseen(run)}"
    if run.several:
        return f"with a {figure.metric} of {words.percent(figure.value)} on {_unseen(run)}"
    return f"that is right on {words.percent(figure.value)} of {_unseen(run)}"


def _unseen(run: Run) -> str:
    return _images(run.proof.accuracy.count, "unseen ")


def _images(count: int, kind: str = "") -> str:
    return words.plural(count, f"{kind}image")


def _data(run: Run) -> str:
    labels = run.manifest.labels
    sizes = {split: run.health.images_in(split) for split in get_args(Split)}
    splits = ", ".join(f"{size:,} {name}" for name, size in sizes.items())
    kinds = words.plural(len(labels), "attribute") if run.several else words.plural(len(labels), "class", "classes")
    more = f" and {len(labels) - SHOWN_LABELS} more (see `manifest.json`)" if len(labels) > SHOWN_LABELS else ""
    left_out = sum(problem.left_out for problem in run.health.problems)
    return "\n".join(
        (
            "## Data\n",
            f"{plain(run.title)}: {_images(sum(sizes.values()))} ({splits})",
            f"{'with boxes of' if run.placed else 'with' if run.several else 'in'} {kinds};",
            f"{words.plural(len(run.health.problems), 'problem')} found, {words.plural(left_out, 'file')} left out.",
            f"Digest of the data: `{plain(run.health.digest)}`.\n",
            f"Labels: {', '.join(plain(label) for label in labels[:SHOWN_LABELS])}{more}.",
        )
    )


def _results(run: Run) -> str:
    def row(who: str, images: str, accuracy: Score) -> tuple[str, ...]:
        return (who, images, words.percent(accuracy.value), words.interval(accuracy), f"{accuracy.count:,}")

    rows = [row("trained net", name, figure) for name, figure in run.manifest.figures.items()]
    rows.append(row("delivered file", "test", run.proof.accuracy))
    parts = [
        "## Results",
        _table(("who", "images", run.metric, "95% interval", "count"), rows),
        f"The delivered file was judged on {plain(run.judged)}." if run.judged else "",
        _agreement(run),
        _confidence(run),
        _boxes(run) if run.placed else _attributes(run) if run.several else _weakest(run),
    ]
    return "\n\n".join(part for part in parts if part)


def _weakest(run: Run) -> str:
    tested = [result for result in tables.class_results(run.proof) if result.recall]
    weakest = [(it.label, words.percent(it.recall.value), str(it.total)) for it in tested[:WEAKEST] if it.recall]
    return "The weakest classes:\n\n" + _table(("class", "recognized", "test images"), weakest)


def _boxes(run: Run) -> str:
    others = run.proof.accuracy.others
    named = ["AP", "AP75", *(f"AP {size}" for size in SIZES)]
    told = ", ".join(f"{name} {words.percent(others[name])}" for name in named if name in others)
    head = ("class", "AP50", "95% interval", "precision", "recall", "F1", "true boxes")
    rows = [
        (
            row.name,
            _share(row.average_precision),
            "–" if row.average_precision is None else f"{words.percent(row.low)} to {words.percent(row.high)}",
            *(_share(value) for value in (row.precision, row.recall, row.f1)),
            f"{row.positives:,}",
        )
        for row in run.proof.attributes
    ]
    return f"{told}. Sizes are COCO's. {at_threshold(run.proof)}\n\n{_table(head, rows)}"


def _share(value: float | None) -> str:
    return "–" if value is None else words.percent(value)


def _attributes(run: Run) -> str:
    head = ("attribute", "average precision", "95% interval", "there from", "F1", "precision", "recall", "have it")
    rows = [
        (
            row.name,
            _share(row.average_precision),
            f"{words.percent(row.low)} to {words.percent(row.high)}",
            f"{row.threshold:.3g}",
            *(_share(value) for value in (row.f1, row.precision, row.recall)),
            f"{row.positives} of {row.known}",
        )
        for row in run.proof.attributes
    ]
    return f"Each attribute counts as there from its own probability on:\n\n{_table(head, rows)}"


def _agreement(run: Run) -> str:
    agreement = run.proof.agreement
    if agreement is None:
        return ""
    images, share = _images(agreement.count), words.percent(agreement.same_answer)
    if run.placed:
        same = f"finds as many boxes as the trained net in {share} of the counts of each class on {images}"
    else:
        same = f"gives the trained net's answer on {share} of {'the decisions on ' if run.several else ''}{images}"
    kind = "score" if run.placed else "probability"
    return f"The delivered file {same}; the largest gap of any {kind} is {words.gap(agreement.largest_gap)}."


def _confidence(run: Run) -> str:
    found = run.proof.confidence
    if found is None:
        return ""
    error = (
        f"{words.percent(found.ece)} (95% interval {words.percent(found.ece_low)} to {words.percent(found.ece_high)})"
    )
    return (
        f"Calibration error on the test images: {error}, Brier score {found.brier:.4f}, log loss {found.nll:.4f}. "
        f"{plain(refusal_words(run.proof))}"
    )


def _budget(run: Run) -> str:
    rows = [
        (
            plain(line.title),
            f"at {'most' if line.at_most else 'least'} {line.allowed}",
            f"{line.measured} ({plain(line.detail)})" if line.detail else line.measured,
            "PASS" if line.passed else "FAIL",
        )
        for line in tables.budget_lines(run.proof)
    ]
    body = _table(("limit", "allowed", "measured", "verdict"), rows) if rows else "No limit was set."
    counted = (
        f"Counted: {words.count(run.cost.macs)} MACs (multiply-adds), {words.count(run.cost.params)} parameters, "
        f"{words.size(run.cost.peak_activation_bytes)} of activations at the peak."
    )
    return f"## Budget\n\n{body}\n\n{counted}"


def _choice(run: Run) -> str:
    said = answers(run.choice)
    if not said:
        return ""
    head = ("net", "begins", "bytes", "predicted, 90% interval", "a few epochs", "whole training", "outcome")
    rows = [
        (
            f"{one.spec}, {one.precision}",
            f"{one.start} from {one.origin}" if one.origin else "from scratch",
            f"{one.size_bytes:,}",
            _predicted(one.accuracy),
            *(words.percent(score.value) if score else "–" for score in (one.tried, one.validation)),
            one.status,
        )
        for one in raced(run.choice)
    ]
    lines = "\n".join(f"- **{plain(it.title)}.** {plain(it.text)}" for it in said)
    return f"## Choice\n\n{lines}\n\n{run.metric_title} on the validation images:\n\n{_table(head, rows)}"


def _predicted(told: Estimate | None) -> str:
    return f"{words.percent(told.middle)} ({words.percent(told.low)} to {words.percent(told.high)})" if told else "–"


def _limits(run: Run) -> str:
    lines = "\n".join(f"- **{plain(gap.title)}.** {plain(gap.text)}" for gap in untested(run))
    return f"## Limits: what was not tested\n\n{lines}"


def _how(run: Run) -> str:
    return f"## How to run\n\n```python\n{snippet(run.manifest.image, several=run.several, placed=run.placed)}\n```"


def _again(run: Run) -> str:
    if not run.command:
        return ""
    # A fence longer than any in the text cannot be ended by it.
    fence = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", run.command)), default=0))
    return f"## To repeat it\n\n{fence}sh\n{run.command}\n{fence}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
