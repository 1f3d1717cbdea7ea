"""A delivered file of published weights, which answers real pictures, and the demo's page where it was built."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvision.compress.compress import compress
from pocketvision.export.manifest import make_probes, thumbnails
from pocketvision.export.onnx import write
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.models import build_spec
from pocketvision.serve.folder import PAGE
from pocketvision.values import Manifest
from pocketvision.weights import load_into, read

THRESHOLD = 0.2


@pytest.fixture(scope="session")
def page() -> Path:
    if not (PAGE / "index.html").is_file():
        pytest.skip("the page is not built; run `make web`, which needs Node")
    return PAGE


@pytest.fixture(scope="session")
def sample(shared_data: Path) -> list[Path]:
    """Return 500 real pictures, the first ones as different as the last."""
    return sorted((shared_data / "imagenet-sample").glob("*.jpg"))


@pytest.fixture(scope="session")
def delivered(shared_weights: Path, sample: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write MobileNet V1 0.25 at 128 px with its published weights, int8, as `fit` leaves a run."""
    weights = read(shared_weights / "mobilenet_v1_0.25_128_quant.tflite")
    image = replace(weights.image, crop_mode="crop", crop_pct=0.875)
    net = build_spec(weights.spec)
    load_into(net, weights, keep_head=True)
    pictures = np.stack([load(path, image) for path in sample[::10]])
    graph = compress(trace(net.eval(), image), pictures).graph
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
        probes=make_probes(graph, image, thumbnails(pictures[:3])),
        versions={},
        created="2026-11-21T00:00:00+00:00",
        abstain_below=THRESHOLD,
    )
    run = tmp_path_factory.mktemp("run")
    (run / "export").mkdir()
    write(graph, manifest, run / "export" / "model.onnx")
    return run
