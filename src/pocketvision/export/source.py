"""What is exported or compressed: the net of a run, or of a file, as a float graph with all that is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketvision.compress.published import as_published, in_eight_bits
from pocketvision.data.digits import resolve
from pocketvision.data.layouts.labels import one_line
from pocketvision.data.splits import find_dataset
from pocketvision.errors import GraphError, UsageError
from pocketvision.export.deep_compression import SUFFIX, manifest_beside
from pocketvision.export.manifest import make_manifest, manifest_of_file
from pocketvision.export.unlabeled import load_images
from pocketvision.files import user_path
from pocketvision.graph.graph import Graph
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.runtime.litert import read_manifest
from pocketvision.runtime.onnx import require_whole
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_for_net, spec_of
from pocketvision.values import Dataset, Example, ImageSpec, Manifest, TaskSpec, Trained
from pocketvision.weights.answers import answering
from pocketvision.weights.load import SUFFIXES, Weights
from pocketvision.weights.tflite import label_lines

_MODEL_FILES = {".c": "C", ".mlpackage": "Core ML", ".pte": "ExecuTorch", ".xml": "OpenVINO"}
_BACKGROUND = "background"


@dataclass(frozen=True, eq=False)
class OpenedSource:
    """A net and what is known of it."""

    graph: Graph
    """In float."""
    manifest: Manifest
    """Right but for precision, probes and threshold."""
    dataset: Dataset | None
    """The run's images that are still there, or those given beside a file; None where there are none."""
    trained: Trained | None = None
    """Of a run."""
    whole: Graph | None = None
    """The net in the file's own whole numbers, where it holds such."""

    def images(self) -> Dataset:
        """Return the images; raises UsageError where a file came without any, or those of a run are gone."""
        if self.dataset is None and self.trained is not None:
            raise UsageError(
                "int8 is calibrated on the run's own images, and they are gone from where they were: name the folder "
                "that they are in now behind the run"
            )
        if self.dataset is None:
            raise UsageError(
                "int8 is calibrated on images like those that the net will see: name their folder behind the file"
            )
        return self.dataset


def open_source(
    source: str | Path, data: str | Path | None, *, labels: str | Path | None, progress: Progress
) -> OpenedSource:
    """Open the folder of a run, or a file that `weights` reads; `labels` are for files.

    `data` are images for a file, and for a run the place that its own were moved to. Raises UsageError where they
    are others, or labels are given that the run has itself; WeightsError for a file of no known net.
    """
    path = user_path(source)
    if path.suffix.lower() in (*SUFFIXES, *_MODEL_FILES, ".onnx") and not path.exists():
        raise UsageError(f"there is no file {path}")
    if not path.is_file() and path.suffix.lower() not in _MODEL_FILES:
        if labels is not None:
            raise UsageError(f"{path} is no file: a run has labels of its own; leave --labels away")
        return _run(path, data, progress)
    if path.suffix.lower() in _MODEL_FILES:
        raise UsageError(
            f"{path.name} is written for a runtime, and {_MODEL_FILES[path.suffix.lower()]} files are not read back. "
            "Name the folder of the run that it came from, its .onnx or .tflite, or the weights that it was made of "
            "(.safetensors, .pth, .h5)"
        )
    return _file(path, data, labels, progress)


def open_delivered(source: str | Path, data: str | Path | None, *, progress: Progress) -> OpenedSource:
    """Open a run's delivered ONNX file, with the run's images; raises UsageError where there is none."""
    folder = user_path(source)
    file = RunFolder(folder).export.model()
    if not file.is_file():
        raise UsageError(f"--delivered: {folder} is no run of `fit`, there is no {file}; leave it away")
    return replace(_file(file, None, None, progress), dataset=_run(folder, data, progress).dataset)


def some(examples: Sequence[Example], most: int) -> list[Example]:
    """Return a seeded choice, in order."""
    order = np.random.default_rng(0).permutation(len(examples))[:most]
    return [examples[place] for place in sorted(order)]


def _run(folder: Path, data: str | Path | None, progress: Progress) -> OpenedSource:
    from pocketvision.graph.trace import trace
    from pocketvision.train.checkpoint import trained_net

    net, trained = trained_net(folder)
    run = RunFolder(folder)
    labels = run.labels.read()
    root = Path(run.health.read().root)
    place = root if data is None else resolve(data).absolute()
    dataset = find_dataset(place, labels, run.splits.path, progress=progress)
    if dataset is None and data is not None:
        raise UsageError(f"none of the images that {folder} was trained on is in {place}; name the folder they are in")
    if dataset is None:
        progress.say(f"the run's images are not in {root} any more; where they are now can be named behind the run")
    figures = {"validation": trained.validation}
    spec = spec_for_net(TaskSpec(trained.task, labels), trained.spec)
    manifest = make_manifest(trained, spec, name=root.name, precision="float", figures=figures, probes=())
    return OpenedSource(trace(net, trained.image, load_task(spec.name).ending(spec)), manifest, dataset, trained)


def _file(path: Path, data: str | Path | None, labels: str | Path | None, progress: Progress) -> OpenedSource:
    from pocketvision.graph.trace import trace
    from pocketvision.models.catalogue import build_spec
    from pocketvision.weights.load import load_into, read
    from pocketvision.weights.onnx_file import read_own_onnx

    own: Manifest | None
    if path.suffix.lower() == ".onnx":
        require_whole(path.read_bytes(), path.name)
        weights, own = read_own_onnx(path)
    else:
        own = read_manifest(path) or manifest_beside(path)
        weights = read(path, own.model if own else None)
    weights.tell(progress)
    given = None if labels is None else _lines(labels)
    weights = answering(weights, path.name, names=None if given is None else len(given))
    net = build_spec(weights.spec)
    load_into(net, weights, keep_head=True)
    names = _own_labels(path, weights, own, progress) if given is None else _fitting(given, path, weights, progress)
    manifest = manifest_of_file(weights.spec, weights.image, names)
    if own:
        manifest = replace(own, labels=names, io="mixed", versions=manifest.versions, created=manifest.created)
    manifest = replace(manifest, name=manifest.name or path.stem)
    spec = spec_of(manifest)
    image = _traced_for(weights, own, plain=path.suffix.lower() == SUFFIX)
    graph = trace(net.eval(), image, load_task(spec.name).ending(spec))
    kind = load_task(spec.name).KIND
    dataset = None if data is None else load_images(data, manifest.splits, progress, kind=kind)
    return OpenedSource(graph, manifest, dataset, whole=_whole(graph, weights, progress))


def _traced_for(weights: Weights, own: Manifest | None, *, plain: bool) -> ImageSpec:
    """Return how the file's first layer takes its pixels: ours for runtimes, not the `plain` ones, have normalization
    worked into them."""
    image = own.image if own else weights.image
    if own is None:
        return image
    if weights.levels is not None:
        scale, zero_point = weights.levels.image
        mean, deviation = zero_point / 255, 1 / (255 * scale)
        return replace(image, mean=(mean,) * 3, std=(deviation,) * 3)
    if plain or own.precision == "float16":
        return image
    return replace(image, std=(1 / 255,) * 3)


def _whole(graph: Graph, weights: Weights, progress: Progress) -> Graph | None:
    if weights.levels is None:
        return None
    try:
        whole, narrowed = in_eight_bits(as_published(graph, weights.levels))
    except GraphError as error:
        progress.say(f"the file's own whole numbers are left aside, its real values are taken: {error}")
        return None
    if narrowed:
        progress.say(f"{narrowed:,} of the file's channels hold weights of 9 bits; they were rounded to 8")
    return whole


def _own_labels(path: Path, weights: Weights, own: Manifest | None, progress: Progress) -> tuple[str, ...]:
    """Return what the file calls its outputs, numbers where it names none."""
    found = own.labels if own else weights.labels
    if found is not None:
        return found
    progress.say(f"{path.name} names no labels: they are numbers now; give a text with one label a line as --labels")
    return tuple(str(number) for number in range(weights.spec.num_classes))


def _lines(given: str | Path) -> tuple[str, ...]:
    """Return the labels in a text, one a line; blank lines at its end are none."""
    try:
        return label_lines(user_path(given).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--labels {given} is no text that can be read ({error}); write one label a line") from error


def _fitting(names: tuple[str, ...], path: Path, weights: Weights, progress: Progress) -> tuple[str, ...]:
    """Hold the labels that were given against the net's outputs."""
    classes = weights.spec.num_classes
    if odd := [name for name in names if one_line(name) != name]:
        progress.say(f"--labels: {odd[0]!r} is now {one_line(odd[0])!r}, as names must stand on one line")
        names = tuple(one_line(name) for name in names)
    if "" in names:
        raise UsageError(f"line {names.index('') + 1} of --labels is blank; write one label a line, in the net's order")
    if len(names) == classes - 1 == 1000:
        names = (_BACKGROUND, *names)
    if len(names) != classes:
        raise UsageError(
            f"--labels names {len(names)} labels, and the net in {path.name} has {classes} outputs; write one label a "
            "line, in the net's order"
        )
    if len(set(names)) < classes:
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        progress.say(f"--labels names '{twice}' more than once")
    return names
