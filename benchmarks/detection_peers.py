"""The peer of benchmarks/detection.py: torchvision's SSDLite head, matching, loss and augmentation, built anew.

As torchvision 0.29 describes them: six anchors at every place of six maps, the first of stride 16; a softmax over the
classes and a background; three hard negatives for each positive, by loss; crops by overlap and mirror images. Nothing
here is of the package but the backbone and its weights.
"""

import math
import time
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
EXTRAS = (512, 256, 256, 128)
ANCHORS = 6
STEPS_LEFT = 0.98
"""Share of the time that training may take; the rest is the last step's and the cosine's end."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images in memory and their boxes."""

    pixels: NDArray[np.uint8]
    """[N, R, R, 3]"""
    boxes: list[NDArray[np.float32]]
    """Of each image [G, 5]: label, y1, x1, y2, x2 as shares."""


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Build a convolution, batch norm and ReLU6."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs, eps=0.001, momentum=0.03), nn.ReLU6())


class PeerNet(nn.Module):
    """A backbone of inverted residuals, four extra maps, and heads of a depthwise and a 1x1 convolution."""

    def __init__(self, features: nn.Sequential, tap: int, classes: int, resolution: int) -> None:
        super().__init__()
        self.features, self.tap = features, tap
        self.heads, self.extras = nn.ModuleList(), nn.ModuleList()
        with torch.no_grad():
            channels = [maps.shape[1] for maps in self.maps(torch.zeros(2, 3, resolution, resolution))]
        for depth in EXTRAS:
            half = conv(channels[-1], depth // 2)
            self.extras.append(
                nn.Sequential(half, conv(depth // 2, depth // 2, 3, 2, depth // 2), conv(depth // 2, depth))
            )
            channels.append(depth)
        for count in channels:
            sides = (4 * ANCHORS, (classes + 1) * ANCHORS)
            self.heads.append(
                nn.ModuleList(nn.Sequential(conv(count, count, 3, 1, count), nn.Conv2d(count, out, 1)) for out in sides)
            )
        for module in (*self.extras.modules(), *self.heads.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.03)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def maps(self, batch: Tensor) -> list[Tensor]:
        """Return the maps that the heads read."""
        found: list[Tensor] = []
        for place, layer in enumerate(self.features):
            if place == self.tap:
                inside = cast(nn.Sequential, layer.layers)
                found.append(inside[0](batch))
                batch = inside[1:](found[0])
            else:
                batch = layer(batch)
        found.append(batch)
        for extra in self.extras:
            found.append(extra(found[-1]))
        return found

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes [n, A, 4] and logits [n, A, classes + 1], the background first."""
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        for maps, pair in zip(self.maps(batch), self.heads, strict=True):
            for head, side in zip(cast(nn.ModuleList, pair), sides, strict=True):
                out = head(maps).permute(0, 2, 3, 1)
                side.append(out.reshape(len(batch), -1, out.shape[3] // ANCHORS))
        return torch.cat(sides[0], 1), torch.cat(sides[1], 1)


def default_boxes(grids: list[int]) -> Tensor:
    """Return [A, 4] center x, y, width, height."""
    found = []
    for grid, scale, following in zip(grids, SCALES, SCALES[1:], strict=False):
        sizes = [(scale, scale), (math.sqrt(scale * following),) * 2]
        for ratio in (2.0, 3.0):
            wide, tall = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            sizes += [(wide, tall), (tall, wide)]
        centers = (torch.arange(grid) + 0.5) / grid
        y, x = torch.meshgrid(centers, centers, indexing="ij")
        places = torch.stack([x.flatten(), y.flatten()], 1)[:, None].expand(-1, ANCHORS, -1)
        found.append(
            torch.cat([places, torch.tensor(sizes).clamp(max=1).expand(grid * grid, -1, -1)], 2).reshape(-1, 4)
        )
    return torch.cat(found)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of corner boxes [A, 4] and [G, 4]."""
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    return shared / ((first[:, 2:] - first[:, :2]).prod(1)[:, None] + (second[:, 2:] - second[:, :2]).prod(1) - shared)


def edges(boxes: Tensor) -> Tensor:
    """Return corners x1, y1, x2, y2 of center boxes."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)


def loss_of(codes: Tensor, logits: Tensor, anchors: Tensor, targets: list[Tensor]) -> Tensor:
    """Return smooth-L1 of matched codes and cross-entropy with three hard negatives for each, over the matched."""
    wanted, moved = torch.zeros(logits.shape[:2], dtype=torch.long), torch.zeros(())
    for place, boxes in enumerate(targets):
        if not len(boxes):
            continue
        overlaps = overlap(edges(anchors), boxes[:, 1:])
        best, which = overlaps.max(1)
        own = overlaps.argmax(0)
        best[own], which[own] = 1.0, torch.arange(len(boxes))
        here = best >= 0.5
        wanted[place, here] = boxes[which[here], 0].long() + 1
        near, box = anchors[here], boxes[which[here], 1:]
        shift = ((box[:, :2] + box[:, 2:]) / 2 - near[:, :2]) / near[:, 2:] * 10
        size = ((box[:, 2:] - box[:, :2]) / near[:, 2:]).log() * 5
        moved = moved + functional.smooth_l1_loss(codes[place, here], torch.cat([shift, size], 1), reduction="sum")
    losses = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)
    positive = wanted > 0
    hard = losses.detach().masked_fill(positive, -1.0).argsort(1, descending=True).argsort(1)
    counted = positive | (hard < 3 * positive.sum(1, keepdim=True))
    total: Tensor = (moved + losses[counted].sum()) / positive.sum().clamp(min=1)
    return total


def cropped(pixels: NDArray[np.uint8], boxes: NDArray[np.float32], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Crop by overlap, as SSD's authors do, resize, and mirror every second image; boxes come as x1, y1, x2, y2."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    label, corners = boxes[:, :1], boxes[:, [2, 1, 4, 3]]
    side = pixels.shape[0]
    least = (None, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9)[rng.integers(7)]
    for _ in range(40 if least is not None and len(boxes) else 0):
        wide, tall = rng.uniform(0.3, 1, 2)
        if not 0.5 <= wide / tall <= 2:
            continue
        left, top = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - tall)
        window = np.array([left, top, left + wide, top + tall], np.float32)
        middle = (corners[:, :2] + corners[:, 2:]) / 2
        inside = ((middle > window[:2]) & (middle < window[2:])).all(1)
        if (
            least is None
            or not inside.any()
            or overlap(torch.tensor(corners[inside]), torch.tensor(window[None])).max() < least
        ):
            continue
        x1, y1, x2, y2 = (round(float(value) * side) for value in window)
        image = functional.interpolate(image[..., y1:y2, x1:x2], (side, side), mode="bilinear", align_corners=False)
        kept = np.clip(corners[inside], np.tile(window[:2], 2), np.tile(window[2:], 2))
        corners, label = (kept - np.tile(window[:2], 2)) / np.tile([wide, tall], 2), label[inside]
        break
    if rng.random() < 0.5:
        image, corners = (
            image.flip(3),
            np.stack([1 - corners[:, 2], corners[:, 1], 1 - corners[:, 0], corners[:, 3]], 1),
        )
    return image, torch.from_numpy(np.concatenate([label, corners], 1).astype(np.float32))


@dataclass(eq=False)
class Peer:
    """Trains for a given CPU time, which another program on the machine changes little, and detects."""

    net: PeerNet
    resolution: int
    batch: int = 8
    rate: float = 0.15 * 8 / 192
    """Torchvision's rate at its batch of 192, scaled to ours."""
    steps: int = 0
    anchors: Tensor = field(init=False)

    def __post_init__(self) -> None:
        with torch.no_grad():
            maps = self.net.eval().maps(torch.zeros(1, 3, self.resolution, self.resolution))
        self.anchors = default_boxes([found.shape[2] for found in maps])

    def train(self, scenes: Scenes, seconds: float, *, seed: int) -> None:
        """Take steps of SGD with a cosine rate, by the CPU time that is over, and a warm-up in its first tenth."""
        rng, started = np.random.default_rng(seed), time.process_time()
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.0, momentum=0.9, weight_decay=4e-5)
        self.net.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        while (over := (time.process_time() - started) / (STEPS_LEFT * seconds)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = self.rate * min(1.0, over * 10 + 0.01) * 0.5 * (1 + math.cos(math.pi * over))
            chosen = rng.integers(0, len(scenes.pixels), self.batch)
            views = [cropped(scenes.pixels[place], scenes.boxes[place], rng) for place in chosen]
            batch = torch.cat([view for view, _ in views]).div(127.5).sub(1)
            optimizer.zero_grad()
            codes, logits = self.net(batch.contiguous(memory_format=torch.channels_last))
            loss_of(codes, logits, self.anchors, [boxes for _, boxes in views]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            self.steps += 1

    @torch.no_grad()
    def detect(self, pixels: NDArray[np.uint8], most: int = 100) -> NDArray[np.float32]:
        """Return [N, most, 6]: y1, x1, y2, x2, class, score; suppressed at .55 per class, as torchvision does."""
        self.net.eval()
        found = np.zeros((len(pixels), most, 6), np.float32)
        for place, image in enumerate(pixels):
            batch = torch.from_numpy(image).permute(2, 0, 1)[None].float().div(127.5).sub(1)
            codes, logits = (out[0] for out in self.net(batch))
            size = (codes[:, 2:] / 5).clamp(max=math.log(1000 / 16)).exp() * self.anchors[:, 2:]
            center = codes[:, :2] / 10 * self.anchors[:, 2:] + self.anchors[:, :2]
            boxes = edges(torch.cat([center, size], 1)).clamp(0, 1)
            rows = []
            for label, score in enumerate(logits.softmax(1)[:, 1:].T):
                kept = suppressed(boxes, score)
                labels = torch.full((len(kept), 1), float(label))
                rows.append(torch.cat([boxes[kept][:, [1, 0, 3, 2]], labels, score[kept][:, None]], 1))
            every = torch.cat(rows)
            every = every[every[:, 5].argsort(descending=True)[:most]]
            found[place, : len(every)] = every
        return found


def suppressed(boxes: Tensor, scores: Tensor) -> Tensor:
    """Return the places of boxes that no better one overlaps by more than .55, of the 300 best above .001."""
    order = scores.argsort(descending=True)[:300]
    order = order[scores[order] > 0.001]
    overlaps = overlap(boxes[order], boxes[order]) > 0.55
    kept: list[int] = []
    for place in range(len(order)):
        if not kept or not overlaps[place, kept].any():
            kept.append(place)
    return order[kept]
