"""Latency profiles of this machine: nets written and opened as delivered files would be, then timed."""

import hashlib
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from pocketvision.compress.measure import Range
from pocketvision.compress.quantize import quantize
from pocketvision.errors import DataError, UnknownName
from pocketvision.export import litert as litert_file
from pocketvision.export import onnx as onnx_file
from pocketvision.files import write_bytes, write_json
from pocketvision.graph.graph import Activation, Add, AvgPool, Ending, GlobalAvgPool, Graph, Mul
from pocketvision.graph.lower import without_affines
from pocketvision.graph.moves import is_move
from pocketvision.graph.order import best_order
from pocketvision.latency.adapt import adapted
from pocketvision.latency.assembly import FileNet
from pocketvision.latency.calibrate import Open, RuntimeSetting, labels, make_profile, rounds_in, time_nets
from pocketvision.latency.device_file import CALIBRATION, NETS_FORMAT, VERSION, Calibration, CalibrationNet
from pocketvision.latency.emitted import LISTING, SUFFIXES, Emitted, EmittedNet
from pocketvision.latency.kernels import Kernels
from pocketvision.latency.measure import Call, Timed, machine, reference_graph
from pocketvision.latency.nets import draw, with_fresh_weights
from pocketvision.latency.profile import RUNTIMES, Profile, own_path, read_profile, shipped
from pocketvision.latency.reading import kernels
from pocketvision.progress import Progress, Silent
from pocketvision.runtime import litert, onnx
from pocketvision.tasks import ending_of
from pocketvision.values import ModelSpec

_PARTS = {"onnx": (onnx, onnx_file.to_bytes), "litert": (litert, litert_file.to_bytes)}
_SECONDS_A_NET = 0.4
"""Of a calibration: some eight visits."""
_FEWEST, _MOST = 48, 420
_ANCHOR_ROUNDS = 6
_AT_ONCE = 48
"""Nets that are in memory together, some hundred megabytes."""
_LARGEST = 4.0
"""Of the stand-in ranges: no kernel's time depends on them, but for which activations the levels do by themselves."""
_POSITIVE: tuple[Activation, ...] = ("relu", "relu6", "sigmoid", "hardsigmoid")
_SMALLEST: dict[Activation, float] = {"silu": -0.28, "hardswish": -0.375}


def calibrated(setting: RuntimeSetting, *, seconds: float, seed: int = 0, progress: Progress | None = None) -> Profile:
    """Time generated nets on this machine for about so many seconds, and fit a profile to them, a minute more."""
    progress = progress or Silent()
    count = min(_MOST, max(_FEWEST, round(seconds / _SECONDS_A_NET)))
    rounds, opened = rounds_in(seconds, count), opener(setting)
    reference = opened(reference_graph())
    nets: list[tuple[ModelSpec, Kernels]] = []
    timed: list[list[Timed]] = []
    of_reference: list[Timed] = []
    drawn = draw(seed, count, trace)
    with progress.bar("time nets", count) as bar:
        while batch := list(islice(drawn, _AT_ONCE)):
            calls = [opened(graph) for _, graph in batch]
            *found, more = time_nets([*calls, reference], rounds=rounds, seed=len(nets))
            timed += found
            of_reference += more
            nets += [(spec, kernels(net, runtime=setting.runtime, precision=setting.precision)) for spec, net in batch]
            bar.advance(len(batch))
    progress.say("fitting the model, about a minute")
    reference_ms = float(labels([of_reference]).median_ms[0])
    return make_profile(nets, labels(timed), setting, reference_ms=reference_ms)


def default_profile(
    precision: str = "float", *, runtime: str = "onnx", threads: int = 1, progress: Progress | None = None
) -> Profile:
    """Return this machine's own profile, or the one that comes with the package; either is brought to the machine's
    speed of today by some nets that are timed now, about five seconds.

    What is stored in float16 or palettes computes as float. Raises UnknownName for a setting without a profile.
    """
    setting = setting_of(runtime, precision="int8" if precision == "int8" else "float", threads=threads)
    found = own_profile(setting) or shipped(runtime=runtime, precision=setting.precision)
    opened, rng = opener(setting), np.random.default_rng(0)
    calls = [opened(with_fresh_weights(trace(anchor.spec), rng)) for anchor in found.anchors]
    timed = time_nets(calls, rounds=_ANCHOR_ROUNDS, progress=progress)
    return found.scaled([float(value) for value in labels(timed).median_ms], machine=machine())


def own_profile(setting: RuntimeSetting) -> Profile | None:
    """Return the profile that `latency calibrate` made on this machine, None where there is none or it is damaged."""
    path = own_path(runtime=setting.runtime, precision=setting.precision, threads=setting.threads)
    try:
        found = read_profile(path)
    except DataError:
        return None
    return found if found.machine == machine() else None


def setting_of(runtime: str, *, precision: str, threads: int) -> RuntimeSetting:
    """Return what a profile is of; raises UnknownName for a runtime that none is made for, MissingExtra without it."""
    if runtime not in _PARTS:
        raise UnknownName("runtime", runtime, RUNTIMES)
    return RuntimeSetting(runtime, _PARTS[runtime][0].runtime_name(), precision, threads)


def opener(setting: RuntimeSetting) -> Open:
    """Return what writes a float graph with weights, quantized where the setting says so, and opens it as a call."""
    runtime, to_bytes = _PARTS[setting.runtime]

    def opened(graph: Graph) -> Call:
        answer = runtime.answer_of(to_bytes(as_delivered(graph, setting.precision)), threads=setting.threads)
        size = graph.input.resolution
        image = np.random.default_rng(0).integers(0, 256, (1, size, size, len(graph.input.mean)), np.uint8)
        return lambda: answer(image)

    return opened


def call_of(net: FileNet, file: Path | None, *, threads: int, resolution: int | None = None) -> tuple[Call, str]:
    """Open a file, or a net that is written with fresh weights where there is none, as a call; with its runtime's name.

    `resolution` is for an ONNX file that takes images of any size.
    """
    setting = setting_of(net.runtime, precision=net.precision, threads=threads)
    if file is None:
        return opener(setting)(with_fresh_weights(net.graph, np.random.default_rng(0))), setting.runtime_name
    content = file.read_bytes()
    if net.runtime == "onnx":
        return onnx.call_of(content, threads=threads, side=resolution), setting.runtime_name
    return litert.call_of(content, threads=threads), setting.runtime_name


def as_delivered(graph: Graph, precision: str) -> Graph:
    """Return a float graph in its delivered order, quantized with stand-in ranges for int8."""
    ordered = without_affines(best_order(graph))
    return quantize(ordered, _ranges(ordered)) if precision == "int8" else ordered


def emit(folder: Path, setting: RuntimeSetting, *, count: int, seed: int) -> Emitted:
    """Write calibration nets as files, and a list of them to be filled with times."""
    nets, listed = [], []
    _, to_bytes = _PARTS[setting.runtime]
    for place, (spec, graph) in enumerate(draw(seed, count, trace)):
        name = f"{place:03d}-{spec.name}-{spec.width:g}-{spec.resolution}{SUFFIXES[setting.runtime]}"
        content = to_bytes(as_delivered(graph, setting.precision))
        write_bytes(folder / name, content)
        nets.append(EmittedNet(name, spec))
        listed.append(
            CalibrationNet(str(spec), name, hashlib.sha256(content).hexdigest(), spec.resolution, setting.precision)
        )
    write_json(folder / CALIBRATION, Calibration(NETS_FORMAT, VERSION, tuple(listed)))
    todo = (
        f"Time each file for one image on {setting.threads} thread(s), as a median of at least 30 runs after 5 to warm "
        "up, in the order of this list; write it as median_ms, and the device's name as device. Times may be missing. "
        f"Then: pocketvision latency fit {LISTING}"
    )
    found = Emitted(todo, "", setting.runtime, setting.precision, setting.threads, tuple(nets))
    write_json(folder / LISTING, found)
    return found


def fitted(times: Emitted) -> Profile:
    """Make a profile of a device out of times that were measured there."""
    base = shipped(runtime=times.runtime, precision=times.precision)
    measured = [(net.spec, net.median_ms) for net in times.nets if net.median_ms is not None]
    nets = [(spec, base.kernels(trace(spec))) for spec, _ in measured]
    found = adapted(base, nets, [time for _, time in measured], machine=times.device or "another device")
    return replace(found, threads=times.threads)


def trace(spec: ModelSpec) -> Graph:
    """Trace a net of the catalogue without its weights."""
    from pocketvision.graph.trace import trace_spec

    return trace_spec(spec, ending=ending_of(spec))


def _ranges(graph: Graph) -> dict[str, Range]:
    lowest: dict[str, float] = {}
    for node in graph.nodes:
        activation: Activation = getattr(node, "activation", "none")
        if activation in _POSITIVE or isinstance(node, Ending):
            lowest[node.name] = 0.0
        elif is_move(node) or isinstance(node, Add | Mul | AvgPool | GlobalAvgPool):
            lowest[node.name] = min(lowest[name] for name in node.inputs)
        else:
            lowest[node.name] = _SMALLEST.get(activation, -_LARGEST)
    return {name: (low, _LARGEST) for name, low in lowest.items()}
