"""A toy that needs no training: images in one of three colors, and a hand-made net that tells them apart."""

import base64
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.cost.count import count
from pocketvision.data.check import load_dataset
from pocketvision.export.onnx import write
from pocketvision.files import write_json
from pocketvision.graph.graph import Conv, GlobalAvgPool, Graph, Input, Linear, Node, Softmax
from pocketvision.graph.run import run
from pocketvision.images.prepare import load
from pocketvision.metrics.accuracy import accuracy
from pocketvision.values import Dataset, ImageSpec, Manifest, ModelSpec, Probe

SIDE = 16
LABELS = ("blue", "green", "red")
COLORS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (210, 50, 40)}
RULE = {"seed": 0, "val": 0.2, "test": 0.3}


@dataclass(frozen=True)
class Toy:
    """A data set, a net, and the run's folder with what `fit` would leave there."""

    data: Path
    dataset: Dataset
    graph: Graph
    manifest: Manifest
    file: Path

    def deliver(self, folder: Path, *, graph: Graph | None = None, manifest: Manifest | None = None) -> Path:
        """Write another file, with the same things beside it."""
        path = folder / "export" / "model.onnx"
        path.parent.mkdir(parents=True)
        write(graph or self.graph, manifest or self.manifest, path)
        for name in ("trained_outputs.npz", "cost.json"):
            (path.parent / name).write_bytes(self.file.with_name(name).read_bytes())
        return path

    def with_linear(self, weight: np.ndarray) -> Graph:
        """Return the net with other weights in its last layer."""
        nodes: list[Node] = [
            replace(node, weight=weight) if isinstance(node, Linear) else node for node in self.graph.nodes
        ]
        return Graph(tuple(nodes))


def draw(label: str, number: int) -> np.ndarray:
    """Draw one noisy image of a color; sizes differ."""
    rng = np.random.default_rng([number, LABELS.index(label)])
    height, width = rng.integers(12, 40, 2)
    noise = rng.normal(0, 40, (height, width, 3))
    return np.clip(np.array(COLORS[label]) + noise, 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def color_graph(side: int = SIDE) -> Graph:
    """Build a net whose outputs are the mean blue, green and red, made sharper."""
    to_bgr = np.eye(3, dtype=np.float32)[::-1]
    conv = to_bgr.reshape(3, 3, 1, 1).copy()
    zeros = np.zeros(3, np.float32)
    return Graph(
        (
            Input("image", (), side, (0.5, 0.4, 0.3), (0.5, 0.5, 0.25)),
            Conv("conv", ("image",), conv, zeros, (1, 1), (0, 0, 0, 0), 1, "relu", 12),
            GlobalAvgPool("pool", ("conv",)),
            Linear("linear", ("pool",), 3 * np.eye(3, dtype=np.float32), zeros, "none", 12),
            Softmax("probabilities", ("linear",)),
        )
    )


def describe(graph: Graph, digest: str) -> Manifest:
    """Describe the net, with three probes and their expected answers."""
    entry = graph.input
    spec = ImageSpec(entry.resolution, mean=entry.mean, std=entry.std)
    images = [png(draw(label, 1000)) for label in LABELS]
    answers = run(graph, np.stack([load(image, spec) for image in images]))
    probes = tuple(
        Probe(base64.b64encode(image).decode(), tuple(float(value) for value in row))
        for image, row in zip(images, answers, strict=True)
    )
    return Manifest(
        format_version=1,
        name="toy",
        task="classify",
        labels=LABELS,
        image=spec,
        model=ModelSpec("toy", resolution=entry.resolution, num_classes=len(LABELS)),
        precision="float",
        data_digest=digest,
        splits=RULE,
        figures={},
        probes=probes,
        versions={},
        created="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    data = tmp_path_factory.mktemp("data")
    for label in LABELS:
        (data / label).mkdir()
        for number in range(24):
            (data / label / f"{number}.png").write_bytes(png(draw(label, number)))
    dataset, health, _ = load_dataset(data, val=RULE["val"], test=RULE["test"], seed=int(RULE["seed"]))
    graph = color_graph()
    manifest = describe(graph, health.digest)
    file = tmp_path_factory.mktemp("run") / "export" / "model.onnx"
    probabilities = deliver_outputs(file, graph=graph, manifest=manifest, dataset=dataset)
    truth = np.array([example.target for example in dataset.of("test")])
    manifest = replace(manifest, figures={"test": accuracy(probabilities, truth)})
    write(graph, manifest, file)
    return Toy(data, dataset, graph, manifest, file)


def deliver_outputs(file: Path, *, graph: Graph, manifest: Manifest, dataset: Dataset) -> np.ndarray:
    """Write what the trained net said of the test images, and the net's counts, beside the file."""
    file.parent.mkdir()
    examples = dataset.of("test")
    probabilities = run(graph, np.stack([load(dataset.path(example), manifest.image) for example in examples]))
    np.savez(
        file.with_name("trained_outputs.npz"),
        files=np.array([example.file for example in examples]),
        probabilities=probabilities,
    )
    write_json(file.with_name("cost.json"), count(graph))
    return probabilities
