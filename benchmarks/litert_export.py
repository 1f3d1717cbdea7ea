"""Our int8 files beside the peers' at their best: LiteRT beside litert-torch, ONNX beside onnxruntime's quantizer.

    python3.11 -m venv peer
    peer/bin/pip install torch==2.13.0 litert-torch==0.10.0
    python benchmarks/litert_export.py --peer-python peer/bin/python

Needs the `tflite` and `dev` extras. litert-torch is heavy and runs in a venv of its own (`litert_peer.py`); what it
made is kept in `--cache`. Its file takes images that are normalized and rounded outside, and gives logits in 8 bits.
onnxruntime's is made as in `onnx_export.py`: `quantize_static`, unsigned 8-bit tensors, a scale a channel; it takes
normalized images in float and gives logits. Ours take uint8 as it is and give probabilities, all inside the clock.

Nets that TensorFlow trained are padded as PyTorch pads, which costs them accuracy: litert-torch turns TensorFlow's
padding into slow operators, and the comparison is about the rest. Every fifth image calibrates all files, the others
judge; an image's file name begins with its ImageNet class. Times are of one image, ours in turns with the peer's. A
ratio below 1 means that ours is faster; it is the median of five rounds, with the smallest and the largest.
"""

import argparse
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

from onnx_export import Answers, session, theirs, torch_answers

from pocketvision.compress.compress import compress
from pocketvision.export import litert, onnx
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.latency.measure import machine, measure
from pocketvision.models import build_spec
from pocketvision.models.blocks import Net
from pocketvision.runtime.litert import answer_of as litert_answer_of
from pocketvision.runtime.litert import parts, runtime_name
from pocketvision.runtime.onnx import answer_of as onnx_answer_of
from pocketvision.runtime.onnx import runtime_name as onnx_name
from pocketvision.values import ImageSpec, ModelSpec, to_json
from pocketvision.weights import load_into, read

FILES = (
    "0.5x-FDMobileNet-224.pth.tar",
    "mobilenet_v1_0.5_160_quant.tflite",
    "tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "compressed_SqueezeNet.net",
)
PEER = Path(__file__).with_name("litert_peer.py")
SOURCES = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
"""So that the peer's Python finds our nets."""
ROUNDS = 5
THREADS = (1, 2)
Images = NDArray[np.uint8]
Run = Callable[[NDArray[Any]], Answers]


@dataclass(frozen=True)
class Side:
    """One file: its content, how to open it on so many threads, and what it takes for images."""

    content: bytes
    open: Callable[[bytes, int], Run]
    feed: Callable[[Images], NDArray[Any]]

    def classes(self, images: Images) -> NDArray[np.int64]:
        """Name a class for each image: [N]."""
        run = self.open(self.content, 1)
        return np.concatenate([run(self.feed(images[i : i + 25])).argmax(1) for i in range(0, len(images), 25)])


def normalized(images: Images, image: ImageSpec) -> NDArray[np.float32]:
    """Return float images [N, R, R, 3] as the net takes them."""
    mean, std = (np.array(values, np.float32) for values in (image.mean, image.std))
    return (images.astype(np.float32) / np.float32(255) - mean) / std


def planes(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def converted(net: Net, spec: ModelSpec, calibration: NDArray[np.float32], *, peer: Path, cache: Path) -> bytes:
    """Return litert-torch's int8 file of a net, from the cache where the same was asked for before."""
    parameters = b"".join(value.numpy().tobytes() for value in net.state_dict().values())
    digest = hashlib.sha256(parameters + calibration.tobytes() + PEER.read_bytes()).hexdigest()[:12]
    kept = cache / f"{spec.name}-{spec.width:g}-{spec.resolution}-{digest}.tflite"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = Path(name)
            (folder / "net.json").write_text(json.dumps(to_json(spec)), encoding="utf-8")
            torch.save(net.state_dict(), folder / "weights.pt")
            np.save(folder / "images.npy", calibration)
            done = subprocess.run([peer, PEER, folder], env=SOURCES, capture_output=True, text=True, check=False)
            if not (folder / "made.tflite").is_file():
                raise SystemExit(f"{peer} {PEER.name} failed:\n{done.stderr[-2000:]}")
            (folder / "made.tflite").rename(kept)
    return kept.read_bytes()


def litert_peer(content: bytes, image: ImageSpec) -> Side:
    """Return litert-torch's file, with what it takes for images."""
    scale, zero = opened(content, 1).get_input_details()[0]["quantization"]

    def feed(images: Images) -> NDArray[np.int8]:
        levels = np.rint(normalized(images, image) / np.float32(scale)) + zero
        return np.asarray(np.clip(levels, -128, 127), np.int8)

    return Side(content, interpreted, feed)


def opened(content: bytes, threads: int) -> Any:
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def interpreted(content: bytes, threads: int) -> Run:
    """Open a LiteRT file of others, to be asked one image after the other."""
    interpreter = opened(content, threads)
    entry, out = (found[0]["index"] for found in (interpreter.get_input_details(), interpreter.get_output_details()))

    def run(images: NDArray[Any]) -> Answers:
        found = []
        for image in images:
            interpreter.set_tensor(entry, image[None])
            interpreter.invoke()
            found.append(interpreter.get_tensor(out)[0])
        return np.stack(found)

    return run


def ratio(own: Side, peer: Side, image: Images, threads: int) -> str:
    """Return our median and the peer's in ms, and the ratio of the round in the middle, with the extremes."""
    mine, theirs = own.open(own.content, threads), peer.open(peer.content, threads)
    entries = own.feed(image), peer.feed(image)
    rounds = [
        measure(lambda: mine(entries[0]), lambda: theirs(entries[1]), threads=threads, runtime="")
        for _ in range(ROUNDS)
    ]
    ordered = sorted(rounds, key=lambda latency: latency.ratio)
    middle = ordered[ROUNDS // 2]
    return (
        f"{middle.ratio:.2f} ({ordered[0].ratio:.2f} to {ordered[-1].ratio:.2f}) | "
        f"{middle.median_ms:.2f} / {middle.reference_ms:.2f} ms"
    )


def shares(sides: tuple[Side, Side], images: Images, truth: NDArray[Any], exact: NDArray[Any]) -> str:
    """Return top-1 and agreement with the float net, ours and the peer's."""
    found = [side.classes(images) for side in sides]
    right = ", ".join(f"{(each == truth).mean():.1%}" for each in found)
    return f"{right} | {', '.join(f'{(each == exact).mean():.1%}' for each in found)}"


def compare(path: Path, images: list[Path], *, peer: Path, cache: Path) -> None:
    """Print the lines of one net."""
    weights = read(path)
    image, spec = weights.image, replace(weights.spec, padding="symmetric")
    weights, net = replace(weights, spec=spec), build_spec(spec)
    load_into(net, weights, keep_head=True)
    net.eval()
    pixels = np.stack([load(file, image) for file in images])
    truth = np.array([int(file.name[:3]) for file in images]) + spec.num_classes - 1000
    chosen = np.arange(len(images)) % 5 == 0
    calibration, judged, truth = pixels[chosen], pixels[~chosen], truth[~chosen]
    small = compress(trace(net, image), calibration).graph
    made = converted(net, spec, planes(normalized(calibration, image)), peer=peer, cache=cache)
    pairs = {
        runtime_name(): (
            Side(litert.to_bytes(small), lambda content, threads: litert_answer_of(content, threads=threads), as_is),
            litert_peer(made, image),
        ),
        onnx_name(): (
            Side(onnx.to_bytes(small), lambda content, threads: onnx_answer_of(content, threads=threads), as_is),
            Side(theirs(net, image, calibration)[1].content, session, lambda some: planes(normalized(some, image))),
        ),
    }
    exact = torch_answers(net, image, judged).argmax(1)
    for runtime, (own, other) in pairs.items():
        scores = shares((own, other), judged, truth, exact)
        for threads in THREADS:
            timed = ratio(own, other, judged[:1], threads)
            sizes = f"{len(own.content):,}, {len(other.content):,}"
            print(f"| {path.name} | {runtime} | {threads} | {timed} | {sizes} | {scores} |", flush=True)
    for whose, side in zip(("ours", "peer's"), next(iter(pairs.values())), strict=True):
        print(f"  LiteRT, {whose}: {operators(side.content)}")


def as_is(images: Images) -> Images:
    return images


def operators(content: bytes) -> str:
    """Say what the runtime makes of a LiteRT file, and of which operators it consists."""
    found = parts(content)
    kinds = Counter(entry["op_name"] for entry in opened(content, 1)._get_ops_details())
    del kinds["DELEGATE"]
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{found.delegated} parts of XNNPACK, others: {', '.join(found.others) or 'none'}; {listed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("../shared/weights"))
    parser.add_argument("--images", type=Path, default=Path("../shared/data/imagenet-sample"))
    parser.add_argument("--files", nargs="+", default=FILES)
    parser.add_argument("--peer-python", type=Path, required=True, help="the Python of a venv that has litert-torch")
    parser.add_argument("--cache", type=Path, default=Path("runs/benchmarks"), help="keeps what litert-torch made")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    images = sorted(options.images.glob("*.jpg"))
    if not images:
        raise SystemExit(f"{options.images} holds no .jpg; give the images with --images")
    print(f"{machine()}; {len(images)} images")
    print("| net | runtime | threads | ratio | ours / peer | bytes | top-1: ours, peer | as float: ours, peer |")
    print("|---|---|---|---|---|---|---|---|")
    for file in options.files:
        compare(options.weights / file, images, peer=options.peer_python, cache=options.cache)


if __name__ == "__main__":
    main()
