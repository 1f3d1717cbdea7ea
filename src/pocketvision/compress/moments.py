"""What each layer's rounding errors are weighed by: the spread of what it reads, and gradients at its sums.

An error d of one output channel's weights costs the answer about g/2 d' A d nats. A holds the covariances of what the
channel's weights are multiplied with, as the bias makes up for the mean; g is the mean squared gradient of the
log-likelihood at its sum, added over places: the diagonal of the Fisher information in the form of Martens and Grosse
2015 (https://arxiv.org/abs/1503.05671) and Grosse and Martens 2016 (https://arxiv.org/abs/1602.01407).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerMoments:
    """What one layer saw; G is its groups, K the weights of one output channel, O all output channels."""

    mean: _Float
    """[G, K], of what each weight is multiplied with."""
    inputs: _Float
    """[G, K, K], covariances of the same."""
    gradients: _Float
    """[O], mean over images of the squared gradients at each sum, added over places."""
    rows: int
    """How many rows that differ covariances are of: images, or more where maps have many places."""


Moments = Mapping[str, LayerMoments]
"""By the layer's name."""
