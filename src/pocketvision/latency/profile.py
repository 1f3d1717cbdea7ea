"""The profile of a machine: predicts the time of nets that were never timed, from some hundred that were."""

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision import cache
from pocketvision.errors import DataError, UnknownName
from pocketvision.files import read_json, write_json
from pocketvision.graph.graph import Graph
from pocketvision.latency.features import AMOUNTS, KernelFeatures, features
from pocketvision.latency.kernels import KINDS, Ints, Kernels
from pocketvision.latency.model import Model
from pocketvision.latency.reading import kernels
from pocketvision.values import ModelSpec
from pocketvision.values.records import from_json

FORMAT, VERSION = "pocketvision latency profile", 1
LARGEST_FILE = 2_000_000
RUNTIMES, PRECISIONS = ("onnx", "litert"), ("float", "int8")
COVERAGE = 0.9
"""Share of nets whose time lies within the interval."""
_SHIPPED = "pocketvision.latency.profiles"
_BEYOND = 1.25
"""Nets may be larger than the largest timed one by so much."""
_CHUNK_NETS = 16

Array = NDArray[np.float64]


class LatencyPrediction(NamedTuple):
    """Times of one image in milliseconds, an entry a net."""

    median_ms: Array
    low_ms: Array
    high_ms: Array
    covered: NDArray[np.bool_]
    """False where kernels or sizes were not among the nets that were timed: the interval then promises nothing."""


@dataclass(frozen=True)
class Anchor:
    """A net whose time tells how fast a machine is today."""

    spec: ModelSpec
    median_ms: float


@dataclass(frozen=True)
class Profile:
    """One machine, runtime, precision and number of threads."""

    format: str
    format_version: int
    machine: str
    runtime: str
    """`onnx` or `litert`."""
    runtime_name: str
    """With its version."""
    precision: str
    threads: int
    created: str
    """Date, ISO 8601."""
    nets: int
    """That were timed."""
    clean_share: float
    """Of the calls, those that no neighbor disturbed."""
    canary_us: float
    """Usual time of the loop of Python that tells a disturbed call."""
    reference_ms: float
    """Of the reference net."""
    kinds: tuple[str, ...]
    """Kernels that the timed nets had."""
    largest_weights: int
    """Weights of the largest timed net."""
    range_ms: tuple[float, float]
    """Shortest and longest time."""
    errors: tuple[float, ...]
    """Of nets that a part of the model was not fitted to: quantiles, evenly spaced from the smallest to the largest, of
    the absolute logarithms of predicted over measured."""
    models: tuple[dict[str, str], ...]
    """Their geometric mean is the prediction: arrays by name, as float16 in base64."""
    anchors: tuple[Anchor, ...] = ()
    scale: float = 1.0
    """That all times are multiplied by, where anchors were timed again later or elsewhere."""
    spread: float = 0.0
    """How much the anchors disagreed on that scale, as a logarithm: it widens the intervals."""
    note: str = ""

    @property
    def margin(self) -> float:
        """Half the width of the intervals, as a logarithm."""
        return float(np.quantile(self.errors, COVERAGE)) + self.spread

    def kernels(self, graph: Graph) -> Kernels:
        """Read a float graph as this profile's runtime runs it, for `predict_at`; it can be kept."""
        return kernels(graph, runtime=self.runtime, precision=self.precision)

    def predict(self, graphs: Sequence[Graph]) -> LatencyPrediction:
        """Predict the times of float graphs at their own resolution, at the profile's precision."""
        return self.predict_at([(self.kernels(graph), [graph.input.resolution]) for graph in graphs])

    def predict_at(self, nets: Sequence[tuple[Kernels, Sequence[int] | Ints]]) -> LatencyPrediction:
        """Predict nets at several resolutions each: all those of the first come first. Needs no graph but once.

        Raises GraphError for an image that is too small for its net.
        """
        models = [unpacked(model) for model in self.models]
        medians = [
            self._medians(models, nets[start : start + _CHUNK_NETS]) for start in range(0, len(nets), _CHUNK_NETS)
        ]
        median = np.concatenate([np.zeros(0), *medians]) * self.scale
        width = np.exp(self.margin)
        known = np.array([self._knows(net) for net, _ in nets], bool)
        covered = np.repeat(known, [len(resolutions) for _, resolutions in nets])
        low, high = self.range_ms[0] * self.scale / _BEYOND, self.range_ms[1] * self.scale * _BEYOND
        return LatencyPrediction(median, median / width, median * width, covered & (low <= median) & (median <= high))

    def _medians(self, models: Sequence[Model], nets: Sequence[tuple[Kernels, Sequence[int] | Ints]]) -> Array:
        found, count = features(nets), sum(len(resolutions) for _, resolutions in nets)
        return geometric_mean(models, found, count)

    def _knows(self, net: Kernels) -> bool:
        kinds = {KINDS[place] for place in net.columns[0]}
        return not net.boxes and kinds <= set(self.kinds) and net.weights <= self.largest_weights * _BEYOND

    def scaled(self, measured_ms: Sequence[float], *, machine: str) -> "Profile":
        """Return the profile as it is where the anchors take these times: one factor for all, and wider intervals."""
        ratios = np.log(np.array(measured_ms) / [anchor.median_ms for anchor in self.anchors])
        off = np.abs(ratios - np.median(ratios))
        spread = 1.4826 * float(np.median(off))  # a normal's deviation
        return replace(self, scale=float(np.exp(np.median(ratios))), spread=spread, machine=machine)


def geometric_mean(models: Sequence[Model], found: KernelFeatures, nets: int) -> Array:
    """Return the milliseconds of each net by several models together."""
    times: Array = np.exp(np.mean([np.log(model.predict(found, nets)) for model in models], axis=0))
    return times


def packed(model: Model) -> dict[str, str]:
    """Return a model's arrays as text."""
    arrays = {item.name: getattr(model, item.name) for item in fields(model)}
    return {name: base64.b64encode(array.astype("<f2").tobytes()).decode() for name, array in arrays.items()}


def unpacked(texts: dict[str, str]) -> Model:
    """Return the model that `packed` wrote; raises ValueError where it is none."""
    names = [item.name for item in fields(Model)]
    if sorted(texts) != sorted(names):
        raise ValueError(f"its model has {', '.join(texts) or 'nothing'}, not {', '.join(names)}")
    flat = {
        name: np.frombuffer(base64.b64decode(texts[name], validate=True), "<f2").astype(np.float32) for name in names
    }
    hidden = len(flat["last"])
    shapes = {name: (-1, hidden) for name in ("kinds", "fused", "first", "second")} | {"prices": (len(KINDS), AMOUNTS)}
    return Model(**{name: array.reshape(shapes.get(name, (hidden,))) for name, array in flat.items()})


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile as one JSON file."""
    write_json(path, profile)


def read_profile(path: Path) -> Profile:
    """Read a profile; raises DataError that names the file where it is none or damaged."""
    if not path.is_file():
        raise DataError(
            f"there is no file {path}; write one with `pocketvision latency calibrate --output {path.name}`"
        )
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it has over {LARGEST_FILE:,} bytes")
        found = read_json(Profile, path)
        _check(found)
    except (ValueError, TypeError, AttributeError, RecursionError, json.JSONDecodeError, binascii.Error) as error:
        raise DataError(
            f"{path} is no latency profile ({error}); write one with `pocketvision latency calibrate`"
        ) from error
    return found


def own_path(*, runtime: str, precision: str, threads: int) -> Path:
    """Return where this machine's own profile is kept."""
    return cache.root() / "latency" / f"{runtime}-{precision}-{threads}.json"


def shipped(*, runtime: str, precision: str) -> Profile:
    """Return the profile that comes with the package, measured on one thread of one processor."""
    name = f"{runtime}-{precision}.json"
    known = [entry.name for entry in resources.files(_SHIPPED).iterdir() if entry.name.endswith(".json")]
    if name not in known:
        raise UnknownName(
            "latency profile", name.removesuffix(".json"), [entry.removesuffix(".json") for entry in known]
        )
    return from_json(Profile, json.loads(resources.files(_SHIPPED).joinpath(name).read_text(encoding="utf-8")))


def _check(found: Profile) -> None:
    """Raise ValueError where a profile makes no sense."""
    if (found.format, found.format_version) != (FORMAT, VERSION):
        raise ValueError(f"it says {found.format!r}, version {found.format_version!r}")
    if found.runtime not in RUNTIMES or found.precision not in PRECISIONS:
        raise ValueError(f"it is of {found.runtime} {found.precision}")
    if not found.models or not found.errors or found.scale <= 0 or not 0 < found.range_ms[0] <= found.range_ms[1]:
        raise ValueError("it lacks a model, its errors, or a range of times")
    for texts in found.models:
        model = unpacked(texts)
        if not all(np.isfinite(getattr(model, item.name)).all() for item in fields(model)):
            raise ValueError("its model holds values that are no numbers")


def kinds_of(nets: Iterable[Kernels]) -> tuple[str, ...]:
    """Return the kinds of kernels that some nets have."""
    return tuple(KINDS[place] for place in sorted({int(place) for net in nets for place in net.columns[0]}))
