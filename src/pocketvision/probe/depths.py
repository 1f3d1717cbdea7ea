"""What a pretrained net sees at every depth: one pass of an image gives the features of all cuts."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import Net
from pocketvision.probe.features import Backbone, ProbeViews
from pocketvision.probe.heads import last_layer


@dataclass(frozen=True, eq=False)
class DepthBackbone(Backbone):
    """A pretrained net that is read after several of its layers; its features stand side by side in one row."""

    depths: tuple[int | None, ...] = (None,)
    """Layers of `features` so far, ascending; None, the last one, for the whole net."""

    def build(self) -> Net:
        """Build the net with all weights of the file."""
        return _EveryDepth(super().build(), self.depths).eval()

    def key(self, views: ProbeViews) -> str:
        """Name what decides the features of an image."""
        return hashlib.sha256(f"{super().key(views)} {self.depths}".encode()).hexdigest()[:24]

    @cached_property
    def columns(self) -> dict[int | None, slice]:
        """Return where each depth's features stand in a row."""
        net, side = self.build(), self.image.resolution
        assert isinstance(net, _EveryDepth)
        with torch.no_grad():
            widths = [part.shape[1] for part in net.parts(torch.zeros(1, net.in_channels, side, side))]
        ends = [sum(widths[: place + 1]) for place in range(len(widths))]
        return {d: slice(end - width, end) for d, width, end in zip(self.depths, widths, ends, strict=True)}


class _EveryDepth(Net):
    """A net whose features are the means over places after each of some layers, beside one another."""

    def __init__(self, net: Net, depths: tuple[int | None, ...]) -> None:
        super().__init__()
        self.features = net.features
        self.depths = depths
        self.rest = net
        self.rest.features = nn.Sequential()  # given the last maps, it goes on from there
        self.place, _ = last_layer(net)
        self.classifier = nn.Sequential(nn.Linear(1, 1))  # stands for any head: what is before it is embedded
        self.in_channels = next(m.in_channels for m in self.features.modules() if isinstance(m, nn.Conv2d))

    def parts(self, batch_nchw: Tensor) -> Iterator[Tensor]:
        """Yield the features [N, channels] of one depth after the other."""
        maps = batch_nchw
        for depth, layer in enumerate(self.features, 1):
            maps = layer(maps)
            if depth in self.depths:
                yield maps.mean(dim=(2, 3))
        if None in self.depths:
            found = self.rest.classifier[: self.place](self.rest.embed(maps))
            yield found.mean(dim=(2, 3)) if found.ndim == 4 else found

    def embed(self, batch_nchw: Tensor) -> Tensor:
        """Return the features of every depth side by side."""
        return torch.cat(list(self.parts(batch_nchw)), dim=1)
