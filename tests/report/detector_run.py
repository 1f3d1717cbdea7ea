"""A made-up run of a detector: drawn images with true boxes, and answers that miss some things and see others."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pocketvision.data.splits import write_splits
from pocketvision.files import read_json, write_json
from pocketvision.tasks import spec_for_net
from pocketvision.tasks.detect.answers import targets
from pocketvision.values import (
    AnchorMap,
    Box,
    Compression,
    Dataset,
    DetectorSpec,
    Example,
    Health,
    Manifest,
    ModelSpec,
    Proof,
    TaskSpec,
)
from pocketvision.verify.inference import Answers
from tests.report.conftest import build_run

LABELS = ("red cell", "white <b>cell</b>", "platelet", "never seen")
MODEL = ModelSpec("mobilenet_v2", 0.5, 256, len(LABELS), detector=DetectorSpec((AnchorMap(16, ((0.2, 0.2),)),)))
SPEC = spec_for_net(TaskSpec("detect", LABELS, (0.4,) * len(LABELS)), MODEL)
SIZE = (320, 240)
_SIDES, _COLORS = (46, 90, 20), ("#c96a62", "#7a4fa3", "#d9a9d0")


def build_detector_run(folder: Path, *, images: int = 24, perfect: bool = False) -> Path:
    """Write a data set and a finished run of a detector; return the run."""
    run, data = build_run(folder, labels=LABELS, per_class=2), folder / "fruit"
    data.mkdir(exist_ok=True)
    rng = np.random.default_rng(3)
    examples = tuple(_example(data, number, rng) for number in range(images))
    found = np.stack([_answer(example, rng, perfect=perfect) for example in examples])
    _write(run, Answers(SPEC, examples, found, (), (), frozenset()))
    write_splits(run / "splits.csv", Dataset(str(data), LABELS, examples, kind="boxes"))
    return run


def _example(data: Path, number: int, rng: np.random.Generator) -> Example:
    """Draw an image of round things, each with its box as shares of the image."""
    picture = Image.new("RGB", SIZE, "#ece4dc")
    pen, boxes = ImageDraw.Draw(picture), []
    for thing in range(rng.integers(2, 7)):
        kind = int(rng.choice(3, p=[0.7, 0.2, 0.1]))
        side = int(_SIDES[kind] * rng.uniform(0.8, 1.2))
        left, top = (int(rng.integers(0, whole - side)) for whole in SIZE)
        pen.ellipse((left, top, left + side, top + side), fill=_COLORS[kind])
        corners = (left / SIZE[0], top / SIZE[1], (left + side) / SIZE[0], (top + side) / SIZE[1])
        boxes.append(Box(kind, *corners, difficult=thing == 5, area=float(side * side)))
    path = data / f"{number:03}.png"
    picture.save(path, compress_level=1)
    return Example(path.name, tuple(boxes), "test", hashlib.sha256(path.read_bytes()).hexdigest())


def _answer(example: Example, rng: np.random.Generator, *, perfect: bool) -> np.ndarray:
    """Return most of the boxes, a little beside where they are, and some where nothing is."""
    truth = targets([example])[0]
    rows = [[*row[1:5], row[0], 0.9] for row in truth]
    if not perfect:
        rows = [[*(np.array(row[:4]) + rng.normal(0, 0.008, 4)), row[4], rng.uniform(0.2, 1)] for row in rows]
        rows += [[0.7, 0.1, 0.9, 0.2, rng.integers(0, 3), rng.uniform(0.1, 0.7)] for _ in range(rng.integers(0, 3))]
    found = np.zeros((100, 6), np.float32)
    found[: len(rows)] = sorted(rows, key=lambda row: -row[5])
    return found


def _write(run: Path, answers: Answers) -> None:
    """Put the answers' figures in the place of the classifier's."""
    judgment = answers.judgment
    score = judgment.score
    proof = replace(
        read_json(Proof, run / "verify.json"),
        accuracy=score,
        verdicts=tuple(
            replace(verdict, allowed=0.1, measured=score.value) if verdict.limit == "min_accuracy" else verdict
            for verdict in read_json(Proof, run / "verify.json").verdicts
        ),
        confusion=judgment.confusion,
        answers=answers.told(),
        attributes=judgment.parts,
        curves=judgment.curves,
        resized=(),
        confidence=None,
        abstain_below=None,
        refusal=None,
    )
    write_json(run / "verify.json", proof)
    manifest = read_json(Manifest, run / "export/manifest.json")
    figures = {"validation": score, "test": score}
    write_json(
        run / "export/manifest.json",
        replace(manifest, task="detection", model=MODEL, figures=figures, thresholds=SPEC.thresholds),
    )
    record = read_json(Compression, run / "compress.json")
    write_json(
        run / "compress.json",
        replace(record, variants=tuple(replace(variant, validation=score) for variant in record.variants)),
    )
    counts = {label: {"train": 200, "val": 30, "test": 25} for label in LABELS}
    whole = {"train": 80, "val": 20, "test": len(answers.examples)}
    health = replace(read_json(Health, run / "check.json"), kind="boxes", counts=counts, split_images=whole)
    write_json(run / "check.json", health)
