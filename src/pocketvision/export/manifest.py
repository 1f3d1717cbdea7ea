"""The manifest of a file: built from what training recorded, with probes whose answers the numpy reference gives."""

import base64
import io
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run
from pocketvision.images.prepare import load
from pocketvision.metrics.accuracy import wilson
from pocketvision.metrics.refusal import Threshold
from pocketvision.tasks import load as load_task
from pocketvision.tasks import of_kind
from pocketvision.values import ImageSpec, Manifest, ModelSpec, Precision, Probe, Refusal, Score, TaskSpec, Trained

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT_VERSION = 1
PROBES = 3
PROBE_PIXELS = 16
_SHADES = 16
"""Of each color that a probe has: half the bytes of all of them, and any image does to compare answers."""
_DIGITS = 4
"""Of a probability: what is allowed between runtimes is 0.001 or more, and of a thousand classes most then are 0."""
PROBE_BOXES = 20
"""The most boxes that a probe keeps."""
_PACKAGES = ("pocketvision", "torch", "onnx", "numpy", "pillow")


def make_manifest(
    trained: Trained,
    spec: TaskSpec,
    *,
    name: str,
    precision: Precision,
    figures: dict[str, Score],
    probes: tuple[Probe, ...],
    threshold: Threshold | None = None,
) -> Manifest:
    """Say everything a reader of the file needs: labels, image rule, origin, figures, probes, versions."""
    return Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        task=load_task(spec.name).WORD,
        labels=spec.labels,
        image=trained.image,
        model=trained.spec,
        precision=precision,
        data_digest=trained.data_digest,
        splits=trained.splits,
        figures=figures,
        probes=probes,
        versions=_versions(),
        created=_now(),
        abstain_below=threshold.below if threshold else None,
        refusal=threshold.refusal if threshold else None,
        thresholds=spec.thresholds,
    )


def manifest_of_file(spec: ModelSpec, image: ImageSpec, labels: tuple[str, ...]) -> Manifest:
    """Say what is known of the net in a weights file; its name, probes and precision are still to be filled in."""
    return Manifest(
        format_version=FORMAT_VERSION,
        name="",
        task=of_kind("classes" if spec.detector is None else "boxes").WORD,
        labels=labels,
        image=image,
        model=spec,
        precision="float",
        data_digest="",
        splits={},
        figures={},
        probes=(),
        versions=_versions(),
        created=_now(),
    )


def thumbnails(images: NDArray[np.uint8]) -> tuple[str, ...]:
    """Shrink images [N, R, R, 3] to tiny PNGs of few colors in base64, for probes."""
    from PIL.Image import Resampling, fromarray

    texts = []
    for image in images:
        stream = io.BytesIO()
        small = fromarray(image).resize((PROBE_PIXELS, PROBE_PIXELS), Resampling.BOX)
        _in_shades(small).save(stream, "PNG", optimize=True)
        texts.append(base64.b64encode(stream.getvalue()).decode())
    return tuple(texts)


def _in_shades(image: "Image") -> "Image":
    width = 256 // _SHADES
    return image.point([width * (value // width) + width // 2 for value in range(256)] * 3)


def make_probes(graph: Graph, image: ImageSpec, pngs: tuple[str, ...]) -> tuple[Probe, ...]:
    """Answer tiny images by the numpy reference, from their bytes on, so that any runtime can be held to it."""
    inputs = np.stack([load(base64.b64decode(png), image) for png in pngs])
    answers = run(graph, inputs)
    return tuple(
        Probe(png, tuple(round(float(value), _DIGITS) for value in stored(row)))
        for png, row in zip(pngs, answers, strict=True)
    )


def stored(answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a probe keeps of the answer to one image: all of [classes], of boxes [M, 6] the best, one by one."""
    if answer.ndim == 1:
        return answer
    return answer[answer[:, 5] > 0][:PROBE_BOXES].ravel()


def stand_in_probes(spec: TaskSpec) -> tuple[Probe, ...]:
    """Return probes of noise, which take as much room as any: for weighing a file before there is a trained net."""
    answers, _ = load_task(spec.name).stand_in(spec, 1)
    return tuple(Probe(png, (0.1234,) * stored(answers[0]).size) for png in stand_in_images())


def stand_in_images() -> tuple[str, ...]:
    """Return tiny PNGs of noise, for the probes of a net without images of its own."""
    noise = np.random.default_rng(0).integers(0, 256, (PROBES, PROBE_PIXELS, PROBE_PIXELS, 3), np.uint8)
    return thumbnails(noise)


def stand_in_threshold() -> Threshold:
    """Return a threshold that takes as much room as any."""
    share = wilson(2999, 3000)
    return Threshold(0.1234, Refusal(share, share), "")


def stand_in_thresholds(spec: TaskSpec) -> TaskSpec:
    """Return a spec whose thresholds take as much room as any."""
    nothing = np.zeros((0, len(spec.labels)), np.float32)
    settled = load_task(spec.name).settle(nothing, nothing.astype(np.int64), spec)
    return replace(settled, thresholds=(0.1234,) * len(settled.thresholds))


def _versions() -> dict[str, str]:
    return {package: metadata.version(package) for package in _PACKAGES}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
