"""Which channels of a net belong together: each is followed from the layers that make it to those that read it."""

import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import fx, nn

from pocketvision.compress.ties import Ties
from pocketvision.errors import UsageError
from pocketvision.graph.layers import LEAVES
from pocketvision.models.blocks import ChannelShuffle, ChannelSlice

_TIES = {operator.add, operator.iadd, torch.add, operator.mul, operator.imul, torch.mul, torch.multiply}
"""Sums and products: what meets there must be cut together."""
_LAYERS = nn.Conv2d | nn.Linear | nn.BatchNorm2d
_MIXERS = (nn.LocalResponseNorm,)
"""Layers in which a channel's place among its neighbors counts."""


class ChannelPlace(NamedTuple):
    """One side of a layer; a grouped convolution has a place for each of its groups."""

    layer: str
    side: Literal["in", "out"]
    group: int = 0


Where = tuple[tuple[ChannelPlace, int], ...]
"""The places where a set of tied channels stands, with how often; the same set in a narrower net has the same."""


class Channels:
    """The channels of a net, as sets that can only be kept or cut together."""

    def __init__(self, net: nn.Module, name: str) -> None:
        self.places: dict[ChannelPlace, list[int]] = defaultdict(list)
        """The channels at each place, in the order of the layer's weights."""
        self._name = name
        self._modules = dict(net.named_modules())
        self._ties = Ties()
        self._values: dict[fx.Node, list[int]] = {}
        inputs = next(module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d))
        for step in _Tracer().trace(net).nodes:
            if step.op == "placeholder":
                self._values[step] = self._ties.new(inputs)
            elif step.op == "call_module":
                self._values[step] = self._module(str(step.target), self._read(step))
            elif step.op in ("call_function", "call_method"):
                self._values[step] = self._function(step)

    def set_of(self, channel: int) -> int:
        """Return the channel that stands for all that are tied to this one."""
        return self._ties.root(channel)

    def sets(self) -> dict[Where, list[int]]:
        """List the sets by where they stand, each list in the order in which the net makes them."""
        counts: dict[int, dict[ChannelPlace, int]] = defaultdict(lambda: defaultdict(int))
        for place, channels in self.places.items():
            for channel in channels:
                counts[self.set_of(channel)][place] += 1
        found: dict[Where, list[int]] = defaultdict(list)
        for channel in sorted(counts):
            found[tuple(sorted(counts[channel].items()))].append(channel)
        return found

    def _tie(self, lists: list[list[int]]) -> list[int]:
        first, *others = lists
        for other in others:
            if len(other) != len(first):
                raise self._refused("a sum or product of unlike channels")
            self._ties.tie(first, other)
        return first

    def _read(self, step: fx.Node) -> list[int]:
        found = [self._values[source] for source in _sources(step) if source in self._values]
        if len(found) != 1:
            raise self._refused(str(step.target))
        return found[0]

    def _module(self, name: str, read: list[int]) -> list[int]:
        module = self._modules[name]
        if isinstance(module, ChannelShuffle):
            apart = len(read) // module.groups
            return [read[group * apart + place] for place in range(apart) for group in range(module.groups)]
        if isinstance(module, ChannelSlice):
            return read[module.start : module.stop]
        if isinstance(module, nn.BatchNorm2d):
            self.places[ChannelPlace(name, "out")] = read
            return read
        if isinstance(module, nn.Conv2d | nn.Linear):
            return self._weights(name, module, read)
        if isinstance(module, _MIXERS) or next(module.parameters(), None) is not None:
            raise self._refused(f"{type(module).__name__} ('{name}')")
        return read

    def _weights(self, name: str, module: nn.Conv2d | nn.Linear, read: list[int]) -> list[int]:
        groups = module.groups if isinstance(module, nn.Conv2d) else 1
        inputs, outputs = module.weight.shape[1] * groups, module.weight.shape[0]
        if groups == inputs > 1:  # depthwise: a channel stays itself
            made = [channel for channel in read for _ in range(outputs // inputs)]
            self.places[ChannelPlace(name, "out")] = made
            return made
        each = inputs // len(read)  # above one behind a map that was flattened
        read, made = [channel for channel in read for _ in range(each)], self._ties.new(outputs)
        for group in range(groups):
            self.places[ChannelPlace(name, "in", group)] = _share(read, groups, group)
            self.places[ChannelPlace(name, "out", group)] = _share(made, groups, group)
        return made

    def _function(self, step: fx.Node) -> list[int]:
        target = step.target
        lists = [self._values[source] for source in _sources(step) if source in self._values]
        if (target in _TIES or target in ("add", "mul", "add_", "mul_")) and len(lists) > 1:
            return self._tie(lists)
        if target is torch.cat:
            return [channel for one in lists for channel in one]
        if target is operator.getitem:
            match step.args[1]:
                case (slice(start=None, stop=None, step=None), slice() as channels, *_):
                    return lists[0][channels]
        elif len(lists) == 1:
            return lists[0]
        raise self._refused(str(getattr(target, "__name__", target)))

    def _refused(self, what: str) -> UsageError:
        return UsageError(
            f"{self._name} cannot be made narrower by keeping channels: they cannot be followed through {what}; "
            "start from weights of the width you want, or with --weights none"
        )


def kept(wide: Channels, narrow: Channels, scores: Mapping[int, float], name: str) -> dict[ChannelPlace, list[int]]:
    """Choose for every place of the narrow net which of the wide net's places there it takes, best scores first.

    The kept ones stay in their order. Raises UsageError where the narrow net has what the wide one does not.
    """
    offered = wide.sets()
    partner: dict[tuple[int, ChannelPlace], int] = {}
    for where, wanted in narrow.sets().items():
        for places, found in _parts(where, offered):
            if len(found) < len(wanted):
                raise UsageError(
                    f"{name} cannot be made narrower to this width: at '{where[0][0].layer}' {len(wanted)} channels "
                    f"are wanted that play the same part, and the wider net has {len(found)}; take another width"
                )
            best = sorted(found, key=lambda channel: -scores.get(channel, 0.0))[: len(wanted)]
            for one, other in zip(wanted, sorted(best), strict=True):
                partner |= {(one, place): other for place, _ in places}
    return {
        place: list(_indices([partner[narrow.set_of(channel), place] for channel in channels], wide, place))
        for place, channels in narrow.places.items()
    }


def _parts(where: Where, offered: Mapping[Where, list[int]]) -> list[tuple[Where, list[int]]]:
    """Return the wide net's channels that those of one set of the narrow net are chosen from, with where they stand.

    A set is several of the wide net's, or part of one, where rounding makes both ends of a block equally wide in one
    of the nets alone, which then adds them up; training has to make up for that shortcut.
    """
    inside = [other for other in offered if set(other) <= set(where)]
    if sorted(place for other in inside for place in other) == sorted(where):
        return [(other, offered[other]) for other in inside]
    around = next((channels for other, channels in offered.items() if set(where) <= set(other)), [])
    return [(where, around)]


def _indices(wanted: list[int], wide: Channels, place: ChannelPlace) -> Iterator[int]:
    stands: dict[int, list[int]] = defaultdict(list)
    for index, channel in reversed(list(enumerate(wide.places[place]))):
        stands[wide.set_of(channel)].append(index)
    for channel in wanted:
        yield stands[channel].pop()


def _share(channels: list[int], groups: int, group: int) -> list[int]:
    each = len(channels) // groups
    return channels[group * each : (group + 1) * each]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


def _sources(step: fx.Node) -> Iterator[fx.Node]:
    for argument in (*step.args, *step.kwargs.values()):
        items: Any = argument if isinstance(argument, list | tuple) else (argument,)
        for item in items:
            if isinstance(item, fx.Node):
                yield item
