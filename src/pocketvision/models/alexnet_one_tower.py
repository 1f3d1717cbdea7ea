"""One weird trick for parallelizing convolutional neural networks: AlexNet as one tower.

Krizhevsky, 2014, https://arxiv.org/abs/1404.5997
"""

from pocketvision.models.alexnet import AlexNet, Row
from pocketvision.values import ModelSpec

NAMES = ("alexnet_one_tower",)
YEAR = 2014
IDEA = "AlexNet in a single tower"
NORMS = False
SMALLEST = 223

# Deviates: the paper has 384 kernels in conv4; torchvision's net, which has published weights, has 256.
# fmt: off
ONE_TOWER = (
    Row("conv1", 64,  (11, 11, 3),  4, 2, False, True),
    Row("conv2", 192, (5, 5, 64),   1, 2, False, True),
    Row("conv3", 384, (3, 3, 192),  1, 1, False, False),
    Row("conv4", 256, (3, 3, 384),  1, 1, False, False),
    Row("conv5", 256, (3, 3, 256),  1, 1, False, True),
)
# fmt: on


def build(spec: ModelSpec) -> AlexNet:
    """Build the net: no groups, no local response norms, pools cut at the border."""
    return AlexNet(spec, ONE_TOWER, ceil=False)
