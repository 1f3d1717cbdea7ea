"""Narrower nets from wider trained ones: the channels that matter most are kept, the others' part is made up for."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pocketvision.compress.channels import ChannelPlace, Channels, kept
from pocketvision.errors import WeightsError
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build_spec
from pocketvision.progress import Progress, Silent
from pocketvision.values import ModelSpec
from pocketvision.weights.depth import shortened
from pocketvision.weights.load import Weights, load_into
from pocketvision.weights.norms import norms_after, restore_batch_norms

Reader = nn.Conv2d | nn.Linear
RIDGE = 1e-2
"""Share of the mean variance added to every channel's, so that few images do not give wild weights."""


@dataclass(eq=False)
class _Read:
    """What a layer reads: mean and covariance of its input channels over all images and places."""

    near: Tensor
    """The first batch's mean: taken off before squaring, so that a small variance beside a large mean keeps digits."""
    count: int
    total: Tensor
    products: Tensor

    @property
    def mean(self) -> Tensor:
        return self.near.double() + self.total / self.count

    @property
    def covariance(self) -> Tensor:
        off = self.total / self.count
        return self.products / self.count - torch.outer(off, off)

    def add(self, values: Tensor) -> None:
        flat = values.movedim(1, -1).reshape(-1, values.shape[1]) - self.near
        self.count += len(flat)
        self.total += flat.sum(0).double()
        self.products += (flat.T @ flat).double()


def sliced(weights: Weights, spec: ModelSpec, batches: Sequence[Tensor], *, progress: Progress = Silent()) -> Weights:
    """Return weights for a narrower or shallower net of the same family; of the same width, all that is kept stays.

    `batches` are normalized images [N, C, R, R], some hundred of them, at the resolution of `spec`; of the narrow
    net's own batch norms they give the statistics. Raises UsageError where the family cannot be cut, or is another.
    """
    if (weights.spec.name, weights.spec.width) == (spec.name, spec.width):
        return shortened(weights, spec.depth)
    if weights.spec.name != spec.name:
        raise WeightsError(f"a {spec.name} cannot be cut out of a {weights.spec.name}; give weights of a {spec.name}")
    wide = build_spec(weights.spec)
    load_into(wide, weights, keep_head=weights.has_head)
    if weights.folded:
        restore_batch_norms(wide, batches)
    asked = replace(weights.spec, width=spec.width, resolution=spec.resolution)
    narrow = build_spec(asked)
    slice_net(narrow, wide, batches, name=spec.name)
    recalibrate(narrow, batches)
    progress.say(f"{spec.dials} cut out of the weights of width {weights.spec.width:g}")
    tensors = {key: value.detach().cpu().numpy() for key, value in narrow.state_dict().items()}
    # The layers behind the last one kept have told which of its channels matter.
    return shortened(replace(weights, spec=asked, folded=False, tensors=tensors, levels=None), spec.depth)


def slice_net(narrow: Net, wide: Net, batches: Iterable[Tensor], *, name: str) -> None:
    """Fill a narrow net with the channels of a wide one that carry most to the layers behind them.

    What the cut channels gave is taken over by the kept ones as far as these predict it (least squares over the
    images), for 1x1 convolutions and linear layers; for others the mean of it moves into the bias.
    """
    parts, fewer = Channels(wide, name), Channels(narrow, name)
    read = _inputs(wide, batches)
    chosen = kept(parts, fewer, importance(wide, parts, read), name)
    layers = dict(wide.named_modules())
    with torch.no_grad():
        for layer, module in narrow.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                _take_norm(module, layers[layer], chosen[ChannelPlace(layer, "out")])
                module.eps = layers[layer].eps
            elif isinstance(module, nn.Conv2d | nn.Linear):
                _take_layer(module, layers[layer], layer, chosen)
        _make_up(narrow, layers, chosen, read)


def importance(net: Net, channels: Channels, read: dict[str, _Read]) -> dict[int, float]:
    """Score tied channels: their share of the variance of what each layer behind them sums up, added over layers."""
    scores: dict[int, float] = defaultdict(float)
    layers = dict(net.named_modules())
    for layer, seen in read.items():
        weight = layers[layer].weight.detach().double()
        carried = seen.covariance.diagonal().clamp(min=0) * _taps(weight.square()).sum(0)
        share = (carried / carried.sum().clamp(min=1e-30)).tolist()
        for channel, part in zip(channels.places[ChannelPlace(layer, "in")], share, strict=True):
            scores[channels.set_of(channel)] += part
    return scores


@torch.no_grad()
def recalibrate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give batch norms the mean and variance that they meet on these images, as is needed after a cut.

    `batches` are normalized images [N, C, R, R]; the bigger a batch, the better the estimate.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momentum, training = [norm.momentum for norm in norms], net.training
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    where = next(net.parameters()).device
    for batch in batches:
        net(batch.to(where))
    for norm, value in zip(norms, momentum, strict=True):
        norm.momentum = value
    net.train(training)


@torch.no_grad()
def _inputs(net: Net, batches: Iterable[Tensor]) -> dict[str, _Read]:
    """Measure what every layer that mixes channels reads."""
    found: dict[str, _Read] = {}

    def watch(name: str, values: Tensor) -> None:
        if name not in found:
            near = values.movedim(1, -1).flatten(0, -2).mean(0)
            empty = torch.zeros(len(near), len(near), dtype=torch.float64, device=near.device)
            found[name] = _Read(near, 0, empty[0].clone(), empty)
        found[name].add(values)

    training = net.training
    net.eval()
    with ExitStack() as hooks:
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and _mixes(module):
                hook = module.register_forward_pre_hook(lambda _, args, name=name: watch(name, args[0]))
                hooks.callback(hook.remove)
        for batch in batches:
            net(batch.to(next(net.parameters()).device))
    net.train(training)
    return found


def _mixes(module: Reader) -> bool:
    return not isinstance(module, nn.Conv2d) or module.groups == 1


def _take_norm(norm: nn.BatchNorm2d, wide: nn.Module, chosen: list[int]) -> None:
    state = wide.state_dict()
    norm.load_state_dict({key: value[chosen] if value.ndim else value for key, value in state.items()})


def _take_layer(module: Reader, wide: nn.Module, name: str, chosen: dict[ChannelPlace, list[int]]) -> None:
    weight: Tensor = wide.weight  # type: ignore[assignment]
    groups = module.groups if isinstance(module, nn.Conv2d) and ChannelPlace(name, "in") in chosen else 1
    parts = []
    for group in range(groups):
        rows = torch.tensor(chosen[ChannelPlace(name, "out", group)]) + group * (len(weight) // groups)
        part = weight[rows]
        parts.append(part[:, chosen[ChannelPlace(name, "in", group)]] if ChannelPlace(name, "in") in chosen else part)
        if module.bias is not None:
            each = len(module.bias) // groups
            module.bias[group * each : (group + 1) * each] = wide.bias[rows]  # type: ignore[index]
    module.weight.copy_(torch.cat(parts))


def _make_up(
    narrow: Net, layers: dict[str, nn.Module], chosen: dict[ChannelPlace, list[int]], read: dict[str, _Read]
) -> None:
    """Let the kept channels, and the bias, stand in for the cut ones."""
    norms = {conv: norm for conv, _, norm in norms_after(narrow)}
    modules = dict(narrow.named_modules())
    for name, seen in read.items():
        columns, rows = chosen[ChannelPlace(name, "in")], chosen[ChannelPlace(name, "out")]
        if len(columns) == len(seen.total):
            continue
        module = modules[name]
        assert isinstance(module, nn.Conv2d | nn.Linear)
        before: Tensor = layers[name].weight[rows].double()  # type: ignore[index]
        if before.flatten(1).shape[1] == len(seen.total):
            module.weight.copy_(_predicted(before.flatten(1), seen, columns).view_as(module.weight))
        lost = _taps(before) @ seen.mean - _taps(module.weight.double()) @ seen.mean[columns]
        if module.bias is not None:
            module.bias += lost
        elif name in norms:
            norms[name].running_mean -= lost  # type: ignore[operator]


def _taps(weight: Tensor) -> Tensor:
    """Sum a kernel's places: [O, I, h, w] -> [O, I]; a linear layer's weight stays."""
    return weight.flatten(2).sum(2) if weight.ndim > 2 else weight


def _predicted(weight: Tensor, seen: _Read, columns: list[int]) -> Tensor:
    """Return the weights of the kept channels whose sum comes nearest to the whole sum over all images."""
    covariance = seen.covariance
    rest = [index for index in range(len(covariance)) if index not in set(columns)]
    inner = covariance[columns][:, columns]
    ridge = RIDGE * inner.diagonal().mean().clamp(min=1e-12) * torch.eye(len(columns), dtype=inner.dtype)
    more: Tensor = torch.linalg.solve(inner + ridge, covariance[columns][:, rest] @ weight[:, rest].T).T
    return weight[:, columns] + more
