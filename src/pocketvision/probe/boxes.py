"""What a frozen backbone tells of things in images: its maps computed once, prediction layers learned on them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.data.tensors import eval_batches, to_input
from pocketvision.models.catalogue import build_spec
from pocketvision.models.ssd import Detector, SsdHead
from pocketvision.tasks import learning, load, spec_for_net
from pocketvision.values import ImageSpec, ModelSpec, Score, TaskSpec
from pocketvision.weights.load import Weights, load_into

PASSES, BATCH, RATE = 16, 16, 0.01
"""Over all maps, by AdamW with a cosine: some hundred steps."""
SEED = 0
_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class BoxImages:
    """Prepared images and their boxes."""

    pixels: NDArray[np.uint8]
    """[N, R, R, 3]."""
    targets: NDArray[Any]
    """[N, G, 7], as the task says."""


@dataclass(frozen=True, eq=False)
class _Shown:
    """A batch as the loss needs it."""

    targets: Tensor


def frozen_score(
    weights: Weights, spec: ModelSpec, image: ImageSpec, shown: tuple[BoxImages, BoxImages], task: TaskSpec
) -> Score:
    """Return the AP50 on the second images of prediction layers that learned the first ones' boxes in seconds.

    The layers read frozen maps of the backbone of `weights`, one view an image, by one 1x1 convolution each: a
    detector of `spec` trained whole reaches more, but of two nets mostly the same one.
    """
    train, judged = shown
    asked = spec_for_net(task, spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net = build_spec(spec)
        assert isinstance(net, Detector)
        load_into(net, weights, keep_head=False)
        plain = replace(spec, detector=replace(net.detector, head="ssd"))
        head = SsdHead([tap.channels for tap in net.taps], plain)
        learning(task.name).start_head(head, train.targets.astype(np.int64))
        maps = _maps(net.eval(), train.pixels, image)
        _learn(head, maps, train.targets, asked)
    logits = _answers(head.eval(), _maps(net, judged.pixels, image))
    answers = load(task.name)
    return answers.score(answers.probabilities(logits, asked), judged.targets.astype(np.float32), asked)


@torch.no_grad()
def _maps(net: Detector, pixels: NDArray[np.uint8], image: ImageSpec) -> tuple[Tensor, ...]:
    """Return the backbone's maps of all images in half precision, the finest first."""
    parts = eval_batches(len(pixels), image.resolution, _CPU)
    found = [[one.half() for one in net.embed(to_input(pixels[part], image, _CPU))] for part in parts]
    return tuple(torch.cat(same) for same in zip(*found, strict=True))


def _learn(head: SsdHead, maps: tuple[Tensor, ...], boxes: NDArray[Any], task: TaskSpec) -> None:
    loss, _ = learning(task.name).objective(boxes, len(task.labels), task, balance="none", smoothing=0.0)
    targets = torch.from_numpy(boxes.astype(np.float32))
    steps = PASSES * math.ceil(len(targets) / BATCH)
    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    head.train()
    for chosen in _batches(len(targets)):
        optimizer.zero_grad()
        loss(head([one[chosen].float() for one in maps]), _Shown(targets[chosen])).backward()
        nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimizer.step()
        schedule.step()


def _batches(count: int) -> Iterator[Tensor]:
    order = torch.Generator().manual_seed(SEED)
    for _ in range(PASSES):
        shuffled = torch.randperm(count, generator=order)
        yield from (shuffled[start : start + BATCH] for start in range(0, count, BATCH))


@torch.no_grad()
def _answers(head: SsdHead, maps: tuple[Tensor, ...]) -> NDArray[np.float32]:
    parts = [slice(start, start + BATCH) for start in range(0, len(maps[0]), BATCH)]
    return torch.cat([head([one[part].float() for one in maps]) for part in parts]).numpy()
