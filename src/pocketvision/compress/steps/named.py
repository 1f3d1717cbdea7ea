"""Steps by the names that the command line knows them by, such as `prune=0.5,share=5,int8`."""

from collections.abc import Callable, Mapping

from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.compensate import Compensate
from pocketvision.compress.steps.equalize import Equalize
from pocketvision.compress.steps.prune import Magnitude, Prune
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.ranges import Ranges
from pocketvision.compress.steps.recover import Recover
from pocketvision.compress.steps.share import Share
from pocketvision.compress.steps.slim import Slim, SlimTarget
from pocketvision.compress.steps.step import CompressionStep
from pocketvision.errors import UnknownName, UsageError

Reader = Callable[[str, str], CompressionStep]
"""From a name and what stands behind its `=` to the step."""


def _alone(step: CompressionStep) -> Reader:
    def read(name: str, value: str) -> CompressionStep:
        if value:
            raise UsageError(f"the step {name} takes no value, and {name}={value} gives one")
        return step

    return read


def _share(step: Callable[[float], CompressionStep]) -> Reader:
    def read(name: str, value: str) -> CompressionStep:
        share = _number(value)
        if share is None or not 0 < share < 1:
            raise UsageError(f"the step {name} needs a share of the weights between 0 and 1, such as {name}=0.5")
        return step(share)

    return read


def _bits(step: Callable[[int], CompressionStep]) -> Reader:
    def read(name: str, value: str) -> CompressionStep:
        bits = _number(value)
        if bits is None or bits not in range(2, 9):
            raise UsageError(f"the step {name} needs a number of bits from 2 to 8, such as {name}=5")
        return step(int(bits))

    return read


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


READERS: Mapping[str, Reader] = {
    "slim": lambda _, value: Slim(SlimTarget.read(value)),
    "equalize": _alone(Equalize()),
    "magnitude": _share(Magnitude),
    "prune": _share(Prune),
    "share": _bits(Share),
    "ranges": _alone(Ranges()),
    "int8": _alone(Quantize()),
    "quantize": _bits(Quantize),
    "compensate": _alone(Compensate()),
    "bias": _alone(CorrectBias()),
    "recover": _alone(Recover()),
}
"""In the order in which steps are done."""
STEPS_THAT_LEARN = (Slim, Recover)
"""They learn from images, the more the better."""
STEPS_THAT_WEIGH = (Prune, Compensate)
"""They weigh errors by the loss of the answer, which needs some more images."""
SMALLER = {"magnitude", "prune", "share", "int8", "quantize"}
"""Without one of these, a net is as large as it was."""


def steps_named(text: str) -> tuple[CompressionStep, ...]:
    """Return the steps that a text names with commas, in the order in which they are done.

    Raises UnknownName for one that does not exist, UsageError where none makes the net smaller, one comes twice, or a
    value is missing or out of range.
    """
    asked = [tuple(part.strip() for part in word.partition("=")) for word in text.split(",")]
    names = [name for name, _, _ in asked]
    for name in names:
        if name not in READERS:
            raise UnknownName("step", name, READERS)
    if not SMALLER & set(names):
        raise UsageError(f"the steps {', '.join(names)} leave the net in float; add int8")
    if len(set(names)) != len(names) or {"int8", "quantize"} <= set(names):
        raise UsageError(f"a step is named twice in {', '.join(names)}; name each once")
    order = list(READERS)
    return tuple(READERS[name](name, value) for name, _, value in sorted(asked, key=lambda each: order.index(each[0])))
