"""Published weights files on real images: TFLite files in their own runtime against our nets with their weights,
image by image, and other files against their published accuracy.

    python benchmarks/published_weights.py --weights ../shared/weights --images ../shared/data/imagenet-sample

Needs the `tflite` and `dev` extras. An image's file name begins with its ImageNet class, 0 to 999. Both sides get the
same prepared uint8 pixels: short side to resolution / 0.875, center crop. Our net answers twice: as the float net that
training starts from, and in the file's own whole numbers (`compress/published.py`). `--kernels N` also asks on N
images how often the runtime's fast kernels agree with its own reference kernels (slow).
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvision.compress.published import as_published
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.models import build_spec
from pocketvision.models.blocks import Net
from pocketvision.weights import Weights, load_into, read, restore_batch_norms

FILES = (
    "mobilenet_v1_0.25_128_quant.tflite",
    "mobilenet_v1_0.5_160_quant.tflite",
    "mobilenet_v1_0.75_192_quant.tflite",
    "mobilenet_v2_1.0_224_quant.tflite",
    "tf2_mobilenet_v2_1.0_224_ptq.tflite",
)
OTHERS = ("compressed_SqueezeNet.net", "0.5x-FDMobileNet-224.pth.tar", "0.25x-FDMobileNet-224.pth.tar")
BATCH = 25
RESTORED_FROM = 100
"""Images for the batch norms' statistics."""


@dataclass(frozen=True)
class Line:
    """What one file gave; shares in 0..1."""

    file: str
    count: int
    runtime_top1: float
    our_top1: float
    same: float
    whole_top1: float
    """Of our net in the file's own whole numbers."""
    whole_same: float
    restored_same: float
    restored_gap: float
    """Largest change of a logit by putting the batch norms back."""
    seconds: float


def compare(path: Path, files: list[Path]) -> Line:
    """Measure one file on images named by class; the net keeps all of the file's classes."""
    started = time.perf_counter()
    weights = read(path)
    images = np.stack([load(file, weights.image) for file in files])
    truth = np.array([int(file.name[:3]) for file in files]) + weights.spec.num_classes - 1000
    theirs = runtime_answers(path, images)
    net = our_net(weights)
    assert weights.levels is not None
    whole = run(as_published(trace(net, weights.image), weights.levels), images).argmax(1)
    before = logits(net, images, weights)
    shuffled = np.random.default_rng(0).permutation(len(images))[:RESTORED_FROM]
    restore_batch_norms(net, [normalized(images[chunk], weights) for chunk in np.array_split(shuffled, 4)])
    after = logits(net, images, weights)
    ours, restored = before.argmax(1), after.argmax(1)
    return Line(
        file=path.name,
        count=len(images),
        runtime_top1=float((theirs == truth).mean()),
        our_top1=float((ours == truth).mean()),
        same=float((ours == theirs).mean()),
        whole_top1=float((whole == truth).mean()),
        whole_same=float((whole == theirs).mean()),
        restored_same=float((restored == ours).mean()),
        restored_gap=float(np.abs(after - before).max()),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class Score:
    """What another file gave; shares in 0..1."""

    file: str
    count: int
    values: int
    """Learned ones, without the statistics of batch norms."""
    kept: int
    """Of the values that are weights of convolutions and fully connected layers: those that are not zero."""
    top1: float
    top5: float


def score(path: Path, files: list[Path]) -> Score:
    """Measure one file's own accuracy on images named by class."""
    weights = read(path)
    images = np.stack([load(file, weights.image) for file in files])
    truth = np.array([int(file.name[:3]) for file in files])
    first = np.argsort(-logits(our_net(weights), images, weights), axis=1)[:, :5]
    matrices = [value for key, value in weights.tensors.items() if key.endswith(".weight") and value.ndim > 1]
    return Score(
        file=path.name,
        count=len(images),
        values=sum(value.size for key, value in weights.tensors.items() if ".running_" not in key),
        kept=sum(int(np.count_nonzero(value)) for value in matrices),
        top1=float((first[:, 0] == truth).mean()),
        top5=float((first == truth[:, None]).any(axis=1).mean()),
    )


def our_net(weights: Weights) -> Net:
    """Build the float net that a file describes and load all of it."""
    spec = weights.spec
    net = build_spec(spec)
    load_into(net, weights, keep_head=True)
    return net.eval()


def normalized(images: NDArray[np.uint8], weights: Weights) -> torch.Tensor:
    """Turn uint8 [N, R, R, 3] into what the net takes."""
    mean, std = (np.array(values, np.float32) for values in (weights.image.mean, weights.image.std))
    values = (images.astype(np.float32) / 255 - mean) / std
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


def logits(net: Net, images: NDArray[np.uint8], weights: Weights) -> NDArray[np.float32]:
    """Return logits [N, classes]."""
    starts = range(0, len(images), BATCH)
    with torch.inference_mode():
        return np.concatenate([net(normalized(images[i : i + BATCH], weights)).numpy() for i in starts])


def runtime_answers(path: Path, images: NDArray[np.uint8], *, reference: bool = False) -> NDArray[np.int64]:
    """Return the top class of every image in LiteRT, with its fast or its reference kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    entry, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for image in images:
        interpreter.set_tensor(entry, image[None])
        interpreter.invoke()
        answers.append(int(interpreter.get_tensor(out)[0].argmax()))
    return np.array(answers)


def kernels_agree(path: Path, images: list[Path]) -> float:
    """Return the share of images on which the runtime's two sets of kernels name the same class."""
    image = read(path).image
    pixels = np.stack([load(file, image) for file in images])
    return float((runtime_answers(path, pixels) == runtime_answers(path, pixels, reference=True)).mean())


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--weights", type=Path, default=Path("../shared/weights"))
    parser.add_argument("--images", type=Path, default=Path("../shared/data/imagenet-sample"))
    parser.add_argument("--count", type=int, default=500, help="take this many images, evenly spread")
    parser.add_argument("--kernels", type=int, default=0, metavar="N", help="compare the runtime's kernels on N images")
    parser.add_argument("--files", nargs="+", default=FILES)
    parser.add_argument("--others", nargs="*", default=OTHERS)
    options = parser.parse_args()
    # As many as the runtime gets.
    torch.set_num_threads(1)
    found = sorted(options.images.glob("*.jpg"))
    images = found[:: max(1, len(found) // options.count)][: options.count]
    print_lines(options, images)
    print("\n| file | images | learned values | weights not zero | top-1 | top-5 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for file in options.others:
        line = score(options.weights / file, images)
        print(
            f"| {file} | {line.count} | {line.values:,} | {line.kept:,} | {line.top1:.1%} | {line.top5:.1%} |",
            flush=True,
        )


def print_lines(options: argparse.Namespace, images: list[Path]) -> None:
    """Print one line a TFLite file."""
    print("| file | images | top-1: runtime, float, whole numbers | same as runtime: float, whole | norms back | s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for file in options.files:
        line = compare(options.weights / file, images)
        print(
            f"| {line.file} | {line.count} | {line.runtime_top1:.1%}, {line.our_top1:.1%}, {line.whole_top1:.1%} "
            f"| {line.same:.1%}, {line.whole_same:.1%} | {line.restored_same:.1%}, {line.restored_gap:.1e} "
            f"| {line.seconds:.0f} |",
            flush=True,
        )
        if options.kernels:
            chosen = images[:: max(1, len(images) // options.kernels)][: options.kernels]
            share = kernels_agree(options.weights / file, chosen)
            print(f"{file}: the runtime's fast and reference kernels agree on {share:.1%} of {len(chosen)} images")


if __name__ == "__main__":
    main()
