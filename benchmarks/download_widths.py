"""The same download as a wide net with cheap weights, or as a narrow one with dear weights.

    python benchmarks/download_widths.py face-mask sign-digits --data ../shared/data --weights ../shared/weights
        --widths 0.25 0.125 --resolution 96 --sizes 25000 40000 60000

Needs the `download` and `tflite` extras. Trains MobileNet V1 at each width alike, from published weights that are cut
where they are wider, then chooses int8 weights as weakly as the download of the whole ONNX file under brotli allows.
Judged on the test images in onnxruntime, paired: the loss is the wider net's beside the narrower one's at the same
download, with its 95% interval. Trainings stay in `--output`, and are not made twice.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import pocketvision
from pocketvision.compress.ledger import LedgerEntry
from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.data.arrays import prepared
from pocketvision.export.calibrate import SENSITIVITY_IMAGES, calibration
from pocketvision.export.onnx import to_bytes
from pocketvision.export.smaller import sent
from pocketvision.export.source import open_source
from pocketvision.graph.graph import Graph
from pocketvision.metrics.paired import paired
from pocketvision.progress import Silent
from pocketvision.runtime.onnx import answer_of
from pocketvision.tasks import load, spec_of
from pocketvision.values import Manifest

Right = NDArray[np.bool_]


class Trained(NamedTuple):
    """A trained net, with its strengths and what judges them."""

    search: RateSearch
    manifest: Manifest
    images: NDArray[np.uint8]
    truth: NDArray[np.int64]

    def right(self, graph: Graph) -> Right:
        """Tell which test images a graph's file answers right."""
        answer = answer_of(to_bytes(graph))
        found = [answer(self.images[start : start + 32]) for start in range(0, len(self.images), 32)]
        return np.asarray(np.concatenate(found).argmax(axis=1) == self.truth)


def trained(name: str, width: float, options: argparse.Namespace) -> Trained:
    """Train a net, or open the one of an earlier call."""
    run = options.output / "train" / f"{name}-{width:g}-{options.resolution}"
    if not (run / "SHA256SUMS").is_file():
        pocketvision.train(
            options.data / name,
            model="mobilenet_v1",
            width=width,
            resolution=options.resolution,
            epochs=options.epochs,
            weights=str(options.weights / "mobilenet_v1_0.25_128_quant.tflite"),
            output=options.output,
            name=run.name,
            seed=options.seed,
        )
    opened = open_source(run, None, labels=None, progress=Silent())
    dataset, image = opened.images(), opened.manifest.image
    test = dataset.of("test")
    seen = calibration(dataset, image, Silent(), most=SENSITIVITY_IMAGES)
    truth = load(spec_of(opened.manifest).name).targets(test)
    return Trained(RateSearch(opened.graph, seen), opened.manifest, prepared(dataset, test, image), truth)


def compared(name: str, options: argparse.Namespace) -> None:
    """Print a table of one data set."""
    nets = {width: trained(name, width, options) for width in sorted(options.widths)}
    plain = {width: net.search.rounded() for width, net in nets.items()}
    print(f"\n**{name}**, {len(next(iter(nets.values())).truth)} test images at {options.resolution} pixels\n")
    print("| download | width | strength | bits | zeros | bytes | accuracy | beside the narrowest |")
    print("|---|---|---|---|---|---|---|---|")
    for size in (None, *options.sizes):
        first: Right | None = None
        for width, net in nets.items():
            place = None if size is None else within(net, size)
            if size is not None and place is None:
                continue
            graph = plain[width] if place is None else net.search.at(place).graph
            right, entry = net.right(graph), LedgerEntry("", graph)
            beside = "" if first is None else gained(right, first)
            first = right if first is None else first
            asked = "plain int8" if size is None else f"{size:,.0f}"
            strength = "" if place is None else f"{STRENGTHS[place]:.3g}"
            print(
                f"| {asked} | {width:g} | {strength} | {entry.entropy:.2f} | {entry.zeros:.0%} | "
                f"{weighed(net, graph):,} | {right.mean():.1%} | {beside} |",
                flush=True,
            )


def within(net: Trained, size: int) -> int | None:
    """Return the weakest place of a net whose file keeps a size; None where none does."""
    return net.search.weakest(lambda graph: weighed(net, graph) <= size)


def weighed(net: Trained, graph: Graph) -> int:
    """Return the bytes of a net's file under brotli."""
    return sent(graph, net.manifest, "onnx", "brotli")


def gained(wide: Right, narrow: Right) -> str:
    """Say what the wider net gains, in points."""
    found = paired(wide, narrow)
    return f"{100 * found.difference:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="folders in --data")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--widths", type=float, nargs="+", default=(0.125, 0.25))
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--sizes", type=int, nargs="+", default=(25_000, 40_000, 60_000))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("download-widths"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        compared(name, options)


if __name__ == "__main__":
    main()
