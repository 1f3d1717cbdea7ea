"""Reads Keras weights files (HDF5) as arrays named `layer/weight`, transposed nowhere: the older layout, which lists
its layers, and the newer one of `.weights.h5`, which numbers each layer's arrays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtra, WeightsError

Array = NDArray[Any]
LARGEST_BYTES = 2 * 1024**3
"""Of all arrays together; compressed ones can claim any size."""
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, UnicodeDecodeError, MemoryError)
_NUMBERED = {
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "depthwise_conv2d": ("depthwise_kernel", "bias"),
    "normalization": ("mean", "variance", "count"),
    "conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
}
"""What the numbers stand for in the newer layout, by the layer's kind."""
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def read_keras(path: Path) -> dict[str, Array]:
    """Return all arrays of a file; `WeightsError` if it is damaged, `MissingExtra` without `h5py`."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "keras") from error
    try:
        with h5py.File(path, "r") as opened:
            root = _inside(opened, "model_weights", path.name) if "model_weights" in opened else opened
            named = list(_listed(root, path.name) if "layer_names" in root.attrs else _numbered(root, path.name))
            return _read(named, path.name)
    except _DAMAGE as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path.name} is damaged or no Keras weights file: {str(error)[:200]}") from error


def _listed(root: Any, file: str) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of the older layout: layers and weights are listed in attributes."""
    for layer in _texts(root.attrs["layer_names"]):
        group = _inside(root, layer, file)
        for name in _texts(group.attrs.get("weight_names", [])):
            yield f"{layer}/{name.rpartition('/')[2].partition(':')[0]}", _inside(group, name, file)


def _numbered(root: Any, file: str) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of the newer layout: `layers/<kind>_<n>/vars/<number>`, the layer's own name in an attribute."""
    layers = _inside(root, "layers", file)
    for kind in layers:
        layer = _inside(layers, kind, file)
        if "vars" not in layer:
            continue
        arrays = _inside(layer, "vars", file)
        own = layer.attrs.get("name", arrays.attrs.get("name", kind))
        for number, name in zip(sorted(arrays, key=int), _names(kind, len(arrays)), strict=False):
            yield f"{own}/{name}", _inside(arrays, number, file)


def _names(kind: str, count: int) -> tuple[str, ...]:
    if kind.startswith("batch_normalization"):
        return _NORM[4 - count :]
    found = next((names for start, names in _NUMBERED.items() if kind.startswith(start)), None)
    return found or tuple(map(str, range(count)))


def _texts(values: Any) -> list[str]:
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]


def _inside(group: Any, path: str, file: str) -> Any:
    """Return what lies at a path of the file itself: links to elsewhere could name any file of the machine."""
    import h5py

    for part in path.split("/"):
        link = group.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise WeightsError(f"{file} holds nothing, or a link to another file, at '{path[:200]}'")
        group = group[part]
    return group


def _read(named: list[tuple[str, Any]], file: str) -> dict[str, Array]:
    import h5py

    tensors: dict[str, Array] = {}
    total = 0
    for name, found in named:
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual or found.dtype.kind not in "fiu":
            raise WeightsError(f"{file} holds no plain array of numbers at '{name}'")
        total += found.size * found.dtype.itemsize
        if total > LARGEST_BYTES:
            raise WeightsError(f"{file} claims over {LARGEST_BYTES // 1024**3} GiB of weights; no known net has them")
        if name in tensors:
            raise WeightsError(f"{file} has two arrays named '{name}'")
        tensors[name] = np.asarray(found[()])
    if not tensors:
        raise WeightsError(f"{file} holds no weights")
    return tensors
