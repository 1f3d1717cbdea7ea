"""A pruned net of shared weights in the file layout of Deep Compression, its manifest beside it.

No runtime reads such a file; this package reads it back as it reads weights, by what the manifest says of the net.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketvision.errors import GraphError, VerificationFailed
from pocketvision.files import read_json, write_bytes, write_json
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.storage import Shared
from pocketvision.values import Manifest
from pocketvision.weights.deep_compression import CodedLayer, coded, deep_compression_bytes, read_deep_compression
from pocketvision.weights.recognize import slots

NET, SUFFIX = "net", ".net"
"""What the command line calls the layout, and the suffix of its files."""


def write_net(graph: Graph, manifest: Manifest, path: Path) -> int:
    """Write the graph's layers in the order of its net and the manifest beside them; return the file's bytes.

    Raises GraphError for layers without shared weights or others than the net's, VerificationFailed where the file does
    not read back as it was written.
    """
    layers = _layers(graph, manifest)
    content = deep_compression_bytes(layers)
    write_bytes(path, content)
    mean, std = ((one, two, three) for one, two, three in (graph.input.mean, graph.input.std))
    image = replace(manifest.image, mean=mean, std=std)
    write_json(beside(path), replace(manifest, image=image, precision="float"))
    found = read_deep_compression(path, [layer.weight.shape for layer in layers])
    written, read = ([array for layer in each for array in layer] for each in (layers, found))
    if not all(np.array_equal(one, other) for one, other in zip(written, read, strict=True)):
        raise VerificationFailed(f"{path.name} does not read back as it was written; please report this")
    return len(content)


def manifest_beside(path: Path) -> Manifest | None:
    """Return the manifest that was written beside a file, None where there is none."""
    if path.suffix.lower() != SUFFIX or not beside(path).is_file():
        return None
    return read_json(Manifest, beside(path))


def beside(path: Path) -> Path:
    """Return where the manifest of such a file lies."""
    return path.with_suffix(".json")


def _layers(graph: Graph, manifest: Manifest) -> list[CodedLayer]:
    spec = manifest.model
    nodes = {node.name: node for node in graph.nodes if isinstance(node, Conv | Linear)}
    names = [slot.name for slot in slots(spec.name, spec.width, spec.num_classes, spec.groups, spec.depth)]
    if spec.detector is not None or sorted(names) != sorted(nodes):
        raise GraphError(f"the layers of this graph are not those of {spec}, by which the file would be read back")
    if apart := [name for name in names if not isinstance(nodes[name].storage, Shared)]:
        raise GraphError(f"the weights of '{apart[0]}' are not shared; share them first")
    arrays = ((nodes[name].weight.astype(np.float32), nodes[name].bias.astype(np.float32)) for name in names)
    return [coded(*each) for each in arrays]
