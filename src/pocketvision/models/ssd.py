"""Detectors on the nets of the catalogue: SSD, and SSDLite with separable prediction layers.

W. Liu and others, "SSD: Single Shot MultiBox Detector", 2016, https://arxiv.org/abs/1512.02325; SSDLite: Sandler et
al., "MobileNetV2", 2018, section 6.2, https://arxiv.org/abs/1801.04381. What the papers leave open is as in the
detectors that their authors released: which layers are read, depths of the extra maps, norms.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ConvNormAct, Net, Padding, initialize, scale
from pocketvision.models.catalogue import COARSEST
from pocketvision.values import DetectorSpec, ModelSpec

EXTRA_DEPTHS = (512, 256, 256, 128)
"""Channels of the maps behind the backbone's at width 1, each half as fine as the one before."""
NARROWEST = 16
"""Channels that no extra map goes below."""
SPREAD = 0.03
"""Of fresh weights in the prediction layers."""
CODES = 4
"""Numbers that place one box."""


class Rows(nn.Module):
    """Makes rows of `values` numbers out of maps: [N, anchors * values, H, W] -> [N, H * W * anchors, values]."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return the rows in the order line, column, anchor."""
        return batch_nchw.permute(0, 2, 3, 1).reshape(len(batch_nchw), -1, self.values)


class JoinAnswers(nn.Module):
    """Puts an anchor's box code before what is said of its classes: [N, A, 4] and [N, A, K] -> [N, A, 4 + K]."""

    def forward(self, codes: Tensor, logits: Tensor) -> Tensor:
        """Return both side by side."""
        return torch.cat((codes, logits), 2)


class Tap(NamedTuple):
    """Where a map of the backbone is read."""

    layer: int
    """Place in `features`."""
    inside: bool
    """Whether behind the layer's first part, an expansion, instead of behind the whole layer."""
    channels: int


class Separable(nn.Sequential):
    """Depthwise 3x3, then 1x1, each with its norm and ReLU6; `last` is a plain 1x1 convolution with bias."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, padding: Padding, last: bool = False) -> None:
        depthwise = ConvNormAct(inputs, inputs, 3, stride, groups=inputs, padding=padding)
        super().__init__(depthwise, nn.Conv2d(inputs, outputs, 1) if last else ConvNormAct(inputs, outputs, 1))


class SsdHead(nn.Module):
    """Further, coarser maps, and on every map where the boxes are and what is in them."""

    def __init__(self, channels: Sequence[int], spec: ModelSpec) -> None:
        super().__init__()
        assert spec.detector is not None
        maps, lite = spec.detector.maps, spec.detector.head == "ssdlite"
        self.extras = nn.ModuleList()
        every = list(channels)
        for depth, _ in zip(EXTRA_DEPTHS, maps[len(channels) :], strict=False):
            outputs = max(NARROWEST, scale(depth, spec.width))
            self.extras.append(_extra(every[-1], outputs, lite=lite, padding=spec.padding))
            every.append(outputs)
        self.boxes, self.classes = (
            nn.ModuleList(
                _predictor(inputs, len(one.shapes) * values, lite=lite, padding=spec.padding)
                for inputs, one in zip(every, maps, strict=True)
            )
            for values in (CODES, spec.num_classes)
        )
        self.box_rows, self.class_rows = Rows(CODES), Rows(spec.num_classes)
        self.join = JoinAnswers()
        initialize(self)
        for branch in (self.boxes, self.classes):
            for predictor in branch:
                nn.init.trunc_normal_(last_of(predictor).weight, std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map the backbone's maps to [N, A, 4 + K]."""
        every = list(maps)
        for extra in self.extras:
            every.append(extra(every[-1]))
        codes = [self.box_rows(predict(one)) for predict, one in zip(self.boxes, every, strict=True)]
        logits = [self.class_rows(predict(one)) for predict, one in zip(self.classes, every, strict=True)]
        answers: Tensor = self.join(torch.cat(codes, 1), torch.cat(logits, 1))
        return answers


def last_of(predictor: nn.Module) -> nn.Conv2d:
    """Return the convolution with bias that a prediction layer ends in."""
    found = [module for module in predictor.modules() if isinstance(module, nn.Conv2d)][-1]
    assert found.bias is not None
    return found


def _extra(inputs: int, outputs: int, *, lite: bool, padding: Padding) -> nn.Sequential:
    """Build the layers from one map to the next: 1x1 to half the depth, then 3x3 at stride 2."""
    half = outputs // 2
    if lite:
        return nn.Sequential(ConvNormAct(inputs, half, 1), Separable(half, outputs, stride=2, padding=padding))
    return nn.Sequential(ConvNormAct(inputs, half, 1), ConvNormAct(half, outputs, 3, 2, padding=padding))


def _predictor(inputs: int, outputs: int, *, lite: bool, padding: Padding) -> nn.Module:
    return Separable(inputs, outputs, padding=padding, last=True) if lite else nn.Conv2d(inputs, outputs, 1)


class Detector(Net):
    """The layers of a classifier, read at several strides, and prediction layers in place of its own.

    `forward` gives for each anchor the code of its box and a logit a class: [N, A, 4 + K]. `classifier` is all that is
    not the backbone's, of which only what its last map needs is there. Deviates: batch norms as everywhere here
    (epsilon 1e-5, momentum 0.1).
    """

    def __init__(self, net: Net, spec: ModelSpec) -> None:
        super().__init__()
        assert spec.detector is not None
        self.detector = spec.detector
        self.taps = taps(net, spec.detector)
        self.features = _up_to(net.features, self.taps[-1])
        head = SsdHead([tap.channels for tap in self.taps], spec)
        self.classifier = head  # type: ignore[assignment]  # takes several maps, and is no sequence

    def embed(self, batch_nchw: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Return the backbone's maps, the finest first."""
        return self.read(batch_nchw, 0)

    def read(self, maps_nchw: Tensor, start: int) -> tuple[Tensor, ...]:
        """Return the backbone's maps of what its first `start` layers made."""
        found: list[Tensor] = []
        inside = {tap.layer for tap in self.taps if tap.inside}
        behind = {tap.layer for tap in self.taps if not tap.inside}
        for place, layer in enumerate(self.features):
            if place < start:
                continue
            if place in inside:
                for part, inner in enumerate(cast(nn.Sequential, layer.layers)):
                    maps_nchw = inner(maps_nchw)
                    if part == 0:
                        found.append(maps_nchw)
            else:
                maps_nchw = layer(maps_nchw)
            if place in behind:
                found.append(maps_nchw)
        return tuple(found)


def taps(net: Net, detector: DetectorSpec) -> tuple[Tap, ...]:
    """Return where the backbone's maps are read, the finest first.

    Of a stride it is the expansion in the block that leads to the next stride where there is one, as in the V2 paper,
    else the last layer; of the coarsest the last layer of all. Raises UsageError for a stride that the net has not.
    """
    wanted = [one.stride for one in detector.maps if one.stride <= COARSEST]
    stages = {stage.stride: stage for stage in net.stages(256)}
    found = []
    for stride in wanted:
        if stride not in stages:
            raise UsageError(f"the net has no maps at stride {stride}; its strides are {', '.join(map(str, stages))}")
        layer = stages[stride].layer
        behind = net.features[layer + 1] if stride < COARSEST and layer + 1 < len(net.features) else None
        expanded = _expansion(behind) if behind is not None else None
        found.append(Tap(layer, False, stages[stride].channels) if expanded is None else Tap(layer + 1, True, expanded))
    return tuple(found)


def _up_to(features: nn.Sequential, last: Tap) -> nn.Sequential:
    """Return the layers that make a map and those it reads: what comes behind would run for nothing."""
    kept = list(features)[: last.layer + 1]
    if last.inside:
        block = kept[-1]
        block.layers = cast(nn.Sequential, block.layers)[:1]
    return nn.Sequential(*kept)


def _expansion(block: nn.Module) -> int | None:
    """Return the channels that a block expands to, 1x1, before its depthwise convolution; None where it does not."""
    parts = getattr(block, "layers", None)
    if not isinstance(parts, nn.Sequential) or getattr(block, "shortcut", True):
        return None
    first = parts[0]
    if not isinstance(first, ConvNormAct) or first[0].kernel_size != (1, 1) or first[0].stride != (1, 1):
        return None
    return int(first[0].out_channels)  # type: ignore[arg-type]  # a convolution's


def build(net: Net, spec: ModelSpec) -> Detector:
    """Put prediction layers on a net of the catalogue."""
    return Detector(net, spec)
