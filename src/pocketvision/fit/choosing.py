"""The stage `choose`: which net, judged by counts, published figures, and exported candidates on the clock."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pocketvision.budget.candidates import candidates, specs
from pocketvision.budget.choose import choose
from pocketvision.budget.limits import LIMITS, budget_of
from pocketvision.budget.prediction import predicted_latency, prediction_words
from pocketvision.compress.compress import compress
from pocketvision.errors import UsageError
from pocketvision.export.confidence import abstain_of, require_refusable
from pocketvision.files import deflated
from pocketvision.fit.weighing import caller, content_of, reference_caller
from pocketvision.graph.graph import Ending, Graph
from pocketvision.latency.measure import quick
from pocketvision.metrics.accuracy import wilson
from pocketvision.models.catalogue import family_of, largest_useful_resolution, parse_name
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.runtime.onnx import runtime_name
from pocketvision.settings.verbs import FitOptions
from pocketvision.tasks import load, spec_for
from pocketvision.train.inputs import SCRATCH, Loaded, dialed, fits, image_spec
from pocketvision.train.memory import require_memory
from pocketvision.values import (
    Budget,
    Candidate,
    Choice,
    Health,
    ImageSpec,
    ModelSpec,
    Score,
    TaskSpec,
    Trained,
    Verdict,
)
from pocketvision.weights.load import Weights

UNASKED_MACS = 100_000_000
"""Without any budget larger nets are not considered: two cores would train them for hours."""


def choose_net(run: Path, loaded: Loaded, options: FitOptions, start: Weights | None, *, progress: Progress) -> Choice:
    """Choose, or read what an interrupted run chose; clocks would not decide twice the same."""
    record = RunFolder(run).choice
    if record.exists():
        return record.read()
    from pocketvision.graph.trace import trace_spec

    spec = spec_for(loaded.dataset)
    require_refusable(abstain_of(options.abstain), spec)
    settings, notes = considered(loaded.health, len(loaded.dataset.labels), options, start)
    budget = asked = budget_of(options)
    if budget.empty and start is None and options.model is None:
        budget = Budget({"max_macs": UNASKED_MACS})
        notes += (
            f"No limit was given: nets of at most {UNASKED_MACS // 10**6}M multiply-adds are considered, "
            "which two cores train in minutes. Allow more with --max-macs.",
        )
    found = candidates(settings, partial(trace_spec, ending=load(spec.name).ENDING), scratch=start is None)
    # Before candidates are written and timed, which takes memory too.
    require_memory(loaded, min(found, key=lambda item: item.cost.macs).spec, options.device)
    scale = Timer(spec, image_spec(224, options.crop_mode, start), budget)
    choice = choose(found, budget, measure=scale.weigh, notes=notes, progress=progress)
    choice = replace(choice, budget=asked)
    require_memory(loaded, choice.taken.spec, options.device)
    record.write(choice)
    for note in notes:
        progress.say(note)
    progress.say(_told(choice.taken))
    return choice


def considered(
    health: Health, num_classes: int, options: FitOptions, start: Weights | None
) -> tuple[list[ModelSpec], tuple[str, ...]]:
    """List the settings to consider under the user's wishes, with a sentence for each restriction."""
    largest = largest_useful_resolution(health.median_short_side)
    wanted = parse_name(options.model) if options.model else None
    settings = specs(num_classes, options.resolution or largest, start.spec if start else None, named=wanted)
    if wanted is not None and not settings:
        family = family_of(wanted.name)
        raise UsageError(
            f"{wanted.name} takes images of at least {family.smallest} pixels, and {options.resolution or largest} "
            f"are allowed here; allow more with --resolution {family.resolution}, or name a smaller net"
        )
    notes: tuple[str, ...] = ()
    if options.resolution is None:
        notes = (
            f"The images' median short side is {health.median_short_side} pixels: nets take at most {largest} here.",
        )
    if start is not None:
        notes += (f"The weights given are of {start.spec.dials}: no other net is considered.",)
    if wanted is not None or options.width is not None or options.depth is not None:
        settings = _restricted(settings, wanted, options, start)
    if options.resolution is not None:
        settings = list(dict.fromkeys(replace(item, resolution=options.resolution) for item in settings))
    return settings, notes


def _restricted(
    settings: list[ModelSpec], wanted: ModelSpec | None, options: FitOptions, start: Weights | None
) -> list[ModelSpec]:
    """Keep one family, or one width or depth of it, also where that width is not in the usual list."""
    name = wanted.name if wanted else None
    width = options.width or (wanted.width if wanted and wanted.name != options.model else None)
    if start is not None:
        taken = replace(dialed(start.spec, options), name=name or start.spec.name)
        taken = replace(taken, width=width or taken.width)
        fits(taken, start)
        return list(dict.fromkeys(replace(item, width=taken.width, depth=taken.depth) for item in settings))
    if name is None and options.depth is not None:
        raise UsageError("--depth counts the layers of one net; name it with --model or --weights")
    kept = [replace(item, depth=options.depth) for item in settings if name in (None, item.name)]
    if width is None:
        return kept
    return list(dict.fromkeys(replace(item, width=width) for item in kept))


class Timer:
    """Weighs and times candidates: written with fresh weights, run in the delivered runtime beside the reference.

    Where the budget names the profile of another device, their time there is predicted instead.
    """

    def __init__(self, spec: TaskSpec, image: ImageSpec, budget: Budget) -> None:
        self.spec = spec
        self.image = image
        self.budget = budget
        self.reference = reference_caller()

    def weigh(self, candidate: Candidate) -> Candidate:
        """Return a candidate with the bytes and the latency of its file."""
        image = replace(self.image, resolution=candidate.spec.resolution)
        graph = plain = untrained(candidate.spec, image, load(self.spec.name).ENDING)
        if candidate.precision == "int8":
            noise = np.random.default_rng(0).integers(0, 256, (2, image.resolution, image.resolution, 3), np.uint8)
            graph = compress(graph, noise, steps=("int8",)).graph  # the other steps change no kernel
        splits: dict[str, float | int] = {"seed": 42, "val": 0.15, "test": 0.15}
        trained = Trained(
            candidate.spec,
            image,
            SCRATCH,
            0,
            _stated(self.spec),
            1.0,
            "0" * 64,
            splits,
        )
        content = content_of(graph, trained, self.spec, precision=candidate.precision)
        candidate = replace(candidate, size_bytes=len(content), download_bytes=deflated(content))
        if predicted := predicted_latency(plain, self.budget, candidate.precision):
            return replace(candidate, predicted=predicted)
        run = caller(content, image.resolution)
        return replace(candidate, latency=quick(run, self.reference, threads=1, runtime=runtime_name()))


def _stated(spec: TaskSpec) -> Score:
    """Return a figure that takes about as much room in a file as the real one."""
    task, noise = load(spec.name), np.random.default_rng(0).random((40, len(spec.labels)), np.float32)
    others = task.score(noise, task.decide(noise, spec).choices, spec).others
    return replace(wilson(1, 1), metric=task.METRIC, others=others)


def untrained(spec: ModelSpec, image: ImageSpec, ending: type[Ending]) -> Graph:
    """Build a net with seeded fresh weights and trace it."""
    import torch

    from pocketvision.graph.trace import trace
    from pocketvision.models.catalogue import build_spec

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build_spec(spec)
        with torch.no_grad():
            for vector in (weight for weight in net.parameters() if weight.ndim == 1):
                # Equal constants are stored once; biases of a fresh net are all zero, of a trained one they differ.
                vector.add_(torch.randn_like(vector), alpha=0.1)
    return trace(net.eval(), image, ending)


def _told(taken: Candidate) -> str:
    latency = "" if taken.latency_ms is None else f", {taken.latency_ms:.2f} ms"
    if taken.predicted:
        latency += f" {prediction_words(taken.predicted, math.inf)}"
    return f"chosen: {taken.spec}, {taken.precision}, {taken.cost.macs / 1e6:.3g}M multiply-adds{latency}"


def offer(verdicts: Sequence[Verdict], choice: Choice) -> str:
    """Say what the delivered file does keep, and which lower candidate may keep a missed latency."""
    missed = [verdict for verdict in verdicts if not verdict.passed]
    at = f"@{choice.budget.profile}" if choice.budget.profile else ""
    keeps = ", ".join(
        f"--{verdict.limit.replace('_', '-')} {_rounded(verdict)}{at if verdict.predicted else ''}"
        for verdict in missed
    )
    text = f"Nearest feasible: this very file keeps {keeps}."
    slow = next((verdict for verdict in missed if verdict.limit == "max_latency"), None)
    if slow is None:
        return text
    share = slow.allowed / slow.measured * choice.taken.cost.macs
    lower = [item for item in choice.candidates if item.status == "not needed" and item.cost.macs <= share]
    if not lower:
        return text
    spec = lower[0].spec
    depth = f" --depth {spec.depth}" if spec.depth is not None else ""
    size = f"--width {spec.width:g}{depth} --resolution {spec.resolution}"
    return f"{text} Or a smaller net: --model {spec.name} {size}."


def _rounded(verdict: Verdict) -> str:
    if not LIMITS[verdict.limit].at_most:
        return f"{verdict.measured - 0.0005:.3f}"
    return f"{verdict.measured * 1.05:.3g}ms" if verdict.unit == "ms" else f"{round(verdict.measured)}"
