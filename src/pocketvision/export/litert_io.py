"""The input and output of a LiteRT file: an image in float, and probabilities as integers, in steps of 1/256."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.export.litert_file import LitertFile, TensorScale
from pocketvision.export.tables import Field
from pocketvision.graph.fixed import PROBABILITY
from pocketvision.graph.graph import Ending, Sigmoid, Softmax
from pocketvision.values import Io

NAME = "probabilities"


def ending(file: LitertFile, node: Ending, x: int, out: int) -> int:
    """Write what makes probabilities of a tensor [1, classes]."""
    if isinstance(node, Softmax):
        return file.operator("SOFTMAX", [x], out, Field(0, "float32", 1.0))
    assert isinstance(node, Sigmoid)
    return file.operator("LOGISTIC", [x], out)


def whole_ending(file: LitertFile, node: Ending, x: int, io: Io) -> int:
    """Write the ending of an int8 tensor [1, classes] in integers, of the one scale that its kernel gives.

    The kernel gives int8. uint8 are the same levels under a zero point 128 higher: one QUANTIZE that only adds.
    """
    shape, scale = file.tensors[x].shape, PROBABILITY.scale
    name = NAME if io == "int8" else ""
    out = file.tensor(shape, "int8", TensorScale((scale,), PROBABILITY.zero_point - 128), name=name)
    answer = ending(file, node, x, out)
    if io == "int8":
        return answer
    levels = file.tensor(shape, "uint8", TensorScale((scale,), PROBABILITY.zero_point), name=NAME)
    return file.operator("QUANTIZE", [answer], levels)


def normalized(file: LitertFile, x: int, *, mean: NDArray[np.float64], std: NDArray[np.float64]) -> int:
    """Write the subtraction of `mean` and the division by `std`, each [channels], of a float image."""
    shape = file.tensors[x].shape
    value = file.operator("SUB", [x, file.constant(_spread(mean, shape[2]))], file.tensor(shape, "float32"))
    if np.allclose(std, 1):
        return value
    return file.operator("MUL", [value, file.constant(_spread(1 / std, shape[2]))], file.tensor(shape, "float32"))


def _spread(values: NDArray[np.float64], width: int) -> NDArray[np.float32]:
    """Return one value, or those of a whole row: XNNPACK repeats a row fast, and three channels very slowly."""
    if (values == values[0]).all():
        return values[:1].astype(np.float32)
    return np.broadcast_to(values, (1, 1, width, len(values))).astype(np.float32)
