"""What a net loses by weights of 7 to 2 bits on the int8 grid, by pruned and by shared weights.

    python benchmarks/fewer_bits.py --weights ../shared/weights --images ../shared/data/imagenet-sample --seed 0
    python benchmarks/fewer_bits.py --tables

Needs the `tflite`, `litert` and `download` extras. Nets and halves of the images are those of `download.py`: a seeded
half is seen by the steps, without labels, the other half judges, and the other way around. Weights of few bits are
rounded to the nearest, or that with corrected biases, or against each other's errors with corrected biases; ranges are
searched and activations have 8 bits. What is pruned or shared is judged in float. Each net, half and part is kept in
a cache. Brotli is of the net alone in a LiteRT file. A cell has the points of top-1 that are lost with half of their
95% interval, how often a net names the float net's class, and the mean divergence in nats.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from download import NETS, Case, Net, case_of

from pocketvision.compress.prune import pruned_by_loss, pruned_by_size
from pocketvision.compress.sensitivity import moments_of
from pocketvision.compress.share import shared
from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.compensate import Compensate
from pocketvision.compress.steps.equalize import Equalize
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.ranges import Ranges
from pocketvision.compress.steps.rate_distortion import with_moments
from pocketvision.compress.steps.step import CompressionStep, State, begin, with_float
from pocketvision.export.litert import to_bytes
from pocketvision.graph.graph import Graph
from pocketvision.metrics.paired import paired
from pocketvision.packing import packed_bytes
from pocketvision.runtime.litert import answer_of

BITS = (8, 7, 6, 5, 4, 3, 2)
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6)
SHARED = (8, 7, 6, 5, 4)
PARTS = {
    "bits": ("bits", ("rounded", "biases corrected", "compensated, biases corrected")),
    "zeros": ("zeros", ("the smallest of each layer", "by loss, compensated")),
    "shared": ("bits", ("shared", "equalized, shared")),
}
"""What a part varies, and the ways that it compares."""
Row = tuple[str, str, Callable[[], Graph]]
"""A setting, a way, and what makes the graph."""


def few_bits(case: Case) -> Iterator[Row]:
    state = begin(case.graph, case.seen)
    for step in (Equalize(), Ranges()):
        state = step(state)
    state = with_moments(state)
    for bits in BITS:
        for way, steps in zip(PARTS["bits"][1], ((), (CorrectBias(),), (Compensate(), CorrectBias())), strict=True):
            yield str(bits), way, partial(_after, state, (Quantize(bits), *steps))


def _after(state: State, steps: Sequence[CompressionStep]) -> Graph:
    for step in steps:
        state = step(state)
    return state.graph


def _pruned(state: State, prune: Callable[..., Graph], share: float) -> Graph:
    return with_float(state, prune(share=share)).graph


def _shared(state: State, bits: int) -> Graph:
    return with_float(state, shared(state.plain, bits)).graph


def pruned(case: Case) -> Iterator[Row]:
    state = begin(case.graph, case.seen)
    moments, (by_size, by_loss) = moments_of(state.plain, case.seen), PARTS["zeros"][1]
    for share in SHARES:
        ways = {by_size: partial(pruned_by_size, state.plain), by_loss: partial(pruned_by_loss, state.plain, moments)}
        for way, prune in ways.items():
            yield f"{share:.0%}", way, partial(_pruned, state, prune, share)


def few_values(case: Case) -> Iterator[Row]:
    plain = begin(case.graph, case.seen)
    for bits in SHARED:
        for way, state in zip(PARTS["shared"][1], (plain, Equalize()(plain)), strict=True):
            yield str(bits), way, partial(_shared, state, bits)


MAKERS = {"bits": few_bits, "zeros": pruned, "shared": few_values}


def measure(net: Net, part: str, options: argparse.Namespace, half: int) -> None:
    """Measure a part of a net by one half, and keep every row as it is found; what was kept is not found anew."""
    path = options.cache / f"{part}-{net.file}-{half}.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    known = {(row["setting"], row["way"]) for row in rows}
    case = case_of(net, options, half)
    exact = answer_of(to_bytes(case.graph))(case.judged)
    for setting, way, make in MAKERS[part](case):
        if (setting, way) in known:
            continue
        rows.append({"setting": setting, "way": way, **judged(make(), case, exact)})
        path.write_text(json.dumps(rows))
        print(f"{net.name}, half {half}, {part} {setting}, {way}: {np.mean(rows[-1]['same']):.1%} same", flush=True)


def judged(graph: Graph, case: Case, exact: np.ndarray) -> dict[str, Any]:
    """Judge one graph's file."""
    content = to_bytes(graph)
    found = answer_of(content)(case.judged)
    return {
        "brotli": packed_bytes(content, "brotli") if graph.quant else None,
        "before": [int(right) for right in exact.argmax(axis=1) == case.truth],
        "right": [int(right) for right in found.argmax(axis=1) == case.truth],
        "same": [int(same) for same in found.argmax(axis=1) == exact.argmax(axis=1)],
        "kl": float((exact * (np.log(exact + 1e-9) - np.log(found + 1e-9))).sum(axis=1).mean()),
    }


def tables(options: argparse.Namespace) -> None:
    """Print a table of each net and part that is in the cache."""
    for part, (head, ways) in PARTS.items():
        for net in NETS:
            halves = [json.loads(path.read_text()) for path in sorted(options.cache.glob(f"{part}-{net.file}-*.json"))]
            if not halves:
                continue
            before = np.concatenate([np.array(half[0]["before"], bool) for half in halves])
            print(f"\n**{net.name}**, {len(before)} images, float {before.mean():.1%}\n")
            print(f"| {head} | {' | '.join(ways)} | brotli |\n|---|{'---|' * len(ways)}---|")
            for setting in dict.fromkeys(row["setting"] for row in halves[0]):
                rows = [{row["way"]: row for row in half if row["setting"] == setting} for half in halves]
                if any(len(each) < len(ways) for each in rows):
                    continue  # not done yet
                cells = " | ".join(_cell([each[way] for each in rows], before) for way in ways)
                sizes = [each[ways[-1]]["brotli"] for each in rows]
                print(f"| {setting} | {cells} | {'' if None in sizes else f'{np.mean(sizes):,.0f}'} |")


def _cell(parts: list[dict[str, Any]], before: np.ndarray) -> str:
    right = np.concatenate([np.array(part["right"], bool) for part in parts])
    lost, same = paired(before, right), np.mean([share for part in parts for share in part["same"]])
    half = 100 * (lost.high - lost.low) / 2
    return f"{100 * lost.difference:+.1f} ± {half:.1f}, {same:.1%}, {np.mean([part['kl'] for part in parts]):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--nets", default="", help="part of the names of those to measure")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--half", type=int, choices=(0, 1), help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("download-cache"))
    parser.add_argument("--tables", action="store_true", help="print what is in the cache, and measure nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(exist_ok=True)
    for net in () if options.tables else [net for net in NETS if options.nets in net.name]:
        for part in options.parts:
            for half in (0, 1) if options.half is None else (options.half,):
                measure(net, part, options, half)
    tables(options)


if __name__ == "__main__":
    main()
