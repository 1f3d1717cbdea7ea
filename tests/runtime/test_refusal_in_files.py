"""The threshold travels inside the file; files from before there was one open, tampered ones do not."""

import json
from dataclasses import replace

import onnx
import pytest

from pocketvision import runtime
from pocketvision.errors import WeightsError
from pocketvision.export.onnx import write
from pocketvision.graph.sketch import Sketch
from pocketvision.metrics.accuracy import wilson
from pocketvision.values import ImageSpec, Manifest, ModelSpec, Refusal, from_json, to_json

WORDS = Manifest(
    format_version=1,
    name="toy",
    task="classify",
    labels=("a", "b"),
    image=ImageSpec(32),
    model=ModelSpec("toy", 1.0, 32, 2),
    precision="float",
    data_digest="",
    splits={},
    figures={},
    probes=(),
    versions={},
    created="2026-11-20T00:00:00Z",
    abstain_below=0.62,
    refusal=Refusal(wilson(98, 100), wilson(97, 98)),
)


@pytest.fixture
def file(tmp_path):
    sketch = Sketch(32)
    path = tmp_path / "model.onnx"
    write(sketch.finish(sketch.linear(sketch.mean("image"), 2)), WORDS, path)
    return path


def rewrite(file, change):
    model = onnx.load(file)
    entry = next(item for item in model.metadata_props if item.key == "pocketvision")
    words = json.loads(entry.value)
    change(words)
    entry.value = json.dumps(words)
    del model.metadata_props[-1]  # the digest, which files from before lack
    onnx.save(model, file)


def test_the_threshold_travels(file):
    assert runtime.open(file).manifest == WORDS


def test_a_file_from_before_never_refuses(file):
    def older(words):
        del words["abstain_below"], words["refusal"]

    rewrite(file, older)
    manifest = runtime.open(file).manifest
    assert manifest.abstain_below is None
    assert manifest.refusal is None


@pytest.mark.parametrize("value", [-0.1, 1.01, float("nan"), float("inf"), "0.5", True, [0.5]])
def test_a_threshold_that_is_none_is_refused(file, value):
    rewrite(file, lambda words: words.update(abstain_below=value))
    with pytest.raises(WeightsError, match="abstain_below"):
        runtime.open(file)


@pytest.mark.parametrize("value", [2.0, float("nan"), "many"])
def test_shares_that_are_none_are_refused(file, value):
    rewrite(file, lambda words: words["refusal"]["coverage"].update(value=value))
    with pytest.raises(WeightsError, match=r"refusal\.coverage"):
        runtime.open(file)


def test_all_refused_has_no_accuracy_and_can_be_read():
    words = replace(WORDS, refusal=Refusal(wilson(0, 10), None))
    assert from_json(Manifest, to_json(words)) == words


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": "ab"}, "labels is 'ab', no list"),
        ({"precision": "int4"}, "precision is 'int4'; known are 'float', "),
        ({"abstain_below": True}, "abstain_below is True, no float"),
        ({"io": "uint16"}, "io is 'uint16'; known are 'mixed', 'uint8', 'int8'"),
        ({"image": {"resolution": "32"}}, "image.resolution is '32', no int"),
        ({"image": {"resolution": 32, "mean": [0.5]}}, "image.mean is \\[0.5\\], not 3 values"),
    ],
)
def test_values_of_another_type_are_named(file, change, told):
    rewrite(file, lambda words: words.update(change))
    with pytest.raises(WeightsError, match=told):
        runtime.open(file)
