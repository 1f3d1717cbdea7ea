"""The verbs of `pocketvision latency`: calibrate this machine, predict nets, make a profile of another device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketvision.clock import seconds
from pocketvision.errors import UsageError
from pocketvision.files import make_folder, user_path
from pocketvision.fit.profiles import calibrated, call_of, default_profile, emit, fitted, setting_of, trace
from pocketvision.graph.graph import Graph
from pocketvision.latency.assembly import FileNet, net_of
from pocketvision.latency.calibrate import RuntimeSetting
from pocketvision.latency.emitted import Emitted, read_emitted
from pocketvision.latency.files import read_net
from pocketvision.latency.measure import noise_words
from pocketvision.latency.profile import Profile, own_path, read_profile, write_profile
from pocketvision.models.catalogue import parse_name
from pocketvision.runtime import means_file
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import LatencyCalibrateOptions, LatencyFitOptions, LatencyPredictOptions
from pocketvision.values import Latency
from pocketvision.verify.timing import time_calls

_FRESH = "with fresh weights it finds boxes everywhere, which takes longer to measure"


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
    note: str = ""
    """Why it is not covered, and other things to know; empty where there is nothing."""
    measured: Latency | None = None
    """Time on this machine, where that was asked for."""


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
    """Predict the time of nets of the catalogue, and of `.onnx` and `.tflite` files, for one image.

    A file is predicted as what it is, with its own runtime and precision, whoever wrote it; a net's name as `runtime`
    and `precision` say. The profile is `profile`, else this machine's own or the shipped one, brought to today's speed
    in some seconds. With `measure` they are timed here too.
    Raises UnknownName for a net, DataError for a damaged profile or a missing file, WeightsError for a file that holds
    what no net of the catalogue has.
    """
    given = [options.nets] if isinstance(options.nets, str | Path) else list(options.nets)
    if not given:
        raise UsageError("name at least one net, such as mobilenet_v2, or a file")
    asked = [_asked(each, options) for each in given]
    own = None if options.profile is None else read_profile(user_path(options.profile))
    profiles: dict[tuple[str, str], Profile] = {}
    for one in asked:
        key = one.net.runtime, one.net.precision
        if key not in profiles:
            profiles[key] = own or default_profile(
                one.net.precision, runtime=one.net.runtime, threads=options.threads, progress=options.progress
            )
    found = [_predicted(one, profiles[one.net.runtime, one.net.precision]) for one in asked]
    return _measured(found, asked, options) if options.measure else found


def _emitted(options: LatencyCalibrateOptions, setting: RuntimeSetting) -> Emitted:
    assert options.emit is not None
    folder = user_path(options.emit)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name another folder with --emit")
    make_folder(folder)
    return emit(folder, setting, count=options.nets, seed=options.seed)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A net or a file."""

    name: str
    net: FileNet
    file: Path | None = None


def _asked(given: str | Path, options: LatencyPredictOptions) -> _Asked:
    if means_file(given):
        path = user_path(given)
        return _Asked(path.as_posix(), read_net(path, resolution=options.resolution), path)
    graph = _graph(str(given), options)
    return _Asked(str(given), net_of(graph, runtime=options.runtime, precision=options.precision))


def _predicted(one: _Asked, profile: Profile) -> Predicted:
    found = profile.predict([one.net.graph])
    covered, notes = bool(found.covered[0]), list(one.net.odd)
    if not covered and not notes:
        notes.append("no net of this kind or size was timed")
    if (profile.runtime, profile.precision) != (one.net.runtime, one.net.precision):
        notes.append(f"the file is for {one.net.runtime} in {one.net.precision}, the profile of {profile.runtime}")
    return Predicted(
        one.name,
        median_ms=float(found.median_ms[0]),
        low_ms=float(found.low_ms[0]),
        high_ms=float(found.high_ms[0]),
        covered=covered and not one.net.odd,
        machine=profile.machine,
        runtime=profile.runtime_name,
        precision=profile.precision,
        threads=profile.threads,
        note="; ".join(notes),
    )


def _measured(found: Sequence[Predicted], asked: Sequence[_Asked], options: LatencyPredictOptions) -> list[Predicted]:
    """Time what was predicted, side by side."""
    calls = [call_of(one.net, one.file, threads=options.threads, resolution=options.resolution) for one in asked]
    times = time_calls(calls, threads=options.threads, progress=options.progress)
    notes = [_FRESH if one.file is None and one.net.odd else "" for one in asked]
    return [
        replace(line, measured=time, note="; ".join(filter(None, (line.note, note, noise_words(time)))))
        for line, time, note in zip(found, times, notes, strict=True)
    ]


def _graph(name: str, options: LatencyPredictOptions) -> Graph:
    spec = parse_name(name)
    width, resolution = options.width or spec.width, options.resolution or spec.resolution
    classes = options.num_classes if spec.detector is None else spec.num_classes
    return trace(replace(spec, width=width, resolution=resolution, num_classes=classes))


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
