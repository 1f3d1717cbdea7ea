"""Reads Keras weights files (HDF5) as arrays named `layer/weight`, transposed nowhere: the older layout, which lists
its layers, and the newer one of `.weights.h5`, which numbers each layer's arrays and lies packed in a `.keras` file.

Of the net that whole models describe beside it only the ending is read: what makes answers of the last layer's outputs.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtra, WeightsError

Array = NDArray[Any]
LARGEST_BYTES = 2 * 1024**3
"""Of all arrays together; compressed ones can claim any size."""
_DAMAGE = (
    *(OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, UnicodeDecodeError, MemoryError),
    *(zipfile.BadZipFile, NotImplementedError, RecursionError, EOFError, zlib.error),
)
_NUMBERED = {
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "depthwise_conv2d": ("depthwise_kernel", "bias"),
    "normalization": ("mean", "variance", "count"),
    "conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
}
"""What the numbers stand for in the newer layout, by the layer's kind."""
_SOFTMAX = "softmax"
_LAST = ("Conv2D", "Dense")
"""Layers in front of which nothing belongs to the ending."""
_WEIGHTS, _DESCRIPTION = "model.weights.h5", "config.json"
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


class KerasFile(NamedTuple):
    """What one file holds."""

    arrays: dict[str, Array]
    ending: str
    """The activation behind the last layer; softmax where the file does not describe its net."""


def read_keras(path: Path) -> KerasFile:
    """Return all arrays of a file; `WeightsError` if it is damaged, `MissingExtra` without `h5py`."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "keras") from error
    try:
        content, described = _unpacked(path) if path.suffix == ".keras" else (path, None)
        with h5py.File(content, "r") as opened:
            described = opened.attrs.get("model_config", described)
            root = _inside(opened, "model_weights", path.name) if "model_weights" in opened else opened
            named = list(_listed(root, path.name) if "layer_names" in root.attrs else _numbered(root, path.name))
            return KerasFile(_read(named, path.name), _ending(described))
    except _DAMAGE as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path.name} is damaged or no Keras weights file: {str(error)[:200]}") from error


def _unpacked(path: Path) -> tuple[io.BytesIO, bytes]:
    """Return the weights and the description in a `.keras` file, a zip archive."""
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_WEIGHTS).file_size + archive.getinfo(_DESCRIPTION).file_size > LARGEST_BYTES:
            raise WeightsError(f"{path.name} claims over {LARGEST_BYTES // 1024**3} GiB; no known net has them")
        return io.BytesIO(archive.read(_WEIGHTS)), archive.read(_DESCRIPTION)


def _ending(described: str | bytes | None) -> str:
    """Return the activation behind the last layer of a described net, softmax where it leaves the outputs as they are.

    Such a net was trained with the softmax in its loss.
    """
    if described is None:
        return _SOFTMAX
    config = json.loads(described)["config"]
    for layer in reversed(config["layers"] if isinstance(config, dict) else config):
        activation = layer["config"].get("activation", "")
        if layer["class_name"] in ("Softmax", "Sigmoid"):
            return str(layer["class_name"]).lower()
        # One that is not Keras's own is a record of its class and name.
        named = activation if isinstance(activation, str | None) else activation.get("config", activation)
        if named not in ("", "linear", None):
            return str(named)
        if layer["class_name"] in _LAST:
            break
    return _SOFTMAX


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
