"""The stage `choose`: thousands of settings counted, weights at hand probed, a few nets picked, written and timed."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketvision.budget.choose import Considered, key_of, on_record, shortlist, steps_up
from pocketvision.budget.forecast import forecast
from pocketvision.budget.limits import LIMITS, budget_of
from pocketvision.budget.prediction import prediction_words
from pocketvision.clock import Watch, seconds
from pocketvision.export.confidence import abstain_of, require_refusable
from pocketvision.fit.considering import counted, wanted_of
from pocketvision.fit.options import formats_asked
from pocketvision.fit.predicting import predicted_times
from pocketvision.fit.probing import Given, probe
from pocketvision.fit.probing_boxes import probe_boxes
from pocketvision.fit.timing import Timer
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.settings.verbs import FitOptions
from pocketvision.tasks import learning, spec_for
from pocketvision.tasks import load as load_task
from pocketvision.train.inputs import Loaded, image_spec
from pocketvision.train.memory import require_memory
from pocketvision.values import Budget, Choice, Probed, Verdict

UNASKED_MACS = {False: 100_000_000, True: 320_000_000}
"""Without any budget larger nets are not considered, from scratch and with weights to start from: two cores would train
them for hours."""
PROBED = 3
"""The weights of so many nets at most are probed, the most promising by their published accuracy."""
PROBE_SHARE = 0.1
"""Of a time limit, for the probes of detectors."""


def choose_net(run: Path, loaded: Loaded, given: Sequence[Given], options: FitOptions, *, progress: Progress) -> Choice:
    """Choose, or read what an interrupted run chose; clocks would not decide twice the same."""
    record = RunFolder(run).choice
    if record.exists():
        return record.read()
    require_refusable(abstain_of(options.abstain), spec_for(loaded.dataset))
    choice = chosen(loaded, given, options, progress=progress)
    require_memory(loaded, choice.taken.spec, options.device)
    record.write(choice)
    for note in choice.notes:
        progress.say(note)
    progress.say(_told(choice))
    return choice


def chosen(loaded: Loaded, given: Sequence[Given], options: FitOptions, *, progress: Progress) -> Choice:
    """Count all settings, probe the weights at hand, and pick the task's number of nets that keep the budget."""
    watch = Watch()
    asked, notes = budget_of(options), []
    budget = asked
    if budget.empty and options.model is None:
        budget = Budget({"max_macs": UNASKED_MACS[bool(given)]})
        notes.append(
            f"No limit was given: nets of at most {UNASKED_MACS[bool(given)] // 10**6}M multiply-adds are considered, "
            "which two cores train in minutes. Allow more with --max-macs."
        )
    found, probed, said = with_predictions(loaded, given, options, budget, watch=watch)
    formats = formats_asked(options.format)
    scale = Timer(spec_for(loaded.dataset), image_spec(224, options.crop_mode, None), budget, formats=formats)
    with watch.step("picking"):
        count = learning(loaded.spec.name).DEFAULTS.picked if given else 1
        listed = shortlist(found, scale.weigh, count=count, progress=progress)
    first = replace(listed.picked[0], status="taken", reason=_reason(budget, bool(probed)))
    told = {key_of(one): one for one in (first, *listed.picked[1:], *listed.refused)}
    return Choice(
        asked,
        first,
        on_record(found, told),
        (*said, *notes),
        shortlist=(first, *listed.picked[1:]),
        considered=len(found.space),
        kept=int(found.keeping().sum()),
        steps=tuple(map(str, steps_up(found))),
        probed=probed,
        seconds=watch.seconds,
    )


def with_predictions(
    loaded: Loaded, given: Sequence[Given], options: FitOptions, budget: Budget, *, watch: Watch
) -> tuple[Considered, tuple[Probed, ...], tuple[str, ...]]:
    """Count every setting and predict its latency and accuracy; returns what was probed and notes beside them."""
    progress, images = options.progress, len(loaded.dataset.of("train"))
    wanted, notes = wanted_of(loaded, options)
    with watch.step("counting"):
        space = counted(given, wanted, options, loaded, progress)
    found = Considered(
        space, forecast(space, (), images=images), budget, predicts=load_task(loaded.spec.name).PREDICTED
    )
    with watch.step("latency"):
        found = replace(found, latency=predicted_times(found, progress=progress))
    with watch.step("probing"):
        probed = _probed(given, found, loaded, options, progress)
    return replace(found, forecast=forecast(space, probed, images=images)), probed, notes


def _reason(budget: Budget, probed: bool) -> str:
    by = "predicted" if probed else "suggested"
    if "min_accuracy" in budget.limits:
        return f"the smallest that is {by} to reach the accuracy asked for"
    return f"highest {by} accuracy of those that keep the budget"


def _probed(
    given: Sequence[Given], found: Considered, loaded: Loaded, options: FitOptions, progress: Progress
) -> tuple[Probed, ...]:
    """Probe the weights whose settings are most promising within the budget, of each family one before a second."""
    kept = np.flatnonzero(found.keeping())
    best: dict[str, float] = {}
    for row in kept[np.argsort(-found.utility[kept])]:
        best.setdefault(found.space.trunks[int(found.space.trunk[row])].origin, float(found.utility[row]))
    seen: Counter[str] = Counter()
    turns: dict[str, int] = {}
    # Of nets alike, ImageNet's classes first: they are the broadest.
    usual = sorted((one for one in given if one.origin in best), key=lambda one: abs(one.spec.num_classes - 1000) > 1)
    for one in sorted(usual, key=lambda one: -best[one.origin]):
        turns[one.origin] = seen[one.spec.name]
        seen[one.spec.name] += 1
    chosen = sorted(
        (one for one in given if one.origin in turns), key=lambda one: (turns[one.origin], -best[one.origin])
    )
    rows, crop = found.space.rows(found.keeping()), options.crop_mode
    if learning(loaded.spec.name).PLACED:
        allowed = PROBE_SHARE * seconds(options.time_limit)
        return probe_boxes(chosen[:PROBED], rows, loaded, crop=crop, allowed_s=allowed, progress=progress)
    return probe(chosen[:PROBED], rows, loaded, crop=crop, device=options.device, progress=progress)


def _told(choice: Choice) -> str:
    taken, rest = choice.taken, len(choice.shortlist) - 1
    latency = "" if taken.latency_ms is None else f", {taken.latency_ms:.2f} ms"
    if taken.predicted:
        latency += f" {prediction_words(taken.predicted, math.inf)}"
    others = f"; {rest} more to try beside it" if rest else ""
    return (
        f"chosen of {choice.considered:,} settings, of which {choice.kept:,} keep the budget: {taken.spec}, "
        f"{taken.precision}, {taken.cost.macs / 1e6:.3g}M multiply-adds{latency}{others}"
    )


def _under(verdict: Verdict) -> str:
    return f":{verdict.compressor}" if verdict.compressor else ""


def offer(verdicts: Sequence[Verdict], choice: Choice) -> str:
    """Say what the delivered file does keep, and which lower candidate may keep a missed latency."""
    missed = [verdict for verdict in verdicts if not verdict.passed]
    at = f"@{choice.budget.profile}" if choice.budget.profile else ""
    keeps = ", ".join(
        f"--{verdict.limit.replace('_', '-')} {_rounded(verdict)}{at if verdict.predicted else _under(verdict)}"
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
