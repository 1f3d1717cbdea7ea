"""GoogLeNet as it is commonly released: batch norm everywhere, 3x3 filters where the paper has 5x5.

Szegedy et al., 2014, https://arxiv.org/abs/1409.4842, as "Inception V1" of TensorFlow-Slim,
https://github.com/tensorflow/models/blob/master/research/slim/nets/inception_v1.py
"""

from torch import nn

from pocketvision.models.googlenet import TABLE_1, GoogLeNet
from pocketvision.values import ModelSpec

NAMES = ("googlenet_bn",)
YEAR = 2014
IDEA = "GoogLeNet with batch norm, 3x3"

# Deviates: no local response norms, and a 2x2 window in the last max pool.
RELEASE = tuple(
    row._replace(patch_stride=(2, 2)) if row.output_size == (7, 7, 832) and row.type == "max pool" else row
    for row in TABLE_1
    if row.type != "LocalRespNorm"
)


def normed(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Build a convolution without bias, batch norm and ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU(inplace=True))


def build(spec: ModelSpec) -> GoogLeNet:
    """Build the net."""
    return GoogLeNet(spec, RELEASE, conv=normed, wide=3, dropout=0.2)
