"""Whether a file layout of our own is worth it: a context coder over chosen int8 weights, beside brotli.

    python benchmarks/context_coder.py --weights ../shared/weights --images ../shared/data/imagenet-sample --seed 0 \
        --nets "V1 0.25" --strength 4

Needs the `tflite` and `download` extras. Weights are chosen as `download.py` does it, by one half of the images. Each
weight is a row of binary decisions (above 0, above 1, and so on, then the sign), each predicted by seven adaptive
contexts (layer, running means of the row and of the column, their pairs, the two weights before, the weight above and
that of the window before) that are mixed logistically, as in context-mixing compressors (Mahoney 2005). What is counted
are ideal code lengths; a range coder adds less than a thousandth. All else of the file is left to brotli. Plain Python:
some minutes a net.
"""

import argparse
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from download import NETS, case_of

from pocketvision.compress.ledger import code_bits
from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.export.litert import to_bytes
from pocketvision.graph.graph import Conv, Linear
from pocketvision.packing import packed_bytes

CONTEXTS, UNARY, SIGN = 7, 20, 40
RATE, LIMIT = 0.002, 1000
"""Of the mixing weights, and of the events that a context's probability remembers."""
MEMORY = 0.06
"""Of a running mean: what the newest weight counts."""


class Mixer:
    """Adaptive probabilities of binary decisions, mixed; counts the bits."""

    def __init__(self) -> None:
        self.bits = 0.0
        self.seen: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.5, 0.0])
        self.weights: dict[int, list[float]] = defaultdict(lambda: [0.18] * CONTEXTS + [0.0])

    def code(self, decision: int, contexts: tuple[int, ...], value: bool) -> None:
        """Count a decision's bits and learn from it."""
        states = [self.seen[place, decision, context] for place, context in enumerate(contexts)]
        inputs = [math.log(p / (1 - p)) for p, _ in states] + [0.3]
        weights = self.weights[decision]
        share = 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, inputs, strict=True))))
        share = min(max(share, 1e-4), 1 - 1e-4)
        self.bits -= math.log2(share if value else 1 - share)
        step = (value - share) * RATE
        for place, x in enumerate(inputs):
            weights[place] += step * x
        for state in states:
            state[0] = min(max(state[0] + (value - state[0]) / (state[1] + 1.6), 1e-3), 1 - 1e-3)
            state[1] = min(state[1] + 1, LIMIT)


def layer_bits(mixer: Mixer, number: int, weight: np.ndarray) -> None:
    """Count the bits of a layer's levels."""
    rows, taps = weight.reshape(len(weight), -1).tolist(), int(np.prod(weight.shape[2:]))
    columns: list[float | None] = [None] * len(rows[0])
    above = [0] * len(rows[0])
    for row in rows:
        mean: float | None = None
        for place, value in enumerate(row):
            one, two = (row[place - back] if place >= back else 0 for back in (1, 2))
            window = abs(row[place - taps]) if place >= taps else 0
            across, down = _coarse(mean), _coarse(columns[place])
            near = min(abs(one), 15) * 16 + min(abs(two), 15)
            before = min(abs(above[place]), 15) * 16 + min(window, 15)
            contexts = (number, across, across * 32 + down, down * 64 + number, across * 64 + number, near, before)
            _code(mixer, value, contexts, (number, _sign(one) * 3 + _sign(above[place]), place % taps))
            mean = abs(value) if mean is None else mean + (abs(value) - mean) * MEMORY
            old = columns[place]
            columns[place] = abs(value) if old is None else old + (abs(value) - old) * MEMORY
        above = row


def _code(mixer: Mixer, value: int, contexts: tuple[int, ...], signs: tuple[int, int, int]) -> None:
    size = abs(value)
    for level in range(UNARY):
        mixer.code(level, contexts, size > level)
        if size <= level:
            break
    else:
        extra = size - UNARY
        for level in range(extra.bit_length() - 1):
            mixer.code(UNARY + level, contexts, True)
        mixer.code(UNARY + extra.bit_length() - 1, contexts, False)
        mixer.bits += extra.bit_length() - 1
    if size:
        number, near, tap = signs
        mixer.code(SIGN, (number, near, near * 64 + number, tap, near + 16 * tap, 0, 0), value > 0)


def _coarse(mean: float | None) -> int:
    if mean is None:
        return 24
    return 0 if mean < 0.02 else min(max(int(2 * math.log2(mean) + 12), 1), 23)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0) + 1


def _as_in_files(weight: np.ndarray) -> bytes:
    if weight.ndim == 4:
        weight = weight.transpose(1, 2, 3, 0) if weight.shape[1] == 1 else weight.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(weight).tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--nets", default="", help="part of the names of those to measure")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for net in (net for net in NETS if options.nets in net.name):
        case = case_of(net, options, 0)
        graph = RateSearch(case.graph, case.seen).at(STRENGTHS.index(options.strength)).graph
        layers = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
        mixer = Mixer()
        for number, node in enumerate(layers):
            layer_bits(mixer, number, node.weight)
        packed = packed_bytes(b"".join(_as_in_files(node.weight) for node in layers), "brotli")
        plain = sum(code_bits(np.unique_counts(node.weight).counts) for node in layers) / 8
        file, own = packed_bytes(to_bytes(graph), "brotli"), mixer.bits / 8
        print(f"{net.name}, strength {options.strength:g}: file under brotli {file:,}, weights alone {packed:,};")
        print(
            f"by each layer's frequencies {plain:,.0f}, by contexts {own:,.0f}: {(packed - own) / file:.1%} of the file"
        )


if __name__ == "__main__":
    main()
