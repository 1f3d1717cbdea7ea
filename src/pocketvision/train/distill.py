"""How a small net is taught by larger trained ones, from the best start there is."""

from dataclasses import replace

from pocketvision.errors import UsageError
from pocketvision.models.catalogue import parse_name
from pocketvision.train.teacher import Teacher
from pocketvision.values import ModelSpec
from pocketvision.weights.load import Weights


def student_spec(model: str | None, width: float | None, start: Weights | None, teacher: Teacher) -> ModelSpec:
    """Settle family and width: as asked, else as the weights are, else the teacher's family at half its width."""
    own = teacher.trained.spec
    if model is not None:
        named = parse_name(model)
        if start is not None and start.spec.name != named.name:
            raise UsageError(f"the weights are of {start.spec.name}, not of {named.name}; give weights of {named.name}")
    elif start is not None:
        named = start.spec
    else:
        named = replace(own, width=own.width / 2)
    return replace(named, width=width) if width is not None else named
