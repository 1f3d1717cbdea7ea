"""The verb `bench`: how long files and nets take on this machine, and what phones measured of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pocketvision.errors import DataError, UnknownName, UsageError
from pocketvision.export import SUFFIXES
from pocketvision.export.fresh import delivered, untrained, write_timed
from pocketvision.latency.measure import noise_words
from pocketvision.latency.measurements import read_measurement
from pocketvision.models.catalogue import check_spec, parse_name
from pocketvision.progress import track
from pocketvision.runtime import PACKAGES, digest, installed, means_file, runs_together, size_bytes
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import BenchOptions
from pocketvision.values import Latency, ModelSpec
from pocketvision.verify.loading import Loading, loading
from pocketvision.verify.timing import TimedFile, time_settings

ALL = "all"


@dataclass(frozen=True)
class BenchResult:
    """Size and time of one file, on one machine."""

    file: str
    """Path of the file, or the net's name."""
    size_bytes: int
    """Of the file."""
    latency: Latency
    """Time of one image; of one among a batch, where there is one."""
    batch: int = 1
    """Images a call."""
    together: bool = True
    """Whether the file takes a batch at once; else its images were given one after the other."""
    loading: Loading | None = None
    """Time and memory to open and run the file in a fresh process; None for what was measured elsewhere."""
    noise: str = ""
    """A sentence where the machine was too noisy to tell the time; empty where it was quiet enough."""


@dataclass(frozen=True)
class _Subject:
    """What was asked for by name or path, and the file that stands for it."""

    name: str
    file: Path


@verb(BenchOptions)
def bench(options: BenchOptions) -> list[BenchResult]:
    """Time files side by side, in turns with each other and with the same reference net.

    `files` are delivered files, or nets' names (`mobilenetv2_050`), which are written with fresh weights at `width`,
    `resolution` and `precision`. `runtime` is one or several of onnx, litert, openvino, executorch, or `all` that are
    installed: names, and files of another format, are written for it. Each is timed on every number of `threads` and
    with every `batch`. The ratio to the reference compares machines and moments; the milliseconds are this machine's.
    `measured` are measurements of these files that the demo's page saved on other devices; their results follow.
    Raises DataError for a missing file or a measurement of another one, UsageError for none or for fewer than one
    thread.
    """
    given = [options.files] if isinstance(options.files, str | Path) else list(options.files)
    if not given:
        raise UsageError("give at least one file, or the name of a net")
    runtimes = _runtimes(options.runtime)
    paths = [Path(each) for each in given if means_file(each)]
    for path in paths:
        if not path.exists():
            raise DataError(f"there is no file {path}; give the path of an exported model, or the name of a net")
    specs = {str(each): _spec(str(each), options) for each in given if not means_file(each)}
    elsewhere = _measured([Path(path) for path in options.measured or ()], paths)
    with TemporaryDirectory() as folder:
        subjects = [
            subject
            for place, each in enumerate(given)
            for subject in _subjects(each, specs.get(str(each)), runtimes, Path(folder, str(place)), options)
        ]
        return _timed(subjects, options) + elsewhere


def _timed(subjects: Sequence[_Subject], options: BenchOptions) -> list[BenchResult]:
    asked = [
        (subject, TimedFile(subject.file, threads, batch))
        for subject in subjects
        for threads in _each(options.threads)
        for batch in _each(options.batch)
    ]
    latencies = time_settings([setting for _, setting in asked], progress=options.progress)
    rows = track(list(zip(asked, latencies, strict=True)), options.progress, "loading", len(asked))
    return [
        BenchResult(
            subject.name,
            size_bytes(setting.file),
            latency,
            batch=setting.batch,
            together=setting.batch == 1 or runs_together(setting.file),
            loading=loading(setting.file, threads=setting.threads, batch=setting.batch),
            noise=noise_words(latency),
        )
        for (subject, setting), latency in rows
    ]


def _runtimes(given: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the formats of the runtimes that were asked for; none where each file's own is meant."""
    names = [given] if isinstance(given, str) else list(given or ())
    for name in names:
        if name not in (*PACKAGES, ALL):
            raise UnknownName("runtime", name, (*PACKAGES, ALL))
    return tuple(dict.fromkeys(each for name in names for each in (installed() if name == ALL else (name,))))


def _spec(name: str, options: BenchOptions) -> ModelSpec:
    said = parse_name(name)
    dials = {key: value for key in ("width", "resolution") if (value := getattr(options, key)) is not None}
    spec = replace(said, **dials)
    check_spec(spec)
    return spec


def _subjects(
    given: str | Path, spec: ModelSpec | None, runtimes: Sequence[str], folder: Path, options: BenchOptions
) -> Iterator[_Subject]:
    """Yield the file itself where it is of a runtime asked for, and what is written of file or net for the others."""
    if spec is not None:
        net = untrained(spec, options.precision)
        for runtime in runtimes or ("onnx",):
            yield _Subject(f"{spec}, {options.precision}", write_timed(net, runtime, folder))
        return
    path = Path(given)
    others = [runtime for runtime in runtimes if SUFFIXES[runtime] != path.suffix.lower()]
    if len(others) < len(runtimes) or not runtimes:
        yield _Subject(path.as_posix(), path)
    if others:
        net = delivered(path, options.progress)
        yield from (_Subject(path.as_posix(), write_timed(net, runtime, folder)) for runtime in others)


def _each(given: Sequence[int] | int | None) -> Sequence[int]:
    return [given] if isinstance(given, int) else list(given or (1,))


def _measured(measurements: Sequence[Path], paths: Sequence[Path]) -> list[BenchResult]:
    """Return what was measured elsewhere, each beside the file that it was measured on."""
    digests = {digest(path): path for path in paths} if measurements else {}
    results = []
    for measurement in measurements:
        found = read_measurement(measurement)
        if found.file_sha256 not in digests:
            raise DataError(
                f"{measurement} was measured on another file ({found.net} at {found.resolution} px, SHA-256 "
                f"{found.file_sha256[:16]}); name that file too"
            )
        path = digests[found.file_sha256]
        results.append(BenchResult(path.as_posix(), size_bytes(path), found.latency))
    return results
