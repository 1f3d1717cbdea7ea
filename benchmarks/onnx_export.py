"""Our ONNX writer and int8 quantizer beside PyTorch's exporter and onnxruntime's quantizer, same nets, same images.

    python benchmarks/onnx_export.py --weights ../shared/weights --images ../shared/data/imagenet-sample

Needs the `tflite` and `dev` extras. Every fifth image calibrates both quantizers, the others judge. An image's file
name begins with its ImageNet class. The peer is set up at its best: PyTorch's default exporter, `quant_pre_process`,
per channel, 8-bit unsigned activations. Our files take uint8 and give probabilities. The peer's float file is exported
with the same work inside; its int8 file takes float images normalized outside and gives logits, as its users make
it, and what it leaves outside is not timed. Latency ratios come from turns within one
process; below 1 means that ours is faster. The count of integer convolutions shows whether a file is what it claims.
The older exporter (`dynamo=False`) is no fair peer: it merges equal tensors of neutral norms, and onnxruntime then
leaves most convolutions of the quantized file in float.
"""

import argparse
import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from pocketvision.compress.compress import compress
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.real import softmax
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.latency.measure import machine, measure
from pocketvision.models import build
from pocketvision.models.blocks import Net
from pocketvision.runtime.onnx import answer_of, runtime_name
from pocketvision.values import ImageSpec
from pocketvision.weights import load_into, read

FILES = (
    "mobilenet_v1_0.25_128_quant.tflite",
    "mobilenet_v1_0.5_160_quant.tflite",
    "tf2_mobilenet_v2_1.0_224_ptq.tflite",
)
SYMMETRIC = (("mobilenet_v2", 0.5, 128), ("squeezenet1_1", 1.0, 128))
"""Nets with PyTorch's padding; random weights, so for time and size only."""
Answers = NDArray[np.float32]
Run = Callable[[NDArray[Any]], Answers]


@dataclass(frozen=True)
class Made:
    """One file, how long it took to write, and how to run it on uint8 images."""

    content: bytes
    seconds: float
    run: Run
    feed: Callable[[NDArray[np.uint8]], NDArray[Any]]

    def answers(self, images: NDArray[np.uint8]) -> Answers:
        return np.concatenate([self.run(self.feed(images[i : i + 25])) for i in range(0, len(images), 25)])


class Whole(torch.nn.Module):
    """A net with what our files do beside it: uint8 [N, H, W, 3] in, probabilities out."""

    mean: torch.Tensor
    factor: torch.Tensor

    def __init__(self, net: Net, image: ImageSpec) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(image.mean).view(3, 1, 1) * 255)
        self.register_buffer("factor", 1 / (torch.tensor(image.std).view(3, 1, 1) * 255))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        planes = images.permute(0, 3, 1, 2).float()
        return torch.softmax(self.net((planes - self.mean) * self.factor), dim=1)


def ours(net: Net, image: ImageSpec, calibration: NDArray[np.uint8]) -> tuple[Made, Made]:
    start = time.perf_counter()
    graph = trace(net, image)
    content = to_bytes(graph)
    middle = time.perf_counter()
    small = to_bytes(compress(graph, calibration).graph)
    end = time.perf_counter()
    return tuple(
        Made(each, seconds, answer_of(each), lambda images: images)
        for each, seconds in ((content, middle - start), (small, end - middle))
    )  # type: ignore[return-value]


def theirs(net: Net, image: ImageSpec, calibration: NDArray[np.uint8]) -> tuple[Made, Made]:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    def feed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        mean, std = (np.array(each, np.float32) for each in (image.mean, image.std))
        values = (images.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.uint8]] = iter(calibration)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self.left, None)
            return None if image is None else {"image": feed(image[None])}

    with TemporaryDirectory() as folder:
        whole, first, ready, second = (Path(folder, f"{name}.onnx") for name in ("whole", "float", "ready", "int8"))
        size = image.resolution
        start = time.perf_counter()
        export(Whole(net, image).eval(), torch.zeros(2, size, size, 3, dtype=torch.uint8), whole)
        exported = time.perf_counter()
        export(net, torch.zeros(1, 3, size, size), first)
        middle = time.perf_counter()
        quant_pre_process(first, ready)
        quantize_static(
            ready, second, Reader(), quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, per_channel=True,
        )  # fmt: skip
        end = time.perf_counter()
        plain, small = whole.read_bytes(), second.read_bytes()
    return (
        Made(plain, exported - start, session(plain), lambda images: images),
        Made(small, end - middle, session(small), feed),
    )


def export(net: torch.nn.Module, sample: torch.Tensor, path: Path) -> None:
    shapes = ({0: torch.export.Dim("n", min=1, max=256)},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (sample,), path, input_names=["image"], output_names=["logits"], dynamic_shapes=shapes,
            external_data=False, verbose=False,
        )  # fmt: skip


def session(content: bytes, threads: int = 1) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # As in our own runtime: threads that spin between calls would slow down whatever is timed in turns with them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    opened = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: opened.run(None, {"image": images})[0]


def kernels(content: bytes) -> str:
    """Say how many convolutions onnxruntime runs in integers, of how many."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(Path(folder, "optimized.onnx"))
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        kinds = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    whole = sum(kinds[kind] for kind in ("QLinearConv", "Conv", "FusedConv"))
    return f"{kinds['QLinearConv']} of {whole} convolutions in integers"


def ratio(made: Made, peer: Made, image: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Return our median, the peer's in ms, and the median ratio of five rounds."""
    own, other = made.feed(image), peer.feed(image)
    found = [
        measure(lambda: made.run(own), lambda: peer.run(other), threads=1, runtime=runtime_name()) for _ in range(5)
    ]
    middle = sorted(found, key=lambda latency: latency.ratio)[2]
    return middle.median_ms, middle.reference_ms, middle.ratio


def torch_answers(net: Net, image: ImageSpec, images: NDArray[np.uint8]) -> Answers:
    found = []
    mean, std = torch.tensor(image.mean).view(3, 1, 1), torch.tensor(image.std).view(3, 1, 1)
    with torch.inference_mode():
        for start in range(0, len(images), 25):
            batch = torch.from_numpy(images[start : start + 25]).permute(0, 3, 1, 2).float() / 255
            found.append(torch.softmax(net((batch - mean) / std), dim=1).numpy())
    return np.concatenate(found)


def compare(net: Net, image: ImageSpec, images: NDArray[np.uint8], *, classes: NDArray[Any]) -> None:
    chosen = np.arange(len(images)) % 5 == 0
    calibration, judged, truth = images[chosen], images[~chosen], classes[~chosen]
    mine, peers = ours(net, image, calibration), theirs(net, image, calibration)
    exact = torch_answers(net, image, judged)
    print(f"  torch: top-1 {(exact.argmax(1) == truth).mean():.2%}")
    for kind, own, peer in zip(("float", "int8"), mine, peers, strict=True):
        own_ms, peer_ms, quotient = ratio(own, peer, judged[:1])
        print(f"  {kind}: latency ratio {quotient:.3f} ({own_ms:.3f} / {peer_ms:.3f} ms)")
        for name, made in (("ours", own), ("peer", peer)):
            found = made.answers(judged)
            found = softmax(found) if made is peer and kind == "int8" else found
            gaps = np.abs(found - exact).max(1)
            right, same = (found.argmax(1) == truth).mean(), (found.argmax(1) == exact.argmax(1)).mean()
            print(
                f"    {name}: {made.seconds:6.2f} s, {len(made.content):10,d} bytes, {kernels(made.content)}, "
                f"top-1 {right:.2%}, agrees {same:.2%}, gap mean {gaps.mean():.4f} largest {gaps.max():.4f}",
                flush=True,
            )


def lively(net: Net) -> Net:
    """Give batch norms the spread of trained ones; fresh norms are all alike, which no exported net is."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.weight, 0.8, 1.6), (module.bias, -0.3, 0.3),
                    (module.running_mean, -0.2, 0.2), (module.running_var, 0.4, 1.2),
                ):  # fmt: skip
                    assert tensor is not None
                    tensor.uniform_(low, high)
        for module in net.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.mul_(10)
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    paths = sorted(arguments.images.glob("*.jpg"))
    classes = np.array([int(path.name.split("_")[0]) for path in paths])
    print(f"{machine()}, {runtime_name()}, torch {torch.__version__}, 1 thread, {len(paths)} images")
    for file in FILES:
        weights = read(arguments.weights / file)
        spec = weights.spec
        net = build(spec.name, width=spec.width, resolution=spec.resolution, padding=spec.padding)
        load_into(net, weights, keep_head=True)
        print(file)
        images = np.stack([load(path, weights.image) for path in paths])
        compare(net.eval(), weights.image, images, classes=classes)
    for name, width, resolution in SYMMETRIC:
        net = lively(build(name, width=width, resolution=resolution, num_classes=1000))
        print(f"{name} {width} @ {resolution}, random weights: accuracies mean nothing")
        image = ImageSpec(resolution)
        images = np.stack([load(path, image) for path in paths[:50]])
        compare(net.eval(), image, images, classes=classes[:50])


if __name__ == "__main__":
    main()
