"""A small detector with six maps whose scores spread, so that some of its boxes overlap and most are below 0.3."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.graph.graph import Graph
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build_spec
from pocketvision.models.ssd import last_of
from pocketvision.tasks import load, spec_for_net
from pocketvision.values import AnchorMap, DetectorSpec, ImageSpec, ModelSpec, TaskSpec

SIDE, LABELS = 96, ("ring", "Würfel", "star, red")
SHAPES = ((0.2, 0.25), (0.3, 0.15), (0.25, 0.35), (0.5, 0.6), (0.7, 0.5), (0.95, 0.9))
MAPS = tuple(
    AnchorMap(16 * 2**place, (shape, (shape[0], shape[1] * 0.8)) if place else (shape,))
    for place, shape in enumerate(SHAPES)
)
MODEL = ModelSpec("mobilenet_v1", 0.25, SIDE, len(LABELS), detector=DetectorSpec(MAPS))
IMAGE = ImageSpec(SIDE)
TASK = spec_for_net(TaskSpec("detect", LABELS, (0.3,) * len(LABELS)), MODEL)


def images() -> np.ndarray:
    """Return coarse noise, plain black and white, and fine noise, uint8 [6, 96, 96, 3]."""
    plain = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 255)])
    return np.concatenate(
        [_coarse(3, 0), plain, np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)]
    )


def _coarse(count: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return noise.repeat(12, axis=1).repeat(12, axis=2)


def detector() -> Graph:
    """Return the float graph."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = build_spec(MODEL)
        batch = torch.from_numpy(_coarse(32, 1)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            net.train()(batch)
            head = net.eval().classifier
            for branch, values, spread in ((head.boxes, slice(4), 1.5), (head.classes, slice(4, None), 1.0)):
                factor = spread / net(batch)[..., values].std()
                for predictor in branch:
                    last_of(predictor).weight.mul_(factor)
            for predictor in head.classes:
                last_of(predictor).bias.sub_(3.2)
    return trace(net.eval(), IMAGE, load("detect").ending(TASK))


def quantized(graph: Graph) -> Graph:
    """Return the graph in integers."""
    return quantize(graph, calibrate(graph, np.concatenate([images(), _coarse(12, 2)])))


def scenes(folder: Path, count: int = 30) -> Path:
    """Write noise with two rectangles an image, and a table of their boxes; return the folder."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for number in range(count):
        pixels = rng.integers(100, 156, (SIDE, SIDE, 3)).astype(np.uint8)
        for left in (0, SIDE // 2):
            tall, wide = rng.integers(24, 40, 2)
            y, x, label = rng.integers(0, SIDE - tall), left + rng.integers(0, SIDE // 2 - wide), rng.integers(0, 3)
            pixels[y : y + tall, x : x + wide] = (20, 240, 128)[label]
            rows.append(f"{number}.png,{SIDE},{SIDE},{LABELS[label].split(',')[0]},{x},{y},{x + wide},{y + tall}")
        Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=1)
    (folder / "boxes.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder
