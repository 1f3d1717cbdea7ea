"""Bytes: predicted for every format and precision before anything is written, and weighed in the formats wanted."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pocketvision.budget.filesize import added_bytes, predicted_bytes
from pocketvision.budget.space import Trunk, space_of
from pocketvision.compress.compress import compress
from pocketvision.compress.half import halved
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.errors import UnknownName
from pocketvision.export import FORMATS, HELD, PACKAGES
from pocketvision.fit.timing import Timer, untrained
from pocketvision.fit.weighing import weighed
from pocketvision.graph.graph import Graph
from pocketvision.graph.trace import trace_spec
from pocketvision.metrics.accuracy import wilson
from pocketvision.tasks import load
from pocketvision.train.inputs import SCRATCH
from pocketvision.values import Budget, Candidate, Cost, ImageSpec, ModelSpec, Precision, TaskSpec, Trained

LABELS = tuple(f"a kind of thing {number}" for number in range(8))
SPEC = TaskSpec("classify", LABELS)
NETS = (
    ModelSpec("mobilenet_v1", 0.25, 64, len(LABELS)),
    ModelSpec("mobilenet_v3_small", 0.5, 64, len(LABELS), depth=9),
    ModelSpec("squeezenet1_1", 0.5, 64, len(LABELS)),
)
WITHIN = {"openvino": 0.06, "coreml": 0.03}
"""Of the bytes; OpenVINO describes a net in words, which vary."""
HERE = [name for name in FORMATS if name not in PACKAGES or find_spec(PACKAGES[name])]
PAIRS = [(name, precision) for name in FORMATS for precision in ("float", "float16", "int8") if precision in HELD[name]]


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))


def made(spec: ModelSpec, precision: Precision) -> tuple[Graph, Trained]:
    image = ImageSpec(spec.resolution)
    plain = untrained(spec, image, load(SPEC.name).ending(SPEC))
    noise = np.random.default_rng(0).integers(0, 256, (2, spec.resolution, spec.resolution, 3), np.uint8)
    plainly = {"float": plain, "float16": halved(plain)}
    graph = plainly.get(precision) or compress(plain, noise, steps=(Quantize(),)).graph
    splits: dict[str, float | int] = {"seed": 42, "val": 0.15, "test": 0.15}
    return graph, Trained(spec, image, SCRATCH, 0, wilson(1, 1), 1.0, "0" * 64, splits)


def size_of(spec: ModelSpec, precision: Precision, formats: list[str]) -> int:
    graph, trained = made(spec, precision)
    return weighed(graph, trained, SPEC, (precision, formats), compressor="deflate").size_bytes


def told(spec: ModelSpec, name: str, precision: str) -> float:
    trunk = Trunk(ModelSpec(spec.name, spec.width, 224, spec.num_classes), (spec.depth,), (spec.resolution,), ("own",))
    space = space_of([trunk], trace_spec, LABELS)
    text = sum(len(label.encode()) for label in LABELS)
    return float(predicted_bytes(name, precision, space.structure, labels=len(LABELS), text_bytes=text)[0])


@pytest.mark.parametrize(("name", "precision"), PAIRS)
def test_bytes_are_predicted_of_every_format_and_precision(name: str, precision: Precision) -> None:
    if name not in HERE:
        pytest.skip(f"needs {PACKAGES[name]}")
    for spec in NETS[:2] if name == "coreml" else NETS:
        size = _only(spec, precision, name)
        assert told(spec, name, precision) == pytest.approx(size, rel=WITHIN.get(name, 0.025)), spec


def _only(spec: ModelSpec, precision: Precision, name: str) -> int:
    """Return the bytes in one format, also where the ONNX file is the larger one."""
    if name == "onnx":
        return size_of(spec, precision, [])
    from pocketvision.fit import weighing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighing, "to_bytes", lambda *_: b"")
        return size_of(spec, precision, [name])


def test_every_format_and_precision_of_fit_is_known() -> None:
    assert {pair for pair in PAIRS if pair[1] != "float16"} <= set(added_bytes())
    with pytest.raises(UnknownName, match="onnx int8"):
        predicted_bytes("onnx", "int4", {}, labels=1, text_bytes=1)


def test_the_largest_of_the_wanted_formats_counts() -> None:
    trunk = Trunk(ModelSpec("mobilenet_v1", 0.25, 64, len(LABELS)), (None,), (64,), ("own",))
    alone = space_of([trunk], trace_spec, LABELS)
    both = space_of([trunk], trace_spec, LABELS, formats=("onnx", "litert", "c"))
    assert (both.size_bytes >= alone.size_bytes).all()
    assert (both.size_bytes > alone.size_bytes).any()
    each = size_of(NETS[0], "int8", []), size_of(NETS[0], "int8", ["litert"])
    assert each[1] > each[0]


def test_candidates_are_weighed_in_the_formats_wanted() -> None:
    candidate = Candidate(NETS[0], "int8", Cost(0, 0, 0, 0), 0, 0.0, "taken", "")
    sizes = [
        Timer(SPEC, ImageSpec(64), Budget({}), formats=formats).weigh(candidate).size_bytes
        for formats in (("onnx",), ("onnx", "litert"), ("onnx", "c"))
    ]
    assert sizes[1] > sizes[0] == sizes[2]
    assert np.diff(sizes[:2]) < 40_000
