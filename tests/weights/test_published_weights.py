"""Real published files: our float nets answer as the files do in their own runtime."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "published_weights.py"


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("ai_edge_litert")
    spec = importlib.util.spec_from_file_location("published_weights", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "count", "agreement"),
    [
        # On 500 pictures LiteRT's own fast and reference kernels agree on 93% for this file.
        ("mobilenet_v1_0.25_128_quant.tflite", 200, 0.88),
        ("mobilenet_v1_0.5_160_quant.tflite", 200, 0.93),
        ("mobilenet_v1_0.75_192_quant.tflite", 100, 0.95),
        ("mobilenet_v2_1.0_224_quant.tflite", 100, 0.97),
        ("tf2_mobilenet_v2_1.0_224_ptq.tflite", 100, 0.95),
    ],
)
def test_float_nets_answer_as_the_published_files(script, shared_weights, shared_data, file, count, agreement):
    images = sorted((shared_data / "imagenet-sample").glob("*.jpg"))
    line = script.compare(shared_weights / file, images[:: len(images) // count][:count])
    assert line.same >= agreement
    assert abs(line.our_top1 - line.runtime_top1) <= 0.03
    assert line.our_top1 > 0.35
    assert line.restored_same == 1
    assert line.restored_gap < 1e-4
