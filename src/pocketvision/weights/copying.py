"""Arrays under our names into a net: held against its shapes and its padding first."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import family_of
from pocketvision.values import ModelSpec
from pocketvision.weights.recognize import differences

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]
_COUNTER = "num_batches_tracked"


def check_padding(net: "nn.Module", spec: ModelSpec) -> None:
    """Refuse the other padding rule: all shapes would fit, and the answers would be quietly worse."""
    if len(family_of(spec.name).paddings) == 1:
        return
    rule = "same" if any(_pads_as_tensorflow(module) for module in net.modules()) else "symmetric"
    if rule != spec.padding:
        raise WeightsError(f"these weights need a net built with padding='{spec.padding}', not '{rule}'")


def _pads_as_tensorflow(module: "nn.Module") -> bool:
    """Tell a layer that only nets with padding='same' have; TensorFlow's average leaves the padding out."""
    from torch import nn

    from pocketvision.models.blocks import Conv2dSame, MaxPool2dSame

    if isinstance(module, nn.AvgPool2d):
        return not module.count_include_pad
    return isinstance(module, Conv2dSame | MaxPool2dSame)


def check_fit(tensors: Mapping[str, Array], wanted: Mapping[str, tuple[int, ...]], fresh: Collection[str] = ()) -> None:
    """Hold the file's tensors against the net's; those of a fresh classifier may be absent or of any shape."""
    needed = {key: shape for key, shape in wanted.items() if not key.endswith(_COUNTER) and key not in fresh}
    found = {key: value.shape for key, value in tensors.items() if key not in fresh and not key.endswith(_COUNTER)}
    if complaint := differences(needed, found):
        raise WeightsError(f"the weights do not fit the net; {complaint}")


def copy_into(net: "nn.Module", tensors: Mapping[str, Array], eps: float) -> None:
    """Copy arrays into parameters and statistics of these names; all norms get one epsilon."""
    import torch
    from torch import nn

    state = net.state_dict()
    with torch.no_grad():
        for key, value in tensors.items():
            state[key].copy_(torch.from_numpy(np.array(value)))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps
