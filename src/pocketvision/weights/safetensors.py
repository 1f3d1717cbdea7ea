"""Reads and writes `.safetensors`: plain arrays with a header, ours with spec, image rule and labels in it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pocketvision import files
from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import depths, names
from pocketvision.values import ImageSpec, ModelSpec, from_json, to_json

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pocketvision.models.blocks import Net

Array = NDArray[Any]
_HEADER = "pocketvision"
_FORMAT_VERSION = 1
_FULL = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Header:
    """What our own files say of themselves."""

    format_version: int
    spec: ModelSpec
    image: ImageSpec
    labels: tuple[str, ...] | None
    norm_eps: float


def read_safetensors(path: Path) -> tuple[Header | None, dict[str, Array]]:
    """Return the header, None in a file of another project, and the arrays; `WeightsError` for a damaged file."""
    from safetensors import SafetensorError, safe_open

    try:
        # Through torch, as numpy has no bfloat16.
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: _array(opened.get_tensor(key)) for key in opened.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{path.name} is damaged or no safetensors file: {error}") from error
    return (_header(metadata[_HEADER], path.name) if _HEADER in metadata else None), tensors


def _array(tensor: "Tensor") -> Array:
    """Return a tensor as stored, in float32 where its numbers are shorter."""
    short = tensor.is_floating_point() and tensor.element_size() < _FULL
    return tensor.float().numpy() if short else tensor.numpy()


def save(net: "Net", spec: ModelSpec, *, image: ImageSpec, labels: tuple[str, ...] | None, path: Path) -> None:
    """Write a net as `.safetensors` that `read` understands, its spec, labels and image rule inside; atomic."""
    from safetensors.torch import save as to_bytes

    if path.suffix != ".safetensors":
        raise WeightsError(f"weights are written as .safetensors, not as '{path.name}'")
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    files.write_bytes(path, to_bytes(state, _metadata(Header(_FORMAT_VERSION, spec, image, labels, _norm_eps(net)))))


def _metadata(header: Header) -> dict[str, str]:
    return {_HEADER: json.dumps(to_json(header), ensure_ascii=False)}


def _norm_eps(net: "nn.Module") -> float:
    from torch import nn

    found = {module.eps for module in net.modules() if isinstance(module, nn.BatchNorm2d)}
    assert len(found) < 2, found
    return found.pop() if found else 1e-5


def _header(text: str, file: str) -> Header:
    try:
        header = from_json(Header, json.loads(text))
        sound = _sound(header)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{file} has a damaged header: {type(error).__name__}") from error
    if not sound:
        raise WeightsError(f"{file} has a header that this version does not understand: {text[:200]}")
    return header


def _sound(header: Header) -> bool:
    spec, image = header.spec, header.image
    return (
        header.format_version == _FORMAT_VERSION
        and spec.name in names()
        and all(isinstance(number, int) and number > 0 for number in (spec.resolution, spec.num_classes))
        and spec.resolution == image.resolution
        and 0 < spec.width < 100
        and (spec.depth is None or spec.depth in depths(spec.name))
        and 0 < header.norm_eps < 1
        and (header.labels is None or len(header.labels) == spec.num_classes)
    )
