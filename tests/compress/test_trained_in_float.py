"""A published net whose weights were never rounded, on real images: plain int8 loses a quarter of its answers."""

import numpy as np
import pytest

from pocketvision.compress.compress import DEFAULT_STEPS, compress
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.models import build_spec
from pocketvision.weights import load_into, read


@pytest.mark.slow
def test_fd_mobilenet_keeps_its_answers(shared_data, shared_weights):
    weights = read(shared_weights / "0.25x-FDMobileNet-224.pth.tar")
    net = build_spec(weights.spec)
    load_into(net, weights, keep_head=True)
    graph = trace(net.eval(), weights.image)
    paths = sorted((shared_data / "imagenet-sample").glob("*.jpg"))
    images = np.stack([load(path, weights.image) for path in paths[::2]])
    calibration, judged = images[::5], np.delete(images, np.s_[::5], axis=0)
    exact = run(graph, judged).argmax(axis=1)
    same = {
        steps: (run(compress(graph, calibration, steps=steps).graph, judged).argmax(axis=1) == exact).mean()
        for steps in ((Quantize(),), DEFAULT_STEPS)
    }
    plain, best = same.values()
    assert plain < 0.75
    assert best > 0.84
