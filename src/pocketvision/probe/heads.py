"""Heads on features: logistic regression of classes or attributes, and class means, each as a net's last layer."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pocketvision.errors import DataError, UsageError
from pocketvision.metrics.multilabel import UNKNOWN, cross_entropy
from pocketvision.models.blocks import Net

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Balance = Literal["none", "weights"]
STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Of the squared weights beside the mean loss, on standardized features; strongest first, each starts from the last."""
_STEPS = 200
_TOLERANCE = 1e-5
_SIGMOID_STRENGTHS, _SIGMOID_STEPS = 6, 60
"""Of attributes: weaker ones and longer searches were never chosen."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer on features as the net gives them: logits = features @ weight.T + bias."""

    weight: Floats
    """[classes, channels]"""
    bias: Floats
    """[classes]"""
    kind: Literal["logistic", "mean"]
    strength: float = 0.0
    """Of the squared weights, for `logistic`."""

    def logits(self, features: Floats) -> Floats:
        """Return [N, classes] for features [N, channels]."""
        found: Floats = features @ self.weight.T + self.bias
        return found


@dataclass(frozen=True, eq=False)
class LabeledFeatures:
    """What a head learns: features [N, channels] with labels [N], of `num_classes` classes."""

    features: Floats
    labels: Labels
    num_classes: int
    balance: Balance = "none"
    """`weights` lets every class count the same, however rare."""

    def __post_init__(self) -> None:
        counts = self.counts()
        if self.num_classes < 2:
            raise DataError("a head needs two classes at least; add images of a second one")
        if lacking := [str(label) for label in range(self.num_classes) if not counts[label]]:
            raise DataError(f"no training image of class number {', '.join(lacking)}; add some to train on")

    def counts(self) -> NDArray[np.int64]:
        """Return the number of images of each class."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def sample_weights(self) -> Floats:
        """Return how much each image counts: [N], 1 together."""
        counts = self.counts()[self.labels]
        each = 1 / len(counts) if self.balance == "none" else 1 / (counts * self.num_classes)
        return np.broadcast_to(each, counts.shape).astype(np.float32)


# ---------------------------------------------------------------- the two kinds


def class_means(learned: LabeledFeatures) -> Head:
    """Answer with the class whose mean is nearest, on standardized features; nothing is fitted."""
    mean, scale = _standard(learned.features)
    standard = (learned.features - mean) * scale
    centers = np.stack([standard[learned.labels == label].mean(axis=0) for label in range(learned.num_classes)])
    # The square of an image's own features is the same for every class: what is left is linear.
    return _unstandardized(centers, -0.5 * (centers**2).sum(axis=1), mean, scale, kind="mean")


def logistic_path(learned: LabeledFeatures, strengths: Sequence[float] = STRENGTHS) -> tuple[Head, ...]:
    """Fit multinomial logistic regression at each strength of the squared weights, by L-BFGS over all images.

    The same features give the same heads: nothing is drawn.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = _standard(learned.features)
    features = (learned.features - mean) * scale
    model = LogisticRegression(warm_start=True, max_iter=_STEPS, tol=_TOLERANCE)
    heads = []
    for strength in strengths:
        # Theirs adds up losses where ours takes their mean; of two classes theirs has one row of weights, the
        # difference of the two, whose square is twice the sum of theirs.
        model.set_params(C=(2 if learned.num_classes == 2 else 1) / (strength * len(features)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a search that ends at the limit of its steps is near enough
            model.fit(features, learned.labels, sample_weight=learned.sample_weights() * len(features))
        weight, bias = _one_row_each(model.coef_), _one_row_each(model.intercept_)
        heads.append(_unstandardized(weight, bias, mean, scale, kind="logistic", strength=strength))
    return tuple(heads)


def _one_row_each(values: Floats) -> Floats:
    return np.concatenate([-values / 2, values / 2]) if len(values) == 1 else values


def best_logistic(learned: LabeledFeatures, val_features: Floats, val_labels: Labels) -> Head:
    """Fit at every strength and keep the head that answers the validation images best, on a tie the one with the
    lower loss there."""
    if not len(val_labels):
        raise UsageError(
            "the strength of a head is chosen on validation images, and there are none; give --val above 0"
        )
    return min(logistic_path(learned), key=lambda head: _misses(head.logits(val_features), val_labels))


def best_sigmoid(features: Floats, targets: Labels, val_features: Floats, val_targets: Labels) -> Head:
    """Fit a logistic regression for every column of `targets` [N, attributes] (1, 0, -1 unknown), all at once.

    One strength for all is chosen by the loss on the validation images. The same features give the same head.
    """
    if not (val_targets != UNKNOWN).any():
        raise UsageError("the strength of a head is chosen on validation images, and none of theirs is known")
    mean, scale = _standard(features)
    paths = _sigmoid_path((features - mean) * scale, targets)
    heads = [_unstandardized(weight, bias, mean, scale, kind="logistic", strength=held) for weight, bias, held in paths]
    return min(heads, key=lambda head: float(cross_entropy(head.logits(val_features), val_targets).sum()))


def _sigmoid_path(features: Floats, targets: Labels) -> Iterator[tuple[Floats, Floats, float]]:
    """Yield weights and biases at each strength by L-BFGS over all images; every known cell counts the same."""
    import torch

    images, known = torch.from_numpy(features), torch.from_numpy((targets != UNKNOWN).astype(np.float32))
    wanted, cells = torch.from_numpy((targets == 1).astype(np.float32)), known.sum().clamp(min=1)
    weight = torch.zeros(targets.shape[1], features.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=True)
    for strength in STRENGTHS[:_SIGMOID_STRENGTHS]:
        search = torch.optim.LBFGS([weight, bias], max_iter=_SIGMOID_STEPS, line_search_fn="strong_wolfe")

        def loss(search: torch.optim.LBFGS = search, strength: float = strength) -> torch.Tensor:
            search.zero_grad()
            each = torch.nn.functional.binary_cross_entropy_with_logits(
                images @ weight.T + bias, wanted, weight=known, reduction="sum"
            )
            found = each / cells + strength * weight.square().sum() / len(weight)
            found.backward()  # type: ignore[no-untyped-call]
            return found

        search.step(loss)  # type: ignore[no-untyped-call]
        yield weight.detach().numpy().copy(), bias.detach().numpy().copy(), strength


def _misses(logits: Floats, labels: Labels) -> tuple[int, float]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return int((logits.argmax(axis=1) != labels).sum()), float(losses.mean())


def _standard(features: Floats) -> tuple[Floats, Floats]:
    """Return what is taken from and multiplied with each channel; channels that never change become zero."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    alive = spread > 1e-6 * max(1e-12, float(spread.max(initial=0.0)))
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=alive)
    return mean.astype(np.float32), scale.astype(np.float32)


def _unstandardized(
    weight: Floats,
    bias: Floats,
    mean: Floats,
    scale: Floats,
    *,
    kind: Literal["logistic", "mean"],
    strength: float = 0.0,
) -> Head:
    plain = weight * scale
    return Head(plain.astype(np.float32), (bias - plain @ mean).astype(np.float32), kind, strength)


def last_layer(net: Net) -> tuple[int, nn.Linear | nn.Conv2d]:
    """Return the layer of a net's classifier that gives the logits, and its place there."""
    places = [(place, child) for place, child in enumerate(net.classifier) if isinstance(child, nn.Linear | nn.Conv2d)]
    return places[-1]
