"""Reads the oldest PyTorch checkpoints, tar archives of pickles (before 0.2), with numpy alone.

torch itself reads them only with all of pickle allowed. Here a pickle may name torch's storage types and ordered
dicts, and nothing else. The archive holds `storages` (the numbers), `tensors` (views of them) and `pickle`.
"""

import io
import pickle
import struct
import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError

Array = NDArray[Any]
_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
}
_PARTS = ("storages", "tensors", "pickle")
_DEEPEST = 8
_DAMAGE = (
    *(pickle.UnpicklingError, tarfile.TarError, struct.error, EOFError, KeyError, IndexError, AttributeError),
    *(ValueError, TypeError, OverflowError, MemoryError, ImportError, RecursionError, OSError),
)


class _Kind(NamedTuple):
    """What a class of torch's stands for; never called."""

    name: str


class _Reader(pickle.Unpickler):
    """Builds plain data; persistent ids are keys of tensors already read."""

    def __init__(self, stream: io.BufferedIOBase | io.BytesIO, known: dict[int, Any]) -> None:
        super().__init__(stream, encoding="latin1")
        self.known = known

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (
            module in ("torch", "torch.cuda")
            and name.removesuffix("Tensor").removesuffix("Storage") + "Storage" in _DTYPES
        ):
            return _Kind(name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        return self.known[int(pid)]


def read_old_checkpoint(path: Path) -> Any:
    """Return what was saved, tensors as arrays; `WeightsError` if it is damaged or holds more than data."""
    try:
        with tarfile.open(path, "r:") as archive:
            parts = {name: _part(archive, name, path.stat().st_size) for name in _PARTS}
        known = _storages(parts["storages"])
        known |= _tensors(parts["tensors"], known)
        return _Reader(parts["pickle"], known).load()
    except _DAMAGE as error:
        raise WeightsError(f"{path.name} is damaged, or holds more than plain tensors: {error}") from error


def _part(archive: tarfile.TarFile, name: str, largest: int) -> io.BytesIO:
    member = archive.getmember(name)
    stream = archive.extractfile(member) if member.isfile() and member.size <= largest else None
    if stream is None:
        raise KeyError(f"no file '{name}' in the archive")
    return io.BytesIO(stream.read())


def _storages(stream: io.BytesIO) -> dict[int, Any]:
    known: dict[int, Any] = {}
    for _ in range(_count(stream)):
        key, _, kind = _Reader(stream, {}).load()
        (size,) = struct.unpack("<q", stream.read(8))
        dtype = np.dtype(_DTYPES[kind.name])
        if not 0 <= size * dtype.itemsize <= len(stream.getbuffer()) - stream.tell():
            raise ValueError(f"a storage of {size} values in a file too short for it")
        known[int(key)] = np.frombuffer(stream.read(size * dtype.itemsize), dtype)
    for target, root, offset, size in _Reader(stream, {}).load():
        known[int(target)] = known[int(root)][offset : offset + size]
    return known


def _tensors(stream: io.BytesIO, storages: dict[int, Any]) -> dict[int, Any]:
    known: dict[int, Any] = {}
    for _ in range(_count(stream)):
        key, storage, _ = _Reader(stream, {}).load()
        axes, _ = struct.unpack("<ii", stream.read(8))
        if not 0 <= axes <= _DEEPEST:
            raise ValueError(f"a tensor of {axes} axes")
        shape = struct.unpack(f"<{axes}q", stream.read(8 * axes))
        stride = struct.unpack(f"<{axes}q", stream.read(8 * axes))
        (offset,) = struct.unpack("<q", stream.read(8))
        known[int(key)] = _view(storages[int(storage)], shape, stride, offset)
    return known


def _view(values: Array, shape: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Array:
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
    if min((*shape, 1)) < 1 or min((*stride, 0)) < 0 or not 0 <= offset <= last < len(values):
        raise ValueError(f"a tensor {list(shape)} that reaches beyond its storage")
    steps = tuple(step * values.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False).copy()


def _count(stream: io.BytesIO) -> int:
    count = _Reader(stream, {}).load()
    if not isinstance(count, int) or not 0 <= count < 100_000:
        raise ValueError("a part without its count")
    return count
