"""Teachers: trained nets whose probabilities and features a student learns from, computed once for each view."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.data.arrays import Prepared
from pocketvision.data.augment import Augment, augment, seeds_of
from pocketvision.data.tensors import normalize
from pocketvision.errors import DataError, UsageError
from pocketvision.files import user_path, write_bytes
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.tasks import learning
from pocketvision.train.checkpoint import trained_net
from pocketvision.values import Trained
from pocketvision.weights.load import Weights, read
from pocketvision.words import quoted

Pixels = NDArray[np.uint8]
CHUNK = 8
"""Images that share the random numbers of a view: batches are whole chunks, so that every view can be made again."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained net of a finished run."""

    run: Path
    net: Net
    trained: Trained
    weights: Weights


@dataclass(frozen=True)
class Views:
    """Random views of the training images: few enough that a teacher can see all of them, and the same each time."""

    count: int
    seed: int
    augment: Augment

    def chunks(self, images: int, view: int) -> list[NDArray[np.int64]]:
        """Split the images' places into chunks, another way in each view; none is a single image, from which a
        batch norm cannot be estimated."""
        order = np.random.default_rng([self.seed, view]).permutation(images)
        found = [order[start : start + CHUNK] for start in range(0, images, CHUNK)]
        if len(found) > 1 and len(found[-1]) == 1:
            found[-2:] = [np.concatenate(found[-2:])]
        return found

    def pixels(self, images: Pixels, view: int, chunk: int, resolution: int) -> Tensor:
        """Return a chunk's images as that view shows them, float [n, 3, R, R] in 0..1: the same crop at any R."""
        batch = torch.from_numpy(np.ascontiguousarray(images))
        places = 2 * CHUNK * chunk + np.arange(len(images))
        return augment(batch, resolution, self.augment, seeds=seeds_of(self.seed, view, places))


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
    teachers: Sequence[Teacher],
    source: Prepared,
    views: Views,
    *,
    temperature: float,
    kept: Path,
    device: torch.device,
    progress: Progress,
) -> TeacherOutputs:
    """Ask the teachers about every view, or read from `kept` what they answered before an interruption."""
    key = _key(teachers, source, views, temperature)
    if kept.exists():
        with np.load(kept, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                return TeacherOutputs(torch.from_numpy(stored["probabilities"]), torch.from_numpy(stored["features"]))
    rows: list[tuple[Tensor, ...]] = []
    places: list[NDArray[np.int64]] = []
    total = views.count * len(views.chunks(len(source), 0))
    with progress.bar("asking the teacher", total) as bar:
        for view in range(views.count):
            for number, chosen in enumerate(views.chunks(len(source), view)):
                draw = partial(views.pixels, source[chosen], view, number)
                rows.append(ask(teachers, draw, temperature=temperature, device=device))
                places.append(chosen + view * len(source))
                bar.advance()
    back = torch.from_numpy(np.concatenate(places).argsort())
    ordered = [torch.cat(parts)[back] for parts in zip(*rows, strict=True)]
    stream = io.BytesIO()
    np.savez(stream, key=np.array(key), probabilities=ordered[0].numpy(), features=ordered[1].numpy())
    write_bytes(kept, stream.getvalue())
    return TeacherOutputs(*ordered)


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


def _key(teachers: Sequence[Teacher], source: Prepared, views: Views, temperature: float) -> str:
    digest = hashlib.sha256(f"{views}|{temperature}|{source.shape}".encode())
    digest.update(np.ascontiguousarray(source[:: max(1, len(source) // 64)]).tobytes())
    for teacher in teachers:
        digest.update(RunFolder(teacher.run).best.read_bytes())
    return digest.hexdigest()
