"""Evaluation: a net's outputs, its loss and accuracy on the validation images, and the temperature of its logits."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.data.arrays import Prepared
from pocketvision.data.tensors import eval_batches, to_input
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress, track
from pocketvision.tasks import Evaluation, load
from pocketvision.train.objective import Batch
from pocketvision.values import ImageSpec, TaskSpec
from pocketvision.values.nets import CLASSES

Floats = NDArray[np.float64]


@torch.no_grad()
def logits(net: nn.Module, pixels: Prepared, image: ImageSpec, device: torch.device) -> NDArray[np.float32]:
    """Return the net's logits for prepared uint8 images [N, R, R, 3]: [N, classes], or [N, A, 4 + classes]."""
    net.eval()
    parts = eval_batches(len(pixels), image.resolution, device)
    return torch.cat([net(to_input(pixels[part], image, device)).cpu() for part in parts]).numpy()


@torch.no_grad()
def features(
    net: Net, pixels: Prepared, image: ImageSpec, device: torch.device, *, mirrored: bool = False, progress: Progress
) -> Tensor:
    """Return what the net's classifier takes, of prepared uint8 images [N, R, R, 3] or their mirror images."""
    net.eval()
    columns = slice(None, None, -1) if mirrored else slice(None)
    parts = list(eval_batches(len(pixels), image.resolution, device))
    return torch.cat(
        [
            net.embed(to_input(np.ascontiguousarray(pixels[part][:, :, columns]), image, device))
            for part in track(parts, progress, "features", len(parts))
        ]
    )


@torch.no_grad()
def evaluate(
    module: nn.Module, batches: Iterator[Batch], weights: Floats | None = None, spec: TaskSpec = CLASSES
) -> Evaluation:
    """Evaluate a module in eval mode as its task does; with `weights` [C] labels count by them in the loss."""
    module.eval()
    found = [(module(batch.inputs), batch.targets) for batch in batches]
    logits = torch.cat([outputs for outputs, _ in found]).float().cpu().numpy()
    targets = torch.cat([targets for _, targets in found]).cpu().numpy()
    return load(spec.name).evaluate(logits, targets, weights, spec)


def within_noise(more: Floats) -> bool:
    """Tell whether losses that are higher by `more` [N], image by image, are so by chance.

    So it is where their mean is within one standard error of zero: the rule by which L. Breiman and others,
    "Classification and Regression Trees" (1984), section 3.4.3, take the simplest of the trees that are as good.
    """
    return len(more) > 1 and float(more.mean()) <= float(more.std(ddof=1)) / math.sqrt(len(more))


@torch.no_grad()
def fold_temperature(net: Net, value: float) -> None:
    """Divide the logits by `value`, inside the classifier's last layer with weights (Guo et al., 2017).

    Exact for the nets here: after that layer come at most a ReLU and a mean, and both let a positive factor through.
    """
    last = [module for module in net.classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    last.weight /= value
    if last.bias is not None:
        last.bias /= value
