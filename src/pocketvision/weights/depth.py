"""Weights of a net as those of its first layers, kept to the last bit, and which nets can be cut out of which."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pocketvision.errors import WeightsError
from pocketvision.values import ModelSpec
from pocketvision.weights.recognize import skeleton_of
from pocketvision.words import some

if TYPE_CHECKING:
    from torch import nn

    from pocketvision.weights.load import Weights


def reaches(own: ModelSpec, wanted: ModelSpec) -> bool:
    """Tell whether a net is of the same family as the wanted one, and has all of its layers."""
    deep = own.depth is None or (wanted.depth is not None and wanted.depth <= own.depth)
    return own.name == wanted.name and deep


def shortened(weights: "Weights", depth: int | None) -> "Weights":
    """Return the weights of a net's first `depth` layers, without its classifier; of the same depth, as they are.

    `WeightsError` where the weights are of a shallower net, or hold what their net has not.
    """
    spec = weights.spec
    wanted = replace(spec, depth=depth)
    if spec == wanted:
        return weights
    if not reaches(spec, wanted):
        raise WeightsError(f"the weights are of {spec.dials}, which has fewer layers than {wanted.dials}")
    if unknown := sorted(set(weights.tensors) - _names(skeleton_of(spec), folded=weights.folded)):
        raise WeightsError(f"the weights do not fit the net; unknown to the net: {some(unknown)}")
    assert depth is not None
    tensors = {key: value for key, value in weights.tensors.items() if _is_kept(key, depth)}
    # The parts of a net that is cut answer nothing, and a file's whole numbers are those of all its layers.
    return replace(weights, spec=wanted, tensors=tensors, labels=None, levels=None, ending="nothing")


def _names(net: "nn.Module", *, folded: bool) -> set[str]:
    from torch import nn

    biases = {f"{name}.bias" for name, module in net.named_modules() if folded and isinstance(module, nn.Conv2d)}
    return {*net.state_dict(), *biases}


def _is_kept(name: str, depth: int) -> bool:
    half, place, *_ = name.split(".")
    return half == "features" and int(place) < depth
