"""Core ML programs evaluated by numpy, so that a package can be held against the reference where Core ML cannot run.

This reads what was written, weights and all, and computes what each operation means by Apple's description of MIL.
Outputs are rounded to the type that the program declares, float16 mostly; sums inside an operation are float32. It is
not Core ML: Apple's compiler, its own order of sums and its Neural Engine are not seen.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.errors import WeightsError
from pocketvision.graph import real
from pocketvision.graph.boxes import corners
from pocketvision.graph.graph import AvgPool, LocalNorm, MaxPool, Pads
from pocketvision.graph.moves import max_pool
from pocketvision.graph.sums import Tensor, convolve
from pocketvision.runtime import Images, Probabilities, Runner
from pocketvision.runtime.boxes import kept
from pocketvision.runtime.mil_file import MilFile, Operation, read_mil
from pocketvision.values import Manifest, from_json

NAME = "Core ML program read by numpy, not run by Core ML"
BOXES, SCORES = "coordinates_of_anchors", "scores_of_anchors"
"""What a detector's program computes before the suppressing model: center x, center y, width and height, and scores."""
Arguments = Mapping[str, Any]


def open_file(path: Path, *, threads: int = 1) -> Runner:  # noqa: ARG001  numpy has none to set
    """Open a package written by `pocketvision`; raises WeightsError where it is damaged or foreign."""
    file = read_mil(path)
    if "pocketvision" not in file.metadata:
        raise WeightsError(
            f"{path.name} was not written by pocketvision: it does not name how images are prepared. "
            "Export the net again with `pocketvision export`."
        )
    try:
        manifest = from_json(Manifest, json.loads(file.metadata["pocketvision"]))
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"the manifest in {path.name} cannot be read ({error}); export the net again") from error
    size, labels = manifest.image.resolution, classes(file)
    detects = manifest.model.detector is not None
    if detects and labels[: len(manifest.labels)] == manifest.labels and not any(labels[len(manifest.labels) :]):
        labels = manifest.labels  # filled up with empty ones
    if file.input_shape != (1, 3, size, size) or labels != manifest.labels:
        raise WeightsError(
            f"the manifest in {path.name} speaks of {len(manifest.labels)} labels at {size} pixels, but the net has "
            f"{len(labels)} at {list(file.input_shape)}, or in another order; export the net again"
        )
    if detects:
        return Runner(
            NAME, manifest, lambda images: np.concatenate([_boxes(file, image, manifest) for image in images])
        )
    return Runner(NAME, manifest, lambda images: np.stack([evaluate(file, image) for image in images]))


def classes(file: MilFile) -> tuple[str, ...]:
    """Return the labels that the program itself gives its probabilities, or the model behind it its boxes."""
    found = [operation.arguments["classes"] for operation in file.operations if operation.kind == "classify"]
    return tuple(found[0]) if found else file.labels


def evaluate(file: MilFile, image: Images) -> Probabilities:
    """Answer one image [R, R, C] with probabilities [classes]; raises WeightsError for an unknown operation."""
    answer = evaluate_all(file, image).get("probabilities")
    if answer is None:
        raise WeightsError(f"the program ends without labels: its outputs are {', '.join(file.outputs)}")
    return np.asarray(answer, np.float32).reshape(-1)


def _boxes(file: MilFile, image: Images, manifest: Manifest) -> Probabilities:
    """Answer one image with its boxes [1, M, 6]; they are suppressed here, and not as the model behind would."""
    values = evaluate_all(file, image)
    centered, scores = (_wide(_known(values, name)) for name in (BOXES, SCORES))
    found = corners(centered[:, [1, 0, 3, 2]])
    return kept({"boxes": found[None], "scores": scores[None]}, manifest)


def evaluate_all(file: MilFile, image: Images) -> dict[str, Any]:
    """Return everything that a program computes of one image [R, R, C], by name; what is classified is called
    `probabilities`."""
    values: dict[str, Any] = {file.input: image.transpose(2, 0, 1)[None].astype(np.float32)}
    for operation in file.operations:
        given = dict(operation.arguments)
        for name, sources in operation.sources.items():
            found = tuple(_known(values, source) for source in sources)
            given[name] = found if name == "values" else found[0]
        if operation.kind == "classify":
            values["probabilities"] = given.get("probabilities")
        else:
            values[operation.outputs[0]] = _result(operation, given)
    return values


def _known(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise WeightsError(f"the program reads '{name}' before it is computed")
    return values[name]


def _result(operation: Operation, given: Arguments) -> Any:
    kernel = _KERNELS.get(operation.kind)
    if kernel is None:
        raise WeightsError(f"the reader of Core ML programs does not know '{operation.kind}' ({operation.outputs[0]})")
    try:
        result = kernel(given)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the operation '{operation.kind}' ({operation.outputs[0]}) makes no sense: {error!r}"
        ) from error
    if operation.dtype is None or not isinstance(result, np.ndarray):
        return result
    with np.errstate(over="ignore"):  # beyond float16's range is infinity, as on the phone
        return result.astype(operation.dtype)


def _wide(value: Any) -> Tensor:
    """Return float32 values: sums of float16 are taken in float32."""
    return np.asarray(value, np.float32)


def _last(x: Any) -> Tensor:
    return _wide(x).transpose(0, 2, 3, 1)


def _first(x: Tensor) -> Tensor:
    return x.transpose(0, 3, 1, 2)


def _pads(given: Arguments) -> Pads:
    """Return top, left, bottom, right; MIL's `pad` is top, bottom, left, right."""
    if given["pad_type"] == "valid":
        return 0, 0, 0, 0
    if given["pad_type"] != "custom":
        raise WeightsError(f"the reader of Core ML programs does not know the padding '{given['pad_type']}'")
    top, bottom, left, right = (int(side) for side in given["pad"])
    return top, left, bottom, right


def _pair(values: Any) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _conv(given: Arguments) -> Tensor:
    if any(int(step) != 1 for step in given.get("dilations", (1, 1))):
        raise WeightsError("the reader of Core ML programs does not know dilated convolutions")
    groups = int(given.get("groups", 1))
    stride = _pair(given.get("strides", (1, 1)))
    sums = convolve(_last(given["x"]), _wide(given["weight"]), stride=stride, pads=_pads(given), groups=groups)
    return _first(sums + _wide(given["bias"]) if "bias" in given else sums)


def _max_pool(given: Arguments) -> Tensor:
    x, (kernel, stride) = _last(given["x"]), (_pair(given["kernel_sizes"]), _pair(given["strides"]))
    top, left, bottom, right = pads = _pads(given)
    if given.get("ceil_mode", False):
        raise WeightsError("the reader of Core ML programs does not know partial windows")
    sizes = x.shape[1] + top + bottom, x.shape[2] + left + right
    pooled = tuple((size - side) // step + 1 for size, side, step in zip(sizes, kernel, stride, strict=True))
    return _first(max_pool(MaxPool("", (), kernel, stride, False), x, pads, pooled))


def _avg_pool(given: Arguments) -> Tensor:
    counted = not bool(given.get("exclude_padding_from_average", False))
    node = AvgPool("", (), _pair(given["kernel_sizes"]), _pair(given["strides"]), count_padding=counted)
    return _first(real.average(node, _last(given["x"]), _pads(given)))


def _reduce_mean(given: Arguments) -> Tensor:
    axes = tuple(int(axis) for axis in given["axes"])
    mean: Tensor = _wide(given["x"]).mean(axis=axes, keepdims=bool(given["keep_dims"]))
    return mean


def _reduce_max(given: Arguments) -> Tensor:
    axes = tuple(int(axis) for axis in given["axes"])
    largest: Tensor = _wide(given["x"]).max(axis=axes, keepdims=bool(given["keep_dims"]))
    return largest


def _slice(given: Arguments) -> Tensor:
    x = np.asarray(given["x"])
    begin, end = given["begin"], given["end"]
    places = []
    for axis in range(x.ndim):
        first = None if _masked(given, "begin_mask", axis) else int(begin[axis])
        last = None if _masked(given, "end_mask", axis) else int(end[axis])
        places.append(slice(first, last))
    return x[tuple(places)]


def _masked(given: Arguments, name: str, axis: int) -> bool:
    return name in given and bool(given[name][axis])


def _local_norm(given: Arguments) -> Tensor:
    alpha, beta, k = (float(given[name]) for name in ("alpha", "beta", "k"))
    return _first(real.local_norm(LocalNorm("", (), int(given["size"]), alpha, beta, k), _last(given["x"])))


def _softmax(given: Arguments) -> Tensor:
    x = _wide(given["x"])
    return np.moveaxis(real.softmax(np.moveaxis(x, int(given["axis"]), -1)), -1, int(given["axis"]))


def _from_palette(given: Arguments) -> Tensor:
    """Look weights up in the one table of a tensor; until iOS 17 places are bits in bytes, the lowest first."""
    table = np.asarray(given["lut"])
    if "shape" in given:
        bits, shape = table.size.bit_length() - 1, [int(side) for side in given["shape"]]
        ones = np.unpackbits(np.asarray(given["indices"]), bitorder="little")[: math.prod(shape) * bits]
        found: Tensor = table[ones.reshape(*shape, bits) @ (1 << np.arange(bits))]
        return found
    if table.size != table.shape[-2]:
        raise WeightsError("the reader of Core ML programs does not know several tables for one tensor")
    weight: Tensor = table.reshape(-1)[np.asarray(given["indices"])]
    return weight


def _from_mask(given: Arguments) -> Tensor:
    """Put weights where a bit of the mask is set, the lowest of each byte first, and zeros elsewhere."""
    shape = [int(side) for side in given["shape"]]
    there = np.unpackbits(np.asarray(given["mask"]), bitorder="little")[: math.prod(shape)].astype(bool)
    weight = np.zeros(math.prod(shape), np.float16)
    weight[there] = given["nonzero_data"]
    return weight.reshape(shape)


def _scaled(given: Arguments) -> Tensor:
    """Multiply by a scale for each block; a block spans an axis, or is one place along it."""
    if "offset" in given:
        raise WeightsError("the reader of Core ML programs does not know offsets of blocks")
    return _wide(given["data"]) * _wide(given["scale"])


def _from_levels(given: Arguments) -> Tensor:
    levels = np.asarray(given["quantized_data"], np.float32)
    shape = [1] * levels.ndim
    shape[int(given["axis"])] = -1
    scale, zero = (np.asarray(given[name], np.float32) for name in ("scale", "zero_point"))
    scale, zero = (part.reshape(shape) if part.ndim else part for part in (scale, zero))
    return (levels - zero) * scale


def _activation(kind: Any) -> Callable[[Arguments], Tensor]:
    return lambda given: real.activated(_wide(given["x"]).copy(), kind, float(given.get("alpha", 0.0)))


def _hard_sigmoid(given: Arguments) -> Tensor:
    gate: Tensor = np.clip(_wide(given["x"]) * np.float32(given["alpha"]) + np.float32(given["beta"]), 0, 1)
    return gate


_KERNELS: Mapping[str, Callable[[Arguments], Any]] = {
    "add": lambda given: _wide(given["x"]) + _wide(given["y"]),
    "avg_pool": _avg_pool,
    "cast": lambda given: np.asarray(given["x"]),
    "concat": lambda given: np.concatenate(given["values"], axis=int(given["axis"])),
    "const": lambda given: given["val"],
    "constexpr_affine_dequantize": _from_levels,
    "constexpr_blockwise_shift_scale": _scaled,
    "constexpr_lut_to_dense": _from_palette,
    "constexpr_sparse_to_dense": _from_mask,
    "conv": _conv,
    "exp": lambda given: np.exp(_wide(given["x"])),
    "greater_equal": lambda given: _wide(given["x"]) >= _wide(given["y"]),
    "identity": lambda given: np.asarray(given["x"]),
    "leaky_relu": _activation("leaky_relu"),
    "linear": lambda given: _wide(given["x"]) @ _wide(given["weight"]).T + _wide(given["bias"]),
    "local_response_norm": _local_norm,
    "max_pool": _max_pool,
    "minimum": lambda given: np.minimum(_wide(given["x"]), _wide(given["y"])),
    "mul": lambda given: _wide(given["x"]) * _wide(given["y"]),
    "reduce_max": _reduce_max,
    "reduce_mean": _reduce_mean,
    "relu": _activation("relu"),
    "relu6": _activation("relu6"),
    "reshape": lambda given: np.asarray(given["x"]).reshape(tuple(int(side) for side in given["shape"])),
    "sigmoid": _activation("sigmoid"),
    "sigmoid_hard": _hard_sigmoid,
    "silu": _activation("silu"),
    "slice_by_index": _slice,
    "softmax": _softmax,
    "sub": lambda given: _wide(given["x"]) - _wide(given["y"]),
    "transpose": lambda given: np.asarray(given["x"]).transpose(tuple(int(axis) for axis in given["perm"])),
}
