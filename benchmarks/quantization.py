"""What each step of int8 brings: float, the plain ways, then range search, equalization and bias correction.

    python benchmarks/quantization.py --weights ../shared/weights --images ../shared/data/imagenet-sample

Needs the `tflite` and `onnx` extras. Every fifth image calibrates, the others judge. An image's file name begins
with its ImageNet class. All files run in onnxruntime on one thread. `same` is how often a net names the float net's
class; `lost` is float's top-1 less its own, with the standard error over the same images; `KL` is the mean
divergence from float's probabilities, in nats. The MobileNets' files were quantized before: their weights lie on a
grid, per tensor but for the file `tf2_...`, so FD-MobileNet is the one that was never rounded. `--layers N` adds what
each layer costs, on N judging images. `--runs` takes folders of `train` or `fit` and judges on their validation
images.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.bias import correct_biases
from pocketvision.compress.compress import compress
from pocketvision.compress.equalize import equalize
from pocketvision.compress.layers import layer_losses
from pocketvision.compress.measure import measure
from pocketvision.compress.quantize import lower, quantize
from pocketvision.compress.ranges import search
from pocketvision.compress.steps.step import FEW
from pocketvision.data.arrays import prepared
from pocketvision.data.splits import read_dataset
from pocketvision.export.calibrate import calibration
from pocketvision.export.onnx import to_bytes
from pocketvision.files import read_json
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.lower import without_affines
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.models import build_spec
from pocketvision.runtime.onnx import answer_of
from pocketvision.tasks.classify.answers import targets
from pocketvision.train.checkpoint import trained_net
from pocketvision.values import Health
from pocketvision.weights import load_into, read

FILES = (
    "0.5x-FDMobileNet-224.pth.tar",
    "0.25x-FDMobileNet-224.pth.tar",
    "mobilenet_v1_0.5_160_quant.tflite",
    "mobilenet_v1_0.75_192_quant.tflite",
    "mobilenet_v2_1.0_224_quant.tflite",
    "tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "compressed_SqueezeNet.net",
)
BATCH = 20
Images = NDArray[np.uint8]
Answers = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """One float net, and images to calibrate and to judge on."""

    name: str
    graph: Graph
    calibration: Images
    judged: Images
    truth: NDArray[np.int64]


def published(path: Path, images: list[Path]) -> Case:
    """Return a published file's float net."""
    weights = read(path)
    net = build_spec(weights.spec)
    load_into(net, weights, keep_head=True)
    pixels = np.stack([load(image, weights.image) for image in images])
    truth = np.array([int(image.name[:3]) for image in images]) + weights.spec.num_classes - 1000
    chosen = np.arange(len(images)) % 5 == 0
    return Case(path.name, trace(net.eval(), weights.image), pixels[chosen], pixels[~chosen], truth[~chosen])


def trained(run: Path) -> Case:
    """Return the best net of a finished training."""
    net, record = trained_net(run)
    labels = tuple((run / "labels.txt").read_text(encoding="utf-8").splitlines())
    dataset = read_dataset(Path(read_json(Health, run / "check.json").root), labels, run / "splits.csv")
    judged = dataset.of("val")
    images = prepared(dataset, judged, record.image)
    return Case(run.name, trace(net, record.image), calibration(dataset, record.image), images, targets(judged))


def variants(case: Case) -> Iterator[tuple[str, Graph]]:
    """Yield each way of making the net int8; what `compress` does in one go is done here step by step, once each."""
    few = case.calibration[:: max(1, len(case.calibration) // FEW)]
    plain = without_affines(case.graph)
    measured = measure(plain, case.calibration)
    extremes = {name: spread.range for name, spread in measured.items()}
    small = quantize(plain, extremes)
    yield "per tensor, extremes", per_tensor(plain, small)
    yield "per channel, extremes (int8)", small
    narrow = quantize(plain, search(plain, extremes, few))
    yield "ranges, int8", narrow
    means = measure(plain, few)
    yield "int8, bias", correct_biases(small, means, few)
    yield "ranges, int8, bias", correct_biases(narrow, means, few)
    even, spreads = equalize(plain, measured)
    extremes, means = {name: spread.range for name, spread in spreads.items()}, measure(even, few)
    small = quantize(even, extremes)
    yield "equalize, int8", small
    yield "equalize, int8, bias", correct_biases(small, means, few)
    small = quantize(even, search(even, extremes, few))
    yield "equalize, ranges, int8", small
    yield "equalize, ranges, int8, bias", correct_biases(small, means, few)


def per_tensor(plain: Graph, small: Graph) -> Graph:
    """Return the quantized net with one scale for all weights of a layer."""
    assert small.quant is not None
    floats = {node.name: node for node in lower(plain).graph.nodes if isinstance(node, Conv | Linear)}
    quants = small.quant

    def one_scale(node: Conv | Linear) -> Conv | Linear:
        exact = floats[node.name]
        scale = np.full(len(exact.bias), np.abs(exact.weight).max() / 127, np.float32)
        unit = quants[node.inputs[0]].scale * scale.astype(np.float64)
        bias = np.rint(exact.bias.astype(np.float64) / unit).astype(np.int32)
        return replace(node, weight=np.rint(exact.weight / scale[0]).astype(np.int8), bias=bias, weight_scale=scale)

    return Graph(tuple(one_scale(node) if isinstance(node, Conv | Linear) else node for node in small.nodes), quants)


def answers(graph: Graph, images: Images) -> Answers:
    """Answer in onnxruntime on one thread."""
    answer = answer_of(to_bytes(graph))
    return np.concatenate([answer(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def compare(case: Case) -> None:
    """Print one net's table."""
    exact = answers(case.graph, case.judged)
    right = exact.argmax(1) == case.truth
    print(f"\n{case.name}: float top-1 {right.mean():.2%} of {len(right)} images\n")
    print("| steps | top-1 | lost, points | same as float | KL |\n| --- | --- | --- | --- | --- |", flush=True)
    for name, graph in variants(case):
        found = answers(graph, case.judged)
        differences = right.astype(float) - (found.argmax(1) == case.truth)
        error = differences.std(ddof=1) / np.sqrt(len(right))
        divergence = (exact * np.log(np.maximum(exact, 1e-9) / np.maximum(found, 1e-9))).sum(1).mean()
        print(
            f"| {name} | {(found.argmax(1) == case.truth).mean():.2%} "
            f"| {100 * differences.mean():+.2f} ± {100 * error:.2f} "
            f"| {(found.argmax(1) == exact.argmax(1)).mean():.2%} | {divergence:.4f} |",
            flush=True,
        )


def compare_layers(case: Case, count: int) -> None:
    """Print what each layer costs under the default steps, and how long those took."""
    started = time.process_time()
    done = compress(case.graph, case.calibration)
    print(f"\nquantised in {time.process_time() - started:.1f} s of one core, {len(case.calibration)} images\n")
    print("| layer | kind | noise, dB | alone: logits, dB | alone: same as float |\n| --- | --- | --- | --- | --- |")
    for loss in layer_losses(done.plain, done.graph, case.judged[:: len(case.judged) // count][:count]):
        print(
            f"| {loss.layer} | {loss.kind} | {loss.noise_db:.1f} | {loss.alone_db:.1f} | {loss.alone_same:.1%} |",
            flush=True,
        )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("../shared/weights"))
    parser.add_argument("--images", type=Path, default=Path("../shared/data/imagenet-sample"))
    parser.add_argument("--files", nargs="*", default=FILES)
    parser.add_argument("--runs", nargs="*", type=Path, default=())
    parser.add_argument("--layers", type=int, default=0, metavar="N")
    options = parser.parse_args()
    images = sorted(options.images.glob("*.jpg"))
    makers = [partial(published, options.weights / file, images) for file in options.files]
    for make in (*makers, *(partial(trained, run) for run in options.runs)):
        case = make()
        compare(case)
        if options.layers:
            compare_layers(case, options.layers)


if __name__ == "__main__":
    main()
