"""The counted figures that are shipped, so that the catalogue is listed without building a net; no torch."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Figures:
    """What one net costs at one setting; held to the nets by a test."""

    name: str
    width: float
    resolution: int
    groups: int | None
    num_classes: int
    """Of the data set that the net was published on."""
    params: int
    macs: int
    float_bytes: int
    """Weights and biases as float32, batch norms folded."""
    int8_bytes: int
    peak_bytes_float: int
    """Peak of activation memory, in the best order of layers."""
    peak_bytes_int8: int


@dataclass(frozen=True)
class CatalogueLine:
    """One net at one setting of its dials, with the classes of the data set that it was published on."""

    name: str
    """Name in the catalogue."""
    width: float
    """Multiplier of the channels."""
    resolution: int
    """Side of the input in pixels."""
    groups: int | None
    """Of ShuffleNet's pointwise convolutions; None for other nets."""
    num_classes: int
    """Of the data set that the net was published on."""
    year: int
    """Of the paper."""
    idea: str
    """The idea in a few words."""
    params: int
    """Learned values."""
    macs: int
    """Multiply-adds of one image."""
    float_bytes: int
    """Weights and biases as float32."""
    int8_bytes: int
    """The same in 8 bit."""
    peak_bytes_float: int
    """Peak of activations as float32."""
    peak_bytes_int8: int
    """The same in 8 bit."""
    top1: float | None
    """Published accuracy in percent, of the float net and as its authors trained it."""
    top5: float | None
    """The same for the first five answers."""
    data: str
    """What the accuracy was measured on."""
    source: str
    """Of the accuracy."""
    weights: tuple[str, ...]
    """Where published weights of this net and width can be had."""


@dataclass(frozen=True)
class Step:
    """One layer of a drawn block; `inputs` are places of earlier steps, -1 is what goes into the block."""

    label: str
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One line of a net's layer table."""

    name: str
    kind: str
    output: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Anatomy:
    """A net's layers at the paper's setting, and the block it repeats."""

    name: str
    layers: tuple[Layer, ...]
    block_name: str
    block_input: tuple[int, ...]
    block: tuple[Step, ...]


@cache
def figures() -> tuple[Figures, ...]:
    """Return the costs of every net at every width and resolution that the papers or the weights' authors print."""
    rows = csv.DictReader(_text("figures.csv").splitlines())
    return tuple(_figures(row) for row in rows)


def _figures(row: dict[str, str]) -> Figures:
    whole = {item.name: int(row[item.name]) for item in fields(Figures) if item.type is int}
    groups = int(row["groups"]) if row["groups"] else None
    return Figures(name=row["name"], width=float(row["width"]), groups=groups, **whole)


def anatomy(name: str) -> Anatomy:
    """Return the layer table and the block of a net of the catalogue."""
    for line in _text("anatomy.jsonl").splitlines():
        head, layers, block = json.loads(line)
        if head[0] == name:
            steps = tuple(Step(label, tuple(inputs)) for label, inputs in block)
            return Anatomy(name, tuple(_layer(*row) for row in layers), head[1], tuple(head[2]), steps)
    raise AssertionError(f"no anatomy is shipped for {name}")


def _layer(name: str, kind: str, output: Sequence[int], params: int, macs: int) -> Layer:
    return Layer(name, kind, tuple(output), params, macs)


def _text(file: str) -> str:
    return resources.files("pocketvision.models").joinpath(file).read_text(encoding="utf-8")
