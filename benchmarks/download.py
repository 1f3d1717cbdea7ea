"""What a net takes as it is sent, and what it loses, where int8 weights are chosen by the bytes that they cost.

    python benchmarks/download.py --weights ../shared/weights --images ../shared/data/imagenet-sample
    python benchmarks/download.py --tables --plot docs/guide/smaller-downloads.svg

Needs the `tflite`, `litert`, `weights` and `download` extras. A seeded half of the images is seen by the steps, without
labels; the other half judges, and the other way around, so that every image judges once. A file's name begins with its
ImageNet class. Files are LiteRT files with labels and manifest, judged and timed in LiteRT on one thread. Loss is
against the float net in the same runtime, on the same images, with the 95% interval of the paired difference; `same` is
how many answers stay the same, `KL` the mean divergence from float's probabilities in nats. Times are of plain int8 and
of chosen weights in turns, as the median of the rounds' ratios. What a half found is kept in `--cache`, so that nets
can be measured one at a time; `--tables` prints what is there.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvision.compress.compress import compress
from pocketvision.compress.ledger import LedgerEntry
from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.export.litert import to_bytes
from pocketvision.export.manifest import manifest_of_file
from pocketvision.graph.graph import Graph
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.metrics.paired import paired
from pocketvision.models import build_spec
from pocketvision.packing import packed_bytes
from pocketvision.report.chart import Series, Svg, draw
from pocketvision.runtime.litert import answer_of
from pocketvision.values import Manifest
from pocketvision.weights import load_into, read, sources
from pocketvision.weights.fetch import packaged

Images = NDArray[np.uint8]
Answers = NDArray[np.float32]
ROUNDS = 7


class Net(NamedTuple):
    """A published net, and the strengths that are tried on it, as powers of two."""

    name: str
    file: str
    powers: tuple[float, ...]


NETS = (
    Net("SqueezeNet 1.0 @ 227", "compressed_SqueezeNet.net", (-3, -2, -1, 0, 1)),
    Net("MobileNet V1 0.25 @ 128", "mobilenet_v1_0.25_128_quant.tflite", (0, 1, 2, 3, 4)),
    Net("MobileNet V1 0.5 @ 160", "mobilenet_v1_0.5_160_quant.tflite", (-2, -1, -0.5, 0, 1, 2)),
    Net("FD-MobileNet 0.25x @ 224", "0.25x-FDMobileNet-224.pth.tar", (-1, 0, 0.75, 1, 2, 3)),
    Net("MobileNet V2 1.0 @ 224", "mobilenet_v2_1.0_224_quant.tflite", (-5, -4, -3.5, -3, -2, -1)),
    Net("EfficientNet-Lite0 @ 224", "efficientnet-lite0-57934424.pth", (-7, -6, -5, -4, -3)),
)


class Case(NamedTuple):
    """One net with half of the images to see and half to judge by."""

    graph: Graph
    manifest: Manifest
    seen: Images
    judged: Images
    truth: NDArray[np.int64]


def file_of(net: Net, folder: Path) -> Path:
    """Return the file of a net's weights: in the folder, or in the package that the extra `weights` installs."""
    found = (packaged(source) for source in sources() if Path(source.file).name == net.file)
    return next((path for path in found if path is not None), folder / net.file)


def case_of(net: Net, options: argparse.Namespace, half: int) -> Case:
    weights = read(file_of(net, options.weights))
    model = build_spec(weights.spec)
    load_into(model, weights, keep_head=True)
    paths = sorted(options.images.glob("*.jpg"))
    images = np.stack([load(path, weights.image) for path in paths])
    truth = np.array([int(path.name[:3]) for path in paths]) + weights.spec.num_classes - 1000
    order = np.random.default_rng(options.seed).permutation(len(paths))
    seen, judged = np.sort(order[half::2]), np.sort(order[1 - half :: 2])
    labels = tuple((options.weights / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines())
    manifest = manifest_of_file(weights.spec, weights.image, labels[-weights.spec.num_classes :])
    return Case(
        trace(model.eval(), weights.image),
        replace(manifest, precision="int8", created=""),
        images[seen],
        images[judged],
        truth[judged],
    )


def row_of(label: str, graph: Graph, case: Case, exact: Answers) -> dict[str, Any]:
    """Judge one graph's file."""
    content = to_bytes(graph, replace(case.manifest, precision="int8" if graph.quant else "float"))
    bare, entry = to_bytes(graph), LedgerEntry(label, graph)
    found = exact if graph.quant is None else answer_of(content)(case.judged)
    sizes = {} if graph.quant is None else {name: packed_bytes(content, name) for name in ("brotli", "deflate", "zstd")}
    return {
        "label": label,
        "bits": entry.entropy,
        "zeros": entry.zeros,
        "bytes": len(content),
        "sizes": sizes | ({"bare": packed_bytes(bare, "brotli")} if sizes else {}),
        "right": [int(right) for right in found.argmax(axis=1) == case.truth],
        "same": [int(same) for same in found.argmax(axis=1) == exact.argmax(axis=1)],
        "kl": float((exact * (np.log(exact + 1e-9) - np.log(found + 1e-9))).sum(axis=1).mean()),
    }


def measure(net: Net, options: argparse.Namespace, half: int) -> dict[str, Any]:
    """Measure a net by one half."""
    case = case_of(net, options, half)
    exact = answer_of(to_bytes(case.graph))(case.judged)
    plain = compress(case.graph, case.seen[:100]).graph
    rows = [row_of("float", case.graph, case, exact), row_of("plain int8", plain, case, exact)]
    start = time.perf_counter()
    search = RateSearch(case.graph, case.seen)
    seconds = {"weighing": time.perf_counter() - start}
    for power in net.powers:
        start, place = time.perf_counter(), STRENGTHS.index(2.0**power)
        graph = search.at(place).graph
        seconds["choosing"] = time.perf_counter() - start
        rows.append(row_of(f"{2.0**power:.3g}", graph, case, exact))
        print(f"{net.name}, half {half}, {summary(rows[-1])}", flush=True)
    return {"rows": rows, "seconds": seconds, "ratio": ratio(to_bytes(plain), to_bytes(graph), case.judged[:1])}


def ratio(plain: bytes, chosen: bytes, image: Images) -> list[float]:
    """Return the times of the chosen weights' file over plain int8's, the median of rounds and the ends."""
    answers = [answer_of(content) for content in (plain, chosen)]
    found = sorted(_time(answers[1], image) / _time(answers[0], image) for _ in range(ROUNDS))
    return [statistics.median(found), found[0], found[-1]]


def _time(answer: Callable[[Images], Answers], image: Images) -> float:
    times = []
    for _ in range(30):
        start = time.perf_counter()
        answer(image)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def summary(row: dict[str, Any]) -> str:
    return (
        f"{row['label']}: {row['bits']:.2f} bits, {row['sizes'].get('brotli', 0):,} brotli, "
        f"{np.mean(row['right']):.1%} right, {np.mean(row['same']):.1%} same, KL {row['kl']:.4f}"
    )


def tables(options: argparse.Namespace) -> list[Series]:
    """Print a table of each net that is in the cache; return what the picture shows."""
    found = []
    for net in NETS:
        halves = [json.loads(path.read_text()) for path in sorted(options.cache.glob(f"{net.file}-*.json"))]
        if not halves:
            continue
        print(f"\n**{net.name}**, {len(halves[0]['rows'][0]['right']) * len(halves)} images\n")
        print("| weights | bits | zeros | file | brotli | without labels | zstd | deflate | top-1 | loss | same | KL |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|")
        points = []
        for parts in zip(*(half["rows"] for half in halves), strict=True):
            points += _line(parts, [half["rows"][0] for half in halves])
        middle, low, high = (math.exp(np.mean([math.log(half["ratio"][end]) for half in halves])) for end in range(3))
        times = {key: np.mean([half["seconds"][key] for half in halves]) for key in ("weighing", "choosing")}
        print(f"\nTime beside plain int8: {middle:.2f} ({low:.2f} to {high:.2f}). Weighing took", end=" ")
        print(f"{times['weighing']:.0f} s, choosing and correcting biases {times['choosing']:.0f} s.")
        curve = tuple(sorted(points))
        found.append(Series(net.name, curve, tuple(f"{x:,.0f} bytes, {y:.1f}%" for x, y in curve), (curve,)))
    return found


def _line(parts: tuple[dict[str, Any], ...], exact: list[dict[str, Any]]) -> list[tuple[float, float]]:
    right, before = (np.concatenate([np.array(part["right"], bool) for part in group]) for group in (parts, exact))
    mean = {key: float(np.mean([part[key] for part in parts])) for key in ("bits", "zeros", "bytes", "kl")}
    if not parts[0]["sizes"]:
        print(f"| float | | | {mean['bytes']:,.0f} | | | | | {right.mean():.1%} | | | |")
        return []
    size = {key: float(np.mean([part["sizes"][key] for part in parts])) for key in parts[0]["sizes"]}
    lost, same = paired(before, right), np.mean([part["same"] for part in parts])
    sizes = " | ".join(f"{size[key]:,.0f}" for key in ("brotli", "bare", "zstd", "deflate"))
    loss = f"{100 * lost.difference:+.1f} ({100 * lost.low:+.1f} to {100 * lost.high:+.1f})"
    print(
        f"| {parts[0]['label']} | {mean['bits']:.2f} | {mean['zeros']:.0%} | {mean['bytes']:,.0f} | {sizes} "
        f"| {right.mean():.1%} | {loss} | {same:.1%} | {mean['kl']:.3f} |"
    )
    return [(size["brotli"], 100 * float(right.mean()))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--nets", default="", help="part of the names of those to measure")
    parser.add_argument("--half", type=int, choices=(0, 1), help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("download-cache"))
    parser.add_argument("--tables", action="store_true", help="print what is in the cache, and measure nothing")
    parser.add_argument("--plot", type=Path, help="SVG file that gets the curves of the tables")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(exist_ok=True)
    for net in () if options.tables else [net for net in NETS if options.nets in net.name]:
        for half in (0, 1) if options.half is None else (options.half,):
            found = measure(net, options, half)
            (options.cache / f"{net.file}-{half}.json").write_text(json.dumps(found))
    series = tables(options)
    if options.plot:
        canvas = Svg()
        draw(canvas, series, title="Top-1 against bytes sent", across="Bytes under brotli (log scale)", up="Top-1")
        options.plot.write_bytes(canvas.finish())


if __name__ == "__main__":
    main()
