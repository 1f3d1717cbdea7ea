"""The stage `compress`: the trained net as float and as int8, both judged on validation images in the runtime."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.limits import Measured, broken, budget_of
from pocketvision.budget.prediction import predicted_latency
from pocketvision.clock import Clock
from pocketvision.compress.compress import compress
from pocketvision.cost import count
from pocketvision.data.arrays import prepared
from pocketvision.export.calibrate import calibration
from pocketvision.export.confidence import Settled, abstain_of, reason_of, settle, threshold_for
from pocketvision.fit.lighter import Lightened, ValidatedNet, lighter
from pocketvision.fit.options import formats_asked
from pocketvision.fit.weighing import caller, reference_caller, weighed
from pocketvision.graph.graph import Graph
from pocketvision.latency.measure import measure
from pocketvision.metrics.refusal import Threshold
from pocketvision.packing import DEFLATE
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.runtime.onnx import answer_of, runtime_name
from pocketvision.settings.verbs import FitOptions
from pocketvision.tasks import load, spec_for, spec_for_net
from pocketvision.train.inputs import Loaded
from pocketvision.values import Budget, Compression, Confidence, Precision, TaskSpec, Trained, Variant

FASTER = 0.95
"""int8 counts as faster below this share of the float file's latency; less is within the clock's noise."""
BATCH = 32


@dataclass(frozen=True, eq=False)
class ComparedPrecisions:
    """The graph that is delivered, and why it is that one."""

    graph: Graph
    spec: TaskSpec
    """With what was settled on validation images."""
    record: Compression
    threshold: Threshold | None
    """When the file refuses to answer; None never."""
    broken: tuple[str, ...] = ()
    """The limits that the file breaks, as weighed and timed."""


def compress_net(
    run: Path, loaded: Loaded, trained: Trained, options: FitOptions, *, clock: Clock, progress: Progress
) -> ComparedPrecisions:
    """Write both precisions, measure both, and take int8 where the budget needs it or it costs nothing."""
    from pocketvision.graph.trace import trace
    from pocketvision.train.checkpoint import trained_net

    net, _ = trained_net(run)
    spec = spec_for_net(spec_for(loaded.dataset), trained.spec)
    task = load(spec.name)
    plain = trace(net, trained.image, task.ending(spec))
    images = prepared(loaded.dataset, loaded.dataset.of("val"), trained.image, decoded=loaded.decoded)
    truth, budget = task.targets(loaded.dataset.of("val")), budget_of(options)
    small = compress(plain, calibration(loaded.dataset, trained.image), progress=progress).graph
    light = Lightened(small)
    if options.pack or "max_download" in budget.limits:
        given = ValidatedNet(plain, small, trained, spec, images, truth)
        light = lighter(given, loaded.dataset, budget, within_s=clock.left(), progress=progress)
    graphs: dict[Precision, Graph] = {"float": plain, "int8": light.graph}
    asked = spec, budget, formats_asked(options.format)
    judged = {
        precision: _judged(graph, precision, trained, asked, (images, truth)) for precision, graph in graphs.items()
    }
    variants = {precision: variant for precision, (variant, _) in judged.items()}
    taken, reason = decide(variants, graphs, options)
    settled = judged[taken][1]
    wanted = abstain_of(options.abstain)
    threshold = threshold_for(wanted, settled.probabilities, truth, settled.spec)
    told = reason_of(wanted, threshold, settled.spec)
    record = Compression(
        taken,
        reason,
        tuple(variants.values()),
        trained.temperature,
        _untempered(judged["float"][1], truth, spec, trained.temperature),
        told,
        trials=light.trials,
        compressor=(budget.compressor or DEFLATE) if light.trials else "",
    )
    RunFolder(run).compression.write(record)
    progress.say(f"{taken}: {reason}")
    progress.say(told)
    faults = tuple(_broken(variants[taken], graphs, budget))
    return ComparedPrecisions(settled.graph, settled.spec, record, threshold, faults)


def _untempered(plain: Settled, truth: NDArray[np.int64], spec: TaskSpec, temperature: float) -> Confidence | None:
    """Return the confidence of the float net without its temperature, of tasks that have one."""
    task = load(spec.name)
    if not task.TEMPERED:
        return None
    hot = task.logits(plain.probabilities) * temperature
    return task.confidence(task.probabilities(hot, spec), truth)


def _judged(
    graph: Graph,
    precision: Precision,
    trained: Trained,
    asked: tuple[TaskSpec, Budget, tuple[str, ...]],
    examples: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> tuple[Variant, Settled]:
    spec, budget, formats = asked
    compressor = budget.compressor or DEFLATE
    file = weighed(graph, trained, spec, (precision, formats), compressor=compressor)
    run = caller(file.content, trained.image.resolution)
    latency = measure(run, reference_caller(), threads=1, runtime=runtime_name())
    answer = answer_of(file.content, threads=os.cpu_count() or 1)
    images, truth = examples
    answers = np.concatenate([answer(images[s : s + BATCH]) for s in range(0, len(images), BATCH)])
    settled = settle(graph, answers, truth, spec, folded=trained.temperature)
    variant = Variant(
        precision,
        load(spec.name).score(answers, truth, settled.spec),
        file.size_bytes,
        latency,
        download_bytes=file.download_bytes,
        confidence=settled.confidence,
        temperature=settled.temperature,
        as_rounded=settled.before,
    )
    return variant, settled


def decide(
    variants: dict[Precision, Variant], graphs: dict[Precision, Graph], options: FitOptions
) -> tuple[Precision, str]:
    """Choose between the two files by the budget, the clock and validation accuracy; say why."""
    budget = budget_of(options)
    plain, small = variants["float"], variants["int8"]
    drop = 100 * (plain.validation.value - small.validation.value)
    lost = f"{drop:.1f} points" if drop > 0 else "nothing"
    fault = _broken(plain, graphs, budget)
    if fault:
        held = not _broken(small, graphs, budget)
        kept = "keeps the budget" if held else "comes nearer to it"
        return "int8", f"float breaks the budget ({'; '.join(fault)}); int8 {kept} and loses {lost} on validation"
    fault = _broken(small, graphs, budget)
    if fault:
        return "float", f"int8 breaks the budget ({'; '.join(fault)})"
    ratio = small.latency.median_ms / plain.latency.median_ms
    if drop > options.max_drop:
        return "float", f"int8 loses {drop:.1f} points on validation; allowed {options.max_drop:g}"
    if ratio > FASTER:
        return "float", f"int8 is not faster here ({ratio:.2f} times float's latency)"
    return "int8", f"{1 / ratio:.1f} times as fast as float and loses {lost} on validation"


def _broken(variant: Variant, graphs: dict[Precision, Graph], budget: Budget) -> list[str]:
    cost = count(graphs[variant.precision])
    known = Measured(variant.size_bytes, cost, variant.latency, download_bytes=variant.download_bytes)
    return broken(replace(known, predicted=predicted_latency(graphs["float"], budget, variant.precision)), budget)
