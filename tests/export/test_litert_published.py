"""The golden test of the LiteRT writer: a published file, written anew from its own whole numbers, answers bit for bit
as the original."""

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from pocketvision.compress.published import as_published
from pocketvision.export.litert import to_bytes
from pocketvision.graph.graph import Conv, GlobalAvgPool, Graph
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.models import build_spec
from pocketvision.weights import load_into, read

FILE = "tf2_mobilenet_v2_1.0_224_ptq.tflite"


@pytest.fixture(scope="module")
def rewritten(shared_weights):
    weights = read(shared_weights / FILE)
    net = build_spec(weights.spec)
    load_into(net, weights, keep_head=True)
    return as_published(trace(net.eval(), weights.image), weights.levels), weights.image


@pytest.fixture(scope="module")
def photos(shared_data, rewritten):
    files = sorted(path for path in (shared_data / "imagenet-sample").rglob("*") if path.suffix.lower() == ".jpg")[:40]
    assert len(files) == 40
    return np.stack([load(path.read_bytes(), rewritten[1]) for path in files])


def answers(content, images, resolver, tensor=None):
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=resolver,
        experimental_preserve_all_tensors=tensor is not None,
    )
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]
    out = interpreter.get_output_details()[0]["index"] if tensor is None else tensor(interpreter)
    found = []
    for image in images:
        interpreter.set_tensor(place, image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(out)[0].copy())
    return np.stack(found)


def logits_of(interpreter):
    """Return the place of the softmax's input, which XNNPACK leaves to the runtime and so can be read."""
    return next(int(o["inputs"][0]) for o in interpreter._get_ops_details() if o["op_name"] == "SOFTMAX")


def as_convolution(graph):
    """Write the classifier as the original does; the reference kernels round a fully connected layer otherwise."""
    nodes = [replace(node, keep=True) if isinstance(node, GlobalAvgPool) else node for node in graph.nodes[:-1]]
    last = nodes.pop()
    weight = last.weight[:, :, None, None]
    window = {"stride": (1, 1), "padding": (0, 0, 0, 0), "groups": 1, "weight_scale": last.weight_scale}
    nodes.append(Conv(last.name, last.inputs, weight, last.bias, activation="none", learned=last.learned, **window))
    return Graph(tuple(nodes), graph.quant)


@pytest.mark.filterwarnings("ignore:.*preserve_all_tensors")
@pytest.mark.parametrize(("resolver", "count"), [("AUTO", 40), ("BUILTIN_REF", 2)])
def test_a_published_file_is_written_anew_bit_for_bit(resolver, count, rewritten, photos, shared_weights):
    graph, kind = rewritten[0], OpResolverType[resolver]
    original = (shared_weights / FILE).read_bytes()
    quant = graph.quant[graph.nodes[-1].inputs[0]]
    expected = answers(original, photos[:count], kind, logits_of).astype(np.int32)
    real = answers(to_bytes(as_convolution(graph)), photos[:count], kind).reshape(count, -1)
    found = np.rint(real / np.float32(quant.scale)).astype(np.int32) + quant.zero_point - 128
    assert expected.std() > 5
    assert len(np.unique(expected.argmax(axis=1))) > count // 4
    np.testing.assert_array_equal(found, expected)


def test_probabilities_are_those_of_the_original(rewritten, photos, shared_weights):
    original = answers((shared_weights / FILE).read_bytes(), photos, OpResolverType.AUTO)
    found = answers(to_bytes(rewritten[0]), photos, OpResolverType.AUTO)
    # The original rounds them to 1/256, ours stay real.
    np.testing.assert_allclose(found, original / 256, atol=0.5 / 256 + 1e-6)
