"""A made-up run folder that looks like a real one, and its parts to be varied."""

import csv
import dataclasses
import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pocketvision.files import write_bytes, write_json, write_text
from pocketvision.metrics.accuracy import wilson
from pocketvision.values import (
    Agreement,
    Answer,
    Budget,
    Candidate,
    Choice,
    Compression,
    Confidence,
    Cost,
    Epoch,
    Health,
    ImageSpec,
    Latency,
    Manifest,
    ModelSpec,
    Probe,
    Problem,
    Proof,
    Refusal,
    Resized,
    Score,
    Summary,
    Variant,
    Verdict,
)

LABELS = ("apple", "apricot", "avocado", "banana", "blackberry", "cherry", "fig", "lemon", "nectarine", "peach")
MACHINE = "Example CPU 3.1 GHz, 4 cores, Linux"
RUNTIME = "onnxruntime 1.22.0"
FAMILIES = (
    ("mobilenet_v1", 569, 4.2, 70.6),
    ("mobilenet_v2", 300, 3.5, 72.0),
    ("mobilenet_v3_small", 66, 2.9, 67.4),
    ("squeezenet1_1", 349, 1.2, 58.2),
)
SPEC = ModelSpec("mobilenet_v2", 0.5, 160, len(LABELS))

Build = Callable[..., Path]


@pytest.fixture
def fake_run(tmp_path: Path) -> Build:
    """Return a function that writes a run folder and returns its path."""
    return lambda **options: build_run(tmp_path, **options)


def build_run(
    folder: Path,
    *,
    labels: Sequence[str] = LABELS,
    epochs: int = 25,
    per_class: int = 42,
    max_size: int = 1_200_000,
    wrong: float = 0.035,
    budget: bool = True,
) -> Path:
    """Write a data set with the confused images and a finished run of it."""
    labels = tuple(labels)
    chance = random.Random(7)
    data, run = folder / "fruit", folder / "runs" / "fit" / "fruit"
    spec = dataclasses.replace(SPEC, num_classes=len(labels))
    answers = _answers(labels, per_class, wrong, chance=chance)
    model = b"not a real model, but bytes with a digest" * 40
    accuracy = wilson(sum(a.label == a.predicted for a in answers), len(answers))
    verdicts = _verdicts(max_size, accuracy) if budget else ()
    limits = (
        Budget({"max_size": max_size, "max_latency": 8.0, "max_macs": 60_000_000, "min_accuracy": 0.9})
        if budget
        else Budget()
    )
    proof = Proof(
        file="export/model.onnx",
        sha256=hashlib.sha256(model).hexdigest(),
        size_bytes=912_448,
        accuracy=accuracy,
        agreement=Agreement(0.9976, 0.0312, len(answers)),
        probe_gap=3.1e-7,
        latency=Latency(6.213, 6.981, 200, 1, RUNTIME, MACHINE, 7.45),
        verdicts=verdicts,
        labels=labels,
        confusion=_confusion(labels, answers),
        answers=answers,
        resized=(Resized("pillow", accuracy, 1.0), Resized("opencv-linear", accuracy, 0.95)),
        **_confidence(answers),
    )
    _images(data, labels, answers)
    write_bytes(run / "export" / "model.onnx", model)
    write_text(run / "labels.txt", "".join(f"{label}\n" for label in labels))
    with (run / "splits.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = [(a.file, a.label, "test", _sha256(data / a.file)) for a in answers]
        csv.writer(stream, lineterminator="\n").writerows([("file", "label", "split", "sha256"), *rows])
    write_text(run / "args.yaml", yaml.safe_dump(_args(data)))
    write_json(run / "check.json", _health(data, labels, per_class, chance=chance))
    write_json(run / "choice.json", _choice(spec, limits, chance))
    _curves(run / "results.csv", epochs, chance)
    write_json(run / "compress.json", _compression(accuracy))
    write_json(run / "export" / "manifest.json", _manifest(labels, spec, accuracy))
    write_json(run / "verify.json", proof)
    write_json(run / "summary.json", _summary(run, proof, spec))
    return run


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "00"


def _answers(labels: Sequence[str], per_class: int, wrong: float, *, chance: random.Random) -> tuple[Answer, ...]:
    answers = []
    for index, label in enumerate(labels):
        for number in range(per_class):
            missed = chance.random() < wrong * (1 + index % 3)
            near = labels[(index + (1 if chance.random() < 0.7 else 3)) % len(labels)]
            probability = chance.uniform(0.4, 0.97) if missed else 1 - chance.random() ** 2 * 0.5
            answers.append(Answer(f"{label}/{number:04}.png", label, near if missed else label, round(probability, 4)))
    return tuple(answers)


def _confidence(answers: Sequence[Answer]) -> dict[str, Any]:
    below = 0.62
    kept = [answer for answer in answers if answer.probability >= below]
    right = sum(answer.label == answer.predicted for answer in kept)
    return {
        "confidence": Confidence(len(answers), 0.031, 0.012, 0.048, 0.014, 0.0923, 0.2104, 0.0119),
        "abstain_below": below,
        "refusal": Refusal(wilson(len(kept), len(answers)), wilson(right, len(kept)) if kept else None),
    }


def _confusion(labels: Sequence[str], answers: Sequence[Answer]) -> tuple[tuple[int, ...], ...]:
    index = {label: number for number, label in enumerate(labels)}
    matrix = [[0] * len(labels) for _ in labels]
    for answer in answers:
        matrix[index[answer.label]][index[answer.predicted]] += 1
    return tuple(tuple(row) for row in matrix)


def _verdicts(max_size: int, accuracy: Score) -> tuple[Verdict, ...]:
    return (
        Verdict("max_size", max_size, 912_448, "bytes", max_size >= 912_448),
        Verdict("max_latency", 8.0, 6.213, "ms", True),
        Verdict("max_macs", 60_000_000, 52_040_816, "", True),
        Verdict("min_accuracy", 0.9, accuracy.value, "", accuracy.value >= 0.9),
    )


def _images(data: Path, labels: Sequence[str], answers: Sequence[Answer]) -> None:
    """Draw the wrongly answered images alone; nothing else is read from the data set."""
    wrong = sorted((a for a in answers if a.label != a.predicted), key=lambda a: -a.probability)[:13]
    for number, answer in enumerate(wrong[1:]):
        path = data / answer.file
        path.parent.mkdir(parents=True, exist_ok=True)
        rows, columns = np.mgrid[0:180, 0:240] / 180
        round_ = ((rows - 0.5) ** 2 + (columns - 0.65) ** 2 < 0.1 + 0.01 * (number % 5))[..., None]
        hue = np.array([90 + 12 * number % 160, 60 + 37 * number % 150, 40 + 71 * number % 90])
        shade = (1.25 - 0.7 * np.hypot(rows - 0.35, columns - 0.5))[..., None]
        back = np.stack([225 - 40 * rows, 222 - 50 * rows, 215 - 60 * columns], axis=-1)
        pixels = np.where(round_, hue * shade, back).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, compress_level=1)


def _args(data: Path) -> dict[str, object]:
    return {
        "command": f"pocketvision fit {data} --max-size 1.2MB --max-latency 8ms --max-macs 60M --min-accuracy 0.9",
        "data": str(data),
        "max_size": "1.2MB",
        "max_latency": "8ms",
        "min_accuracy": 0.9,
        "epochs": 25,
        "seed": 0,
        "max_memory": None,
    }


def _health(data: Path, labels: Sequence[str], per_class: int, *, chance: random.Random) -> Health:
    counts = {
        label: {"train": chance.randint(90, 340), "val": chance.randint(30, 45), "test": per_class} for label in labels
    }
    problems = (
        Problem("cherry/IMG_0071.jpg", "unreadable", "the file ends before the image does", True),
        Problem("fig/0012 (copy).jpg", "duplicate", "same bytes as fig/0012.jpg", True),
        Problem("lemon/0090.jpg", "conflict", "same bytes as banana/0171.jpg, under another label", True),
        Problem("peach/Thumbs.db", "not an image", "no image format is known by this beginning", True),
        Problem("apple/0033.jpg", "suffix", "holds a PNG", False),
    )
    notes = ("The largest class has 3.4 times as many images as the smallest; classes are weighted in training.",)
    return Health(str(data), tuple(labels), counts, problems, 480, 96, 4032, "5f" * 32, notes)


def _choice(spec: ModelSpec, budget: Budget, chance: random.Random) -> Choice:
    found = []
    for name, macs, params, top1 in FAMILIES:
        for width in (1.0, 0.5, 0.25) if name != "squeezenet1_1" else (1.0,):
            for resolution in (224, 160):
                for precision in ("float", "int8"):
                    found.append(
                        _candidate(
                            ModelSpec(name, width, resolution, spec.num_classes),
                            precision,
                            (macs, params, top1),
                            chance=chance,
                        )
                    )
    taken = next(c for c in found if c.status == "taken")
    return Choice(budget, taken, tuple(found), ("12 nets were timed here; the other times follow from them.",))


def _candidate(
    spec: ModelSpec, precision: str, base: tuple[float, float, float], *, chance: random.Random
) -> Candidate:
    scale = (spec.resolution / 224) ** 2
    macs = int(base[0] * 1e6 * (0.12 + 0.88 * spec.width**2) * scale)
    params = int(base[1] * 1e6 * (0.1 + 0.9 * spec.width**2))
    size = params * (4 if precision == "float" else 1) + 60_000
    top1 = base[2] - 9 * (1 - spec.width) - 7 * (1 - scale) - (4 if spec.width < 0.5 else 0)
    latency = Latency(macs / 8.1e6, macs / 7.4e6, 50, 1, RUNTIME, MACHINE, 7.45) if macs < 2e8 else None
    taken = (spec.name, spec.width, spec.resolution, precision) == ("mobilenet_v2", 0.5, 160, "int8")
    if taken:
        status, reason = (
            "taken",
            "It promises the highest accuracy among the nets that keep every limit, as timed here.",
        )
    elif macs > 60e6 or size > 1.2e6:
        what = (
            f"{macs / 1e6:.0f} M multiply-adds are more than 60 M"
            if macs > 60e6
            else f"{size:,} bytes are more than 1,200,000"
        )
        status, reason = "over budget", f"{what}."
    elif chance.random() < 0.3:
        status, reason = "too slow", "Measured at 8.9 ms, which is more than 8 ms."
    else:
        status, reason = "not needed", "Keeps the budget, but promises less than the one taken."
    return Candidate(
        spec, precision, Cost(params, macs, size - 60_000, 1_228_800), size, round(top1, 1), status, reason, latency
    )


def _curves(path: Path, epochs: int, chance: random.Random) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([item.name for item in dataclasses.fields(Epoch)])
        for epoch in range(1, epochs + 1):
            head = epoch <= max(1, epochs // 5) and epochs > 1
            learned = 1 - 0.8 ** (epoch * (0.7 if head else 1.1))
            train, val = 0.3 + 0.68 * learned, 0.3 + 0.63 * learned + chance.uniform(-0.015, 0.015)
            row = (0.001 * 0.9**epoch, 2.2 * (1 - learned) + 0.1, train, 2.1 * (1 - learned) + 0.28, val, 212.4, 9.7)
            writer.writerow([epoch, "head" if head else "all", *row, val, 0, epoch > epochs - 2])


def _compression(accuracy: Score) -> Compression:
    count = accuracy.count
    variants = (
        Variant(
            "float", wilson(int(count * 0.936), count), 2_843_112, Latency(9.41, 10.2, 200, 1, RUNTIME, MACHINE, 7.45)
        ),
        Variant(
            "int8", wilson(int(count * 0.932), count), 912_448, Latency(6.21, 6.98, 200, 1, RUNTIME, MACHINE, 7.45)
        ),
    )
    reason = (
        "int8 is a third of the size and 1.5 times as fast; its accuracy is 0.4 points lower, well within the interval."
    )
    return Compression("int8", reason, variants)


def _manifest(labels: Sequence[str], spec: ModelSpec, accuracy: Score) -> Manifest:
    return Manifest(
        format_version=1,
        name="fruit",
        task="classify",
        labels=tuple(labels),
        image=ImageSpec(160),
        model=spec,
        precision="int8",
        data_digest="5f" * 32,
        splits={"seed": 0, "val": 0.1, "test": 0.1},
        figures={"validation": wilson(int(accuracy.count * 0.936), accuracy.count), "test": accuracy},
        probes=(Probe("", (1.0,)), Probe("", (1.0,))),
        versions={"pocketvision": "0.1.0", "torch": "2.7.0", "onnx": "1.18.0", "onnxruntime": "1.22.0"},
        created="2026-03-14T15:09:26Z",
    )


def _summary(run: Path, proof: Proof, spec: ModelSpec) -> Summary:
    return Summary(
        artefact=proof.file,
        test_accuracy=proof.accuracy.value,
        interval=(proof.accuracy.low, proof.accuracy.high),
        size_bytes=proof.size_bytes,
        latency_ms=proof.latency.median_ms,
        verdicts=proof.verdicts,
        run=str(run),
        model=spec,
        precision="int8",
        report="report.html",
        seconds={"check": 3.2, "choose": 41.0, "train": 242.0, "compress": 18.4, "export": 0.4, "verify": 22.9},
    )
