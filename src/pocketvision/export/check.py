"""A file just written, opened and held against the numpy reference: it answers alike, and by fast kernels."""

import base64
from importlib import import_module
from pathlib import Path

import numpy as np

from pocketvision.errors import MissingExtra, VerificationFailed
from pocketvision.graph.fixed import XNNPACK, probabilities
from pocketvision.graph.graph import Graph, Suppress
from pocketvision.graph.integer import ONNXRUNTIME
from pocketvision.graph.lower import with_real_weights
from pocketvision.graph.run import Images, run, tensors
from pocketvision.images.prepare import load
from pocketvision.runtime import RUNTIMES, Probabilities, computes_in_half
from pocketvision.runtime import open as open_model
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_of
from pocketvision.values import Io, Manifest

IMAGES = 2
"""Of noise: no weight and no border stays unseen, and the reference takes a second for the largest nets."""
LARGEST_GAP = {True: 0.1, False: 1e-3}
"""Of a probability, in int8 and in float: runtimes round an output step or two apart, wrong weights are far off."""
NARROW_GAP = 0.05
"""Where activations are float16."""
_ROUNDINGS = {".onnx": ONNXRUNTIME, ".pte": XNNPACK, ".tflite": XNNPACK}
_WHOLE_ENDS = ("LOGISTIC", "QUANTIZE", "SOFTMAX")
"""What the runtime's own kernels do where image and answer are whole numbers."""
_BOX_END = ("TFLite_Detection_PostProcess", "CAST", "GATHER")
"""What suppresses boxes, and counts their classes; XNNPACK has no kernels for it."""
_FLOAT_LAYERS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul")


def check(path: Path, graph: Graph) -> str:
    """Return a sentence on a written file; raises VerificationFailed where it does not answer as its graph does.

    Without the file's runtime the sentence says that it was not checked, and what to install.
    """
    if path.suffix not in RUNTIMES:
        return f"not checked: {path.suffix} files are not run here"
    try:
        runner = open_model(path)
    except MissingExtra as error:
        return f"not checked: {error}"
    images = _images(graph, runner.manifest)
    answers, expected = runner.run(images), _expected(path, graph, images, runner.manifest.io)
    gap = _gap(answers, expected, runner.manifest)
    if not gap <= (NARROW_GAP if computes_in_half(path) else LARGEST_GAP[graph.quant is not None]):
        raise VerificationFailed(
            f"{path.name} answers otherwise than its graph: a probability is off by {gap:.2g} in {runner.name}. "
            "Please report this with the name of the net"
        )
    compared = "" if answers.ndim == 2 else f" on {int((expected[..., 5] > 0).sum())} boxes"
    speed = _speed(path, graph, runner.manifest.io)
    return f"{runner.name} answers as the reference does{compared}, within {gap:.1g}; {speed}"


def _images(graph: Graph, manifest: Manifest) -> Images:
    """Return images of noise, and for a detector, which may see nothing in noise, those of its probes too."""
    size, channels = graph.input.resolution, len(graph.input.mean)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, channels), np.uint8)
    if manifest.model.detector is None or not manifest.probes:
        return images
    shown = [load(base64.b64decode(probe.png_base64), manifest.image) for probe in manifest.probes]
    return np.concatenate([images, np.stack(shown)])


def _gap(answers: Probabilities, expected: Probabilities, manifest: Manifest) -> float:
    """Return the largest difference of a probability, or of a box's score."""
    if answers.ndim == 2:
        return float(np.abs(answers - expected).max())
    return float(load_task(spec_of(manifest).name).gaps(answers, expected).max())


def _expected(path: Path, graph: Graph, images: Images, io: Io) -> Probabilities:
    if io != "mixed":
        assert graph.quant is not None
        (levels,) = (found for name, found in tensors(graph, images, rounding=XNNPACK) if name == graph.logits)
        return probabilities(graph.nodes[-1], levels, graph.quant[graph.logits])
    if computes_in_half(path):
        return run(with_real_weights(graph), images)
    return run(graph, images, rounding=_ROUNDINGS.get(path.suffix, ONNXRUNTIME))


def _speed(path: Path, graph: Graph, io: Io) -> str:
    if path.suffix == ".mlpackage" and isinstance(graph.nodes[-1], Suppress):
        return "the suppression behind it, Core ML's own, was not run"
    if path.suffix not in _ROUNDINGS:
        return "its kernels were not looked at"
    content = path.read_bytes()
    if path.suffix in (".pte", ".tflite"):
        return _delegated(path.suffix, content, _BOX_END if io == "mixed" else _WHOLE_ENDS)
    if graph.quant is None:
        return "float kernels"
    from pocketvision.export.onnx import kernels
    from pocketvision.runtime.onnx import optimized

    counts = kernels(optimized(content))
    slow = [f"{counts[name]} {name}" for name in _FLOAT_LAYERS if counts[name]]
    return f"{', '.join(slow)} run in float" if slow else "every layer with weights runs in integers"


def _delegated(suffix: str, content: bytes, usual: tuple[str, ...]) -> str:
    """Say how XNNPACK divides a net: in one part it runs at its speed."""
    module = "pocketvision.runtime.litert" if suffix == ".tflite" else "pocketvision.export.executorch"
    found = import_module(module).parts(content)
    slow = [name for name in found.others if name not in usual]
    if found.delegated == 1 and not slow:
        return "all of the net is one part of XNNPACK"
    return f"{found.delegated} parts of XNNPACK, with {', '.join(slow) or 'nothing'} left to slower kernels"
