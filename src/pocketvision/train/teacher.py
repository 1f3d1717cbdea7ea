"""Teachers: trained nets whose probabilities and features a student learns from, computed once for each view."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.data.tensors import eval_batch_size, normalize
from pocketvision.errors import DataError, UsageError
from pocketvision.files import user_path, write_bytes
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.tasks import learning
from pocketvision.train.batches import RandomViews
from pocketvision.train.checkpoint import trained_net
from pocketvision.values import Trained
from pocketvision.weights.load import Weights, read
from pocketvision.words import quoted


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained net of a finished run."""

    run: Path
    net: Net
    trained: Trained
    weights: Weights


@dataclass(frozen=True, eq=False)
class TeacherOutputs:
    """What the teachers together make of every view."""

    probabilities: Tensor
    """Probabilities at the temperature of the distillation, the teachers' mean: [views * images, classes]."""
    features: Tensor
    """The teachers' features side by side, each of length 1: [views * images, channels]."""


def teachers_of(runs: str | Path | Sequence[str | Path]) -> tuple[Teacher, ...]:
    """Load the trained nets of one or several run folders; several may be given as one text with commas."""
    given = str(runs).split(",") if isinstance(runs, str | Path) else list(runs)
    folders = [user_path(str(run).strip()) for run in given if str(run).strip()]
    if not folders:
        raise UsageError("no teacher was given; name the run folder of a trained net, or several with commas between")
    found = []
    for folder in folders:
        net, trained = trained_net(folder)
        found.append(Teacher(folder, net, trained, read(RunFolder(folder).best)))
    return tuple(found)


def check_labels(teacher: Teacher, labels: Sequence[str], task: str = "classify") -> None:
    """Raise DataError unless the teacher answers the same question with these labels, in this order."""
    known = list(teacher.weights.labels or ())
    if teacher.trained.task != task:
        raise DataError(
            f"the teacher {teacher.run} was trained for the task '{teacher.trained.task}', and these images are for "
            f"'{task}'; take a teacher that was trained on images like them"
        )
    if known == list(labels):
        return
    lacking, extra = [x for x in labels if x not in known], [x for x in known if x not in labels]
    if lacking or extra:
        told = [f"it does not know {quoted(lacking, 8)}"] * bool(lacking) + [f"it knows {quoted(extra, 8)}"] * bool(
            extra
        )
        raise DataError(
            f"the teacher {teacher.run} has other classes than these images: {', and '.join(told)}; "
            "take a teacher that was trained on the same classes"
        )
    place = next(index for index, (one, two) in enumerate(zip(known, labels, strict=True)) if one != two)
    raise DataError(
        f"the teacher {teacher.run} has the same classes in another order: its number {place} is '{known[place]}', "
        f"that of these images is '{labels[place]}'; train it again on these folders"
    )


def teacher_outputs(
    teachers: Sequence[Teacher], views: RandomViews, count: int, *, temperature: float, kept: Path, progress: Progress
) -> TeacherOutputs:
    """Ask the teachers about so many views, or read from `kept` what they answered before an interruption."""
    key = _key(teachers, views, count, temperature)
    if kept.exists():
        with np.load(kept, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                return TeacherOutputs(torch.from_numpy(stored["probabilities"]), torch.from_numpy(stored["features"]))
    rows: list[tuple[Tensor, ...]] = []
    parts = parts_of(teachers, views)
    with progress.bar("asking the teacher", count * len(parts)) as bar:
        for view, chosen in product(range(count), parts):
            draw = partial(views.shown, view, chosen)
            rows.append(ask(teachers, draw, temperature=temperature, device=views.device))
            bar.advance()
    probabilities, features = (torch.cat(found) for found in zip(*rows, strict=True))
    stream = io.BytesIO()
    np.savez(stream, key=np.array(key), probabilities=probabilities.numpy(), features=features.numpy())
    write_bytes(kept, stream.getvalue())
    return TeacherOutputs(probabilities, features)


def parts_of(teachers: Sequence[Teacher], views: RandomViews) -> list[NDArray[np.int64]]:
    """Return the places of the training images, as many together as the teachers are asked about at once."""
    size = min(eval_batch_size(teacher.trained.image.resolution, views.device) for teacher in teachers)
    places = np.arange(len(views.images.source))
    return [places[start : start + size] for start in range(0, len(places), size)]


@torch.no_grad()
def ask(
    teachers: Sequence[Teacher], draw: Callable[[int], Tensor], *, temperature: float, device: torch.device
) -> tuple[Tensor, ...]:
    """Return softened probabilities and features of the images that `draw` makes at each teacher's resolution."""
    probabilities, features = [], []
    shown: dict[int, Tensor] = {}
    soften = learning(teachers[0].trained.task).soften
    for teacher in teachers:
        image = teacher.trained.image
        if image.resolution not in shown:
            shown[image.resolution] = draw(image.resolution).to(device)
        seen = teacher.net.to(device).embed(normalize(shown[image.resolution], image))
        probabilities.append(soften(teacher.net.classifier(seen), temperature).cpu())
        features.append(nn.functional.normalize(pooled(seen), dim=1).cpu())
    return torch.stack(probabilities).mean(0), torch.cat(features, 1)


def pooled(features: Tensor) -> Tensor:
    """Return vectors [N, C], of maps their mean."""
    return features.mean((2, 3)) if features.ndim == 4 else features


def _key(teachers: Sequence[Teacher], views: RandomViews, count: int, temperature: float) -> str:
    source, recipe = views.images.source, views.recipe
    digest = hashlib.sha256(f"{count}|{recipe.seed}|{recipe.flip}|{temperature}|{source.shape}".encode())
    digest.update(np.ascontiguousarray(source[:: max(1, len(source) // 64)]).tobytes())
    for teacher in teachers:
        digest.update(RunFolder(teacher.run).best.read_bytes())
    return digest.hexdigest()
