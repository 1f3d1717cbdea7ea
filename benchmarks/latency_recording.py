"""Times many nets on a quiet machine, fits profiles to them, and says how far they are off on nets kept apart.

    python benchmarks/latency_recording.py --nets 1500 --record times.jsonl
    python benchmarks/latency_recording.py --record times.jsonl --fit profiles/

The first line draws the nets (seed 1, half of them cut short) and others to judge by (seed 7), and times both in turns
in every runtime and precision named, so that no drift lies between them; half an hour for the 1,500. The judged nets
are timed once in each of the parts that the others are timed in. The second line fits and prints without a clock.
The profiles that come with the package are made so.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from latency_prediction import report

from pocketvision.errors import PocketvisionError
from pocketvision.files import make_folder
from pocketvision.fit.profiles import opener, setting_of, trace
from pocketvision.graph.graph import Graph
from pocketvision.latency.calibrate import Labels, RuntimeSetting, labels, make_profile, time_nets
from pocketvision.latency.measure import reference_graph
from pocketvision.latency.nets import draw, with_fresh_weights
from pocketvision.latency.profile import Profile, write_profile
from pocketvision.latency.reading import kernels
from pocketvision.values import ModelSpec
from pocketvision.values.records import from_json, to_json

AT_ONCE = 100
VISITS = 3
CUT = 0.5
"""Share of the nets that are cut short, as `fit` does with pretrained ones."""
REFERENCE = ModelSpec("mobilenet_v1", 0.25, 128)


def setting(text: str) -> RuntimeSetting:
    """Read a setting such as `onnx float`, on one thread."""
    runtime, precision = text.split()
    return setting_of(runtime, precision=precision, threads=1)


def cut_short(drawn: Iterator[tuple[ModelSpec, Graph]], seed: int) -> Iterator[tuple[ModelSpec, Graph]]:
    """Cut some nets after one of their layers."""
    rng = np.random.default_rng(seed)
    for spec, graph in drawn:
        found = spec, graph
        if rng.random() < CUT:
            cut = replace(spec, depth=int(rng.integers(3, 18)))
            with suppress(PocketvisionError):  # where the family has fewer layers
                found = cut, with_fresh_weights(trace(cut), rng)
        yield found


def main() -> None:
    """Record, or fit and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, required=True, help="JSON lines, a net each")
    parser.add_argument("--fit", type=Path, help="folder for the profiles of what was recorded")
    parser.add_argument("--settings", nargs="+", default=["onnx float", "litert float", "onnx int8", "litert int8"])
    parser.add_argument("--nets", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--judged", type=int, default=90)
    parser.add_argument("--judged-seed", type=int, default=7)
    asked = parser.parse_args()
    if asked.fit:
        judge(asked)
    else:
        record(asked)


def record(asked: argparse.Namespace) -> None:
    """Write the times of each part as soon as it is done."""
    openers = {text: opener(setting(text)) for text in asked.settings}
    judged = list(draw(asked.judged_seed, asked.judged, trace))
    kept = {text: [one(graph) for _, graph in judged] for text, one in openers.items()}
    references = {text: one(reference_graph()) for text, one in openers.items()}
    others = cut_short(draw(asked.seed, asked.nets, trace), asked.seed)
    roles = [("judged", spec) for spec, _ in judged] + [("reference", REFERENCE)]
    with asked.record.open("a", encoding="utf-8") as stream:
        for part in count():
            if not (batch := list(islice(others, AT_ONCE))):
                return
            for text, one in openers.items():
                calls = [one(graph) for _, graph in batch] + kept[text] + [references[text]]
                found = time_nets(calls, rounds=VISITS, seed=part)
                told = labels(found)
                for (role, spec), time in zip(
                    [("fit", spec) for spec, _ in batch] + roles, told.median_ms, strict=True
                ):
                    row = {
                        "setting": text,
                        "part": part,
                        "role": role,
                        "spec": to_json(spec),
                        "ms": round(float(time), 6),
                    }
                    stream.write(json.dumps({**row, "clean": told.clean_share, "canary_us": told.canary_us}) + "\n")
                print(f"part {part}, {text}: {told.clean_share:.0%} of the calls clean", flush=True)
            stream.flush()


def judge(asked: argparse.Namespace) -> None:
    """Fit a profile to each setting, write it, and print its errors."""
    lines = asked.record.read_text(encoding="utf-8").splitlines()
    rows = [{**row, "spec": from_json(ModelSpec, row["spec"])} for row in map(json.loads, lines)]
    for text in dict.fromkeys(row["setting"] for row in rows):
        profile = judged_profile(setting(text), [row for row in rows if row["setting"] == text])
        make_folder(asked.fit)
        write_profile(profile, asked.fit / f"{profile.runtime}-{profile.precision}.json")


def judged_profile(own: RuntimeSetting, rows: list[dict[str, Any]]) -> Profile:
    """Fit a profile to the nets of one setting, each part brought to one level, and print what it is worth."""
    parts = max(row["part"] for row in rows) + 1
    judged = [row for row in rows if row["role"] == "judged"]
    specs = [row["spec"] for row in judged if row["part"] == 0]
    logs = np.log(np.array([row["ms"] for row in judged]).reshape(parts, -1))
    truth = np.median(logs, axis=0)
    levels = np.median(logs - truth, axis=1)
    halves = [np.median(logs[part::2] - levels[part::2, None], axis=0) for part in (0, 1)]
    apart = np.abs(halves[0] - halves[1])
    fit = [row for row in rows if row["role"] == "fit"]
    times = np.array([row["ms"] / np.exp(levels[row["part"]]) for row in fit])
    graphs = [trace(row["spec"]) for row in fit]
    nets = [
        (row["spec"], kernels(graph, runtime=own.runtime, precision=own.precision))
        for row, graph in zip(fit, graphs, strict=True)
    ]
    clean, canary = (float(np.mean([row[name] for row in rows])) for name in ("clean", "canary_us"))
    reference = float(np.median([row["ms"] for row in rows if row["role"] == "reference"]))
    profile = make_profile(nets, Labels(times, clean, canary), own, reference_ms=reference)
    print(f"\n{own.runtime_name}, {own.precision}: fitted to {len(nets)} nets, {clean:.0%} of the calls clean")
    print(f"levels of the parts {np.exp(levels.min()):.3f} to {np.exp(levels.max()):.3f}")
    print(f"truth: {len(specs)} nets, halves differ by {np.median(apart):.1%} / {np.quantile(apart, 0.95):.1%}")
    report(profile.predict([trace(spec) for spec in specs]), np.exp(truth), specs)
    return profile


if __name__ == "__main__":
    main()
