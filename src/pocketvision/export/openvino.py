"""A graph as OpenVINO IR: what OpenVINO makes of our ONNX file, stored in its own form.

Two files, `<name>.xml` with the layers and `<name>.bin` with the weights. Weights stay float32 or, of an int8 graph,
the graph's own integers between QuantizeLinear and DequantizeLinear. Nothing is converted by OpenVINO's command-line
converter, which reports its use to its makers.
"""

import tempfile
from pathlib import Path
from typing import Any

from pocketvision.errors import MissingExtra
from pocketvision.export.onnx import to_bytes
from pocketvision.files import write_bytes
from pocketvision.graph.graph import AvgPool, Graph
from pocketvision.graph.lower import average_as_conv
from pocketvision.values import Manifest, to_line


def write(graph: Graph, manifest: Manifest, path: Path) -> int:
    """Write `path`, an .xml, and the weights beside it; return the bytes of both."""
    openvino = _openvino()
    model = openvino.Core().read_model(to_bytes(readable(graph), ends=manifest.ends))
    text = to_line(manifest)
    model.set_rt_info(text, "pocketvision")
    model.set_rt_info("\n".join(manifest.labels), "pocketvision_labels")
    weights = path.with_suffix(".bin")
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, path.name)
        openvino.save_model(model, draft, compress_to_fp16=False)
        write_bytes(weights, draft.with_suffix(".bin").read_bytes())
        write_bytes(path, draft.read_bytes())
    return path.stat().st_size + weights.stat().st_size


def readable(graph: Graph) -> Graph:
    """Return the same net without int8 average pools that count padding.

    OpenVINO's integer kernels were seen to answer wrongly there; a depthwise convolution with equal weights is right.
    """
    if graph.quant is None:
        return graph
    nodes = (
        average_as_conv(node, graph.shapes[node.name][0])
        if isinstance(node, AvgPool) and node.count_padding and any(graph.pads(node))
        else node
        for node in graph.nodes
    )
    return Graph(tuple(nodes), graph.quant)


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("openvino", "openvino") from error
    return openvino
