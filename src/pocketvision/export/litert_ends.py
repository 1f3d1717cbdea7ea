"""The last operators of a LiteRT file whose answer is in whole numbers: probabilities in steps of 1/256."""

from pocketvision.export.litert_file import LitertFile, Scale
from pocketvision.export.tables import Field
from pocketvision.graph.fixed import PROBABILITY
from pocketvision.values import Io

NAME = "probabilities"


def whole_softmax(file: LitertFile, x: int, io: Io) -> int:
    """Write the softmax of an int8 tensor [1, classes] in integers, the one scale that its kernel gives.

    The kernel gives int8. uint8 are the same levels under a zero point 128 higher: one QUANTIZE that only adds.
    """
    shape, scale = file.tensors[x].shape, PROBABILITY.scale
    name = NAME if io == "int8" else ""
    out = file.tensor(shape, "int8", Scale((scale,), PROBABILITY.zero_point - 128), name=name)
    answer = file.operator("SOFTMAX", [x], out, Field(0, "float32", 1.0))
    if io == "int8":
        return answer
    levels = file.tensor(shape, "uint8", Scale((scale,), PROBABILITY.zero_point), name=NAME)
    return file.operator("QUANTIZE", [answer], levels)
