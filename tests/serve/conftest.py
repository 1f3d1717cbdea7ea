"""A delivered file of published weights, which answers real images, and the demo's page where it was built."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from pocketvision.compress.compress import compress
from pocketvision.compress.half import halved
from pocketvision.export.manifest import make_probes, thumbnails
from pocketvision.files import write_bytes
from pocketvision.graph.graph import Graph
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.models import build_spec
from pocketvision.serve.folder import PAGE
from pocketvision.values import Manifest, Precision
from pocketvision.weights import load_into, read

THRESHOLD = 0.2
WRITERS = {".onnx": "pocketvision.export.onnx", ".tflite": "pocketvision.export.litert"}


@pytest.fixture(scope="session")
def page() -> Path:
    if not (PAGE / "index.html").is_file():
        pytest.skip("the page is not built; run `make web`, which needs Node")
    return PAGE


@pytest.fixture(scope="session")
def sample(shared_data: Path) -> list[Path]:
    """Return 500 real images, the first ones as different as the last."""
    return sorted((shared_data / "imagenet-sample").glob("*.jpg"))


@dataclass(frozen=True)
class Net:
    """A net and what its files say of it."""

    graph: Graph
    plain: Graph
    manifest: Manifest

    def in_precision(self, precision: Precision) -> "Net":
        """Return the net as another precision; its probes' answers change with it."""
        graph = {"float": self.plain, "float16": halved(self.plain), "int8": self.graph}[precision]
        probes = make_probes(graph, self.manifest.image, tuple(probe.png_base64 for probe in self.manifest.probes))
        return replace(self, graph=graph, manifest=replace(self.manifest, precision=precision, probes=probes))

    def deliver(self, run: Path, suffix: str) -> Path:
        """Write the net as `fit` leaves it in a run; return the file."""
        content = importlib.import_module(WRITERS[suffix]).to_bytes(self.graph, self.manifest)
        write_bytes(run / "export" / f"model{suffix}", content)
        return run / "export" / f"model{suffix}"


@pytest.fixture(scope="session")
def net(shared_weights: Path, sample: list[Path]) -> Net:
    """Return MobileNet V1 0.25 at 128 px with its published weights, in 8 bit."""
    weights = read(shared_weights / "mobilenet_v1_0.25_128_quant.tflite")
    image = replace(weights.image, crop_mode="crop", crop_pct=0.875)
    module = build_spec(weights.spec)
    load_into(module, weights, keep_head=True)
    images = np.stack([load(path, image) for path in sample[::10]])
    plain = trace(module.eval(), image)
    graph = compress(plain, images).graph
    manifest = Manifest(
        format_version=1,
        name="imagenet",
        task="classification",
        labels=tuple((shared_weights / "imagenet_labels.txt").read_text(encoding="utf-8").split("\n")[:1001]),
        image=image,
        model=weights.spec,
        precision="int8",
        data_digest="",
        splits={},
        figures={},
        probes=make_probes(graph, image, thumbnails(images[:3])),
        versions={},
        created="2026-11-21T00:00:00+00:00",
        abstain_below=THRESHOLD,
    )
    return Net(graph, plain, manifest)
