"""The verbs of `pocketvision latency`: calibrate this machine, predict nets, make a profile of another device."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketvision.clock import seconds
from pocketvision.errors import UsageError
from pocketvision.files import make_folder, user_path
from pocketvision.fit.profiles import calibrated, default_profile, emit, fitted, setting_of, trace
from pocketvision.graph.graph import Graph
from pocketvision.latency.calibrate import RuntimeSetting
from pocketvision.latency.emitted import Emitted, read_emitted
from pocketvision.latency.profile import Profile, own_path, read_profile, write_profile
from pocketvision.models.catalogue import parse_name
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import LatencyCalibrateOptions, LatencyFitOptions, LatencyPredictOptions


@dataclass(frozen=True)
class Calibrated:
    """A profile that was written."""

    path: str
    """The file."""
    machine: str
    """Processor and system."""
    runtime: str
    """Name and version."""
    precision: str
    """Float or int8."""
    threads: int
    """Threads of the runtime."""
    nets: int
    """Nets that were timed."""
    clean_share: float
    """Of the calls, those that nobody disturbed."""
    median_error: float
    """Of nets that a part of the model was not fitted to, as a share of their time."""
    margin: float
    """Half the width of an interval that holds nine of ten nets, as a share."""


@dataclass(frozen=True)
class Predicted:
    """The time of one net, predicted."""

    net: str
    """Name, width and resolution, or the file."""
    median_ms: float
    """Of one image."""
    low_ms: float
    """Lower end of the interval that holds nine of ten nets."""
    high_ms: float
    """Its upper end."""
    covered: bool
    """Whether nets of this kind and size were timed."""
    machine: str
    """That the time is of."""
    runtime: str
    """Name and version."""
    precision: str
    """Float or int8."""
    threads: int
    """Threads of the runtime."""


@verb(LatencyCalibrateOptions)
def calibrate(options: LatencyCalibrateOptions) -> Calibrated | Emitted:
    """Time generated nets on this machine and fit a profile to them, which all predictions use from then on.

    With `output` the profile is written there instead. With `emit` nothing is timed: the nets are written to a folder,
    to be carried to another device, with a list to be filled with times.

    Raises MissingExtra without the runtime, UsageError for no time.
    """
    setting = setting_of(options.runtime, precision=options.precision, threads=options.threads)
    taken = seconds(options.time)
    if options.emit is not None:
        return _emitted(options, setting)
    found = calibrated(setting, seconds=taken, seed=options.seed, progress=options.progress)
    own = own_path(runtime=options.runtime, precision=options.precision, threads=options.threads)
    path = user_path(options.output) if options.output is not None else own
    make_folder(path.parent)
    write_profile(found, path)
    return _told(found, path)


@verb(LatencyFitOptions)
def fit(options: LatencyFitOptions) -> Calibrated:
    """Make a profile of another device from times of emitted nets that were measured there, five or more.

    Raises DataError for a list without times.
    """
    source = user_path(options.times)
    found = fitted(read_emitted(source, None if options.measured is None else user_path(options.measured)))
    path = user_path(options.output) if options.output is not None else source.with_name("profile.json")
    write_profile(found, path)
    return _told(found, path)


@verb(LatencyPredictOptions)
def predict(options: LatencyPredictOptions) -> list[Predicted]:
    """Predict the time of nets of the catalogue for one image, without running them.

    The profile is `profile`, else this machine's own or the shipped one, brought to today's speed in some seconds.
    Raises UnknownName for a net, DataError for a damaged profile.
    """
    names = [options.nets] if isinstance(options.nets, str) else list(options.nets)
    if not names:
        raise UsageError("name at least one net, such as mobilenet_v2")
    graphs = [_graph(name, options) for name in names]
    profile = _profile(options)
    found = profile.predict(graphs)
    return [
        Predicted(
            name,
            median_ms=float(found.median_ms[place]),
            low_ms=float(found.low_ms[place]),
            high_ms=float(found.high_ms[place]),
            covered=bool(found.covered[place]),
            machine=profile.machine,
            runtime=profile.runtime_name,
            precision=profile.precision,
            threads=profile.threads,
        )
        for place, name in enumerate(names)
    ]


def _emitted(options: LatencyCalibrateOptions, setting: RuntimeSetting) -> Emitted:
    assert options.emit is not None
    folder = user_path(options.emit)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name another folder with --emit")
    make_folder(folder)
    return emit(folder, setting, count=options.nets, seed=options.seed)


def _profile(options: LatencyPredictOptions) -> Profile:
    if options.profile is not None:
        return read_profile(user_path(options.profile))
    return default_profile(
        options.precision, runtime=options.runtime, threads=options.threads, progress=options.progress
    )


def _graph(name: str, options: LatencyPredictOptions) -> Graph:
    spec = parse_name(name)
    width, resolution = options.width or spec.width, options.resolution or spec.resolution
    return trace(replace(spec, width=width, resolution=resolution, num_classes=options.num_classes))


def _told(found: Profile, path: Path) -> Calibrated:
    return Calibrated(
        path.as_posix(),
        found.machine,
        found.runtime_name,
        found.precision,
        found.threads,
        found.nets,
        found.clean_share,
        median_error=float(np.expm1(np.median(found.errors))),
        margin=float(np.expm1(found.margin)),
    )
