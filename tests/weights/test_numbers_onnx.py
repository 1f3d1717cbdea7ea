"""Numbers that are not finite in ONNX files of our own."""

import numpy as np
import pytest

from pocketvision.errors import WeightsError
from pocketvision.models import build_spec
from pocketvision.values import ImageSpec, ModelSpec

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_our_own_onnx_files_with_odd_numbers(tmp_path, value):
    from pocketvision.export.manifest import manifest_of_file
    from pocketvision.export.onnx import to_bytes
    from pocketvision.graph.trace import trace
    from pocketvision.weights.onnx_file import read_own_onnx

    spec, image = ModelSpec("mobilenet_v1", 0.125, 32, 2), ImageSpec(32)
    content = to_bytes(trace(build_spec(spec).eval(), image), manifest_of_file(spec, image, ("a", "b")))
    model = onnx.load_model_from_string(content)
    weight = next(item for item in model.graph.initializer if len(item.dims) == 4)
    numbers = onnx.numpy_helper.to_array(weight).copy()
    numbers.flat[3] = value
    weight.CopyFrom(onnx.numpy_helper.from_array(numbers, weight.name))
    path = tmp_path / "a.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=r"a\.onnx: '.*' holds values that are not finite numbers"):
        read_own_onnx(path)
