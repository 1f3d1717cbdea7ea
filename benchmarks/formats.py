"""Every format at every precision, on published nets and real images: the tables of docs/measurements/formats.md.

    python benchmarks/formats.py                       prints them
    python benchmarks/formats.py --write               and puts them into docs/measurements/formats.md
    python benchmarks/formats.py --nets tf2 --count 50

Needs the `tflite` and `dev` extras; a format whose package is absent is named with what installs it. Every fifth
image calibrates int8, of the others `--count` judge. An image's file name begins with its ImageNet class. Each is
decoded once and kept as the net takes it, without loss. Files are written as `export` writes them, with labels 0 to 999
and three probes, and judged as `verify` judges them: the answers are held against the float net in PyTorch, the clock
runs on one thread in turns with the reference net, and a process of its own opens the file. Core ML programs are read
by numpy here, so they have answers on a few images and no times; a C array holds the integers of the LiteRT file and
is weighed only.
"""

import argparse
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import logsumexp

from pocketvision.clock import Clock
from pocketvision.compress.compress import compress
from pocketvision.compress.half import halved
from pocketvision.compress.palette import palettized
from pocketvision.errors import MissingExtra, PocketvisionError
from pocketvision.export import FORMATS, SUFFIXES
from pocketvision.export.manifest import PROBES
from pocketvision.export.write import refusal, write_trained
from pocketvision.files import write_text
from pocketvision.graph.graph import Graph
from pocketvision.graph.storage import STORAGES, Palette
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.latency.measure import machine
from pocketvision.metrics.accuracy import accuracy
from pocketvision.models import build_spec
from pocketvision.runs import ExportFolder
from pocketvision.runtime import RUNTIMES
from pocketvision.runtime import open as open_model
from pocketvision.tasks import spec_for
from pocketvision.train.device import device_for
from pocketvision.train.evaluate import logits
from pocketvision.values import Agreement, Dataset, Example, Latency, Precision, Score, Split, Trained
from pocketvision.verify.agreement import compare, read_trained
from pocketvision.verify.inference import ask
from pocketvision.verify.loading import Loading, loading
from pocketvision.verify.tolerances import tolerance
from pocketvision.verify.verify import prove
from pocketvision.weights import load_into, read

NETS = {
    "FD-MobileNet 0.5x": "0.5x-FDMobileNet-224.pth.tar",
    "MobileNet V1 0.25": "mobilenet_v1_0.25_128_quant.tflite",
    "MobileNet V1 0.5": "mobilenet_v1_0.5_160_quant.tflite",
    "MobileNet V1 0.75": "mobilenet_v1_0.75_192_quant.tflite",
    "MobileNet V2 1.0": "tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "SqueezeNet 1.0": "compressed_SqueezeNet.net",
}
PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "formats.md"
BEGIN, END = "<!-- what follows is written by benchmarks/formats.py -->", "<!-- and ends here -->"
READ_BY_NUMPY = ".mlpackage"
FEW = 20
"""Images that numpy answers, some ten a second at best."""
HEAD = (
    "| format | precision | bytes | same answer | largest gap | top-1, 95% interval | median | p90 | ratio | open "
    "| memory |\n|---|---|---|---|---|---|---|---|---|---|---|"
)
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Found:
    """What became of one file."""

    size_bytes: int
    agreement: Agreement | None = None
    accuracy: Score | None = None
    latency: Latency | None = None
    loading: Loading | None = None
    failures: tuple[str, ...] = ()


class Case:
    """A published net, its images in a folder as the net takes them, and what it answers in PyTorch."""

    def __init__(self, name: str, path: Path, calibrating: list[Path], judging: list[Path], folder: Path) -> None:
        weights = read(path)
        spec = weights.spec
        self.name, self.folder = f"{name} @ {spec.resolution}", folder
        net = build_spec(spec)
        load_into(net, weights, keep_head=True)
        self.calibration, judged = (
            np.stack([load(image, weights.image) for image in images]) for images in (calibrating, judging)
        )
        labels = [int(image.name[:3]) + spec.num_classes - 1000 for image in judging]
        self.data = stored(self.calibration[:PROBES], judged, labels, folder / "images", spec.num_classes)
        # The images are prepared already: what is left of the rule is the normalization.
        self.image = replace(weights.image, crop_mode="squash", crop_pct=1.0)
        self.graph = trace(net.eval(), self.image)
        found = logits(net, judged, self.image, device_for("cpu")).astype(np.float64)
        self.answers = np.exp(found - logsumexp(found, axis=1, keepdims=True))
        self.top1 = accuracy(self.answers, np.array(labels))
        self.trained = Trained(spec, self.image, path.name, 0, self.top1, 1.0, "", {})

    @cached_property
    def outputs(self) -> Path:
        """Store what the float net says of the judging images, for `verify`."""
        path = ExportFolder(self.folder).trained_outputs
        files = [example.file for example in self.data.of("test")]
        np.savez(path, files=np.array(files), probabilities=self.answers)
        return path

    def graph_in(self, precision: Precision) -> Graph:
        """Return the net's graph in a precision."""
        if precision == "int8":
            return compress(self.graph, self.calibration).graph
        if isinstance(stored := STORAGES[precision], Palette):
            return palettized(self.graph, stored)
        return halved(self.graph) if precision == "float16" else self.graph


def stored(probes: Images, judged: Images, labels: list[int], folder: Path, classes: int) -> Dataset:
    """Write prepared images without loss and without effort; the split `val` is for probes."""
    folder.mkdir(parents=True)
    rows: list[tuple[Split, int, Images]] = [("val", 0, image) for image in probes]
    rows += [("test", label, image) for label, image in zip(labels, judged, strict=True)]
    examples = []
    for number, (split, label, image) in enumerate(rows):
        path = folder / f"{number:04d}.bmp"
        Image.fromarray(image).save(path)
        examples.append(Example(path.name, label, split, hashlib.sha256(path.read_bytes()).hexdigest()))
    return Dataset(str(folder), tuple(str(number) for number in range(classes)), tuple(examples))


def judge(case: Case, path: Path, size: int, precision: Precision) -> Found:
    """Judge a written file, as far as its format can be run here."""
    if path.suffix not in RUNTIMES:
        return Found(size)
    if path.suffix == READ_BY_NUMPY:
        return judge_by_numpy(case, path, size, precision)
    # Time is up at once for the resizers, which say nothing of images that are prepared already.
    proof = prove(path, case.data, split="test", trained=case.outputs, clock=Clock(0))
    return Found(size, proof.agreement, proof.accuracy, proof.latency, loading(path), proof.failures)


def judge_by_numpy(case: Case, path: Path, size: int, precision: Precision) -> Found:
    """Ask a file about few images; its runtime is not here, so nothing is timed."""
    examples = case.data.of("test")
    chosen = examples[:: max(1, len(examples) // FEW)][:FEW]
    answers = ask(open_model(path), Path(case.data.root), chosen)
    compared = compare(read_trained(case.outputs), answers, tie=tolerance(precision).tie)
    agreement = compared.agreement if compared else None
    assert agreement is None or isinstance(agreement, Agreement)
    return Found(size, agreement, accuracy(answers.probabilities, answers.truth))


def rows(case: Case, formats: tuple[str, ...], precisions: tuple[Precision, ...]) -> Iterator[str]:
    """Yield a table's lines, written and judged one after the other."""
    for precision in precisions:
        graph = case.graph_in(precision)
        for name in (each for each in formats if not refusal(each, precision)):
            path = case.folder / precision / "export" / f"model{SUFFIXES[name]}"
            try:
                written = write_trained(
                    graph,
                    case.trained,
                    case.data,
                    path,
                    precision=precision,
                    figures={},
                    decision=(spec_for(case.data), None),
                )
                yield line(name, precision, judge(case, path, written.size_bytes, precision), len(case.answers))
            except MissingExtra as error:
                yield f"| {name} | {precision} | not installed: {str(error).partition('Run: ')[2]} |" + " |" * 8
            except PocketvisionError as error:
                yield f"| {name} | {precision} | **{error}** |" + " |" * 8


def line(name: str, precision: Precision, found: Found, judging: int) -> str:
    """Return a table's line; what was not measured stays empty, and fewer images than `judging` are told."""
    agreed, share, latency, opened = found.agreement, found.accuracy, found.latency, found.loading
    fewer = f" of {share.count}" if share and share.count < judging else ""
    cells = [
        f"{found.size_bytes:,}",
        f"{agreed.same_answer:.1%}" if agreed else "",
        f"{agreed.largest_gap:.1g}" if agreed else "",
        f"{share.value:.1%}, {share.low:.1%} to {share.high:.1%}{fewer}" if share else "",
        f"{latency.median_ms:.2f} ms" if latency else "",
        f"{latency.p90_ms:.2f} ms" if latency else "",
        f"{latency.ratio:.2f}" if latency else "",
        f"{opened.load_ms:.0f} ms" if opened else "",
        f"{opened.peak_bytes / 1e6:.0f} MB" if opened else "",
    ]
    wrong = "".join(f" **{failure}**" for failure in found.failures)
    return f"| {name} | {precision} | {' | '.join(cells)}{wrong} |"


def put(text: str) -> None:
    """Put the tables between the marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{PAGE} has lost its mark: {BEGIN}"
    assert end, f"{PAGE} has lost its mark: {END}"
    write_text(PAGE, f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("../shared/weights"))
    parser.add_argument("--images", type=Path, default=Path("../shared/data/imagenet-sample"))
    parser.add_argument("--count", type=int, default=400, help="how many judge at most")
    parser.add_argument("--nets", default="", help="take those with this in their name or their file's")
    parser.add_argument("--formats", nargs="+", choices=sorted(FORMATS), default=sorted(FORMATS))
    parser.add_argument("--precisions", nargs="+", choices=get_args(Precision), default=get_args(Precision))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/measurements/formats.md")
    options = parser.parse_args()
    chosen = {name: file for name, file in NETS.items() if options.nets.lower() in f"{name} {file}".lower()}
    if not chosen:
        parser.error(f"--nets {options.nets} names none of {', '.join(NETS)}")
    whole = chosen == NETS and {*options.formats} == {*FORMATS} and {*options.precisions} == {*get_args(Precision)}
    if options.write and not whole:
        parser.error("--write is for whole tables: leave out --nets, --formats and --precisions")
    images = sorted(options.images.glob("*.jpg"))
    if not images:
        raise SystemExit(f"{options.images} holds no .jpg; give the images with --images")
    judging = spread([image for place, image in enumerate(images) if place % 5], options.count)
    parts = [f"{machine()}; {len(images[::5])} images calibrate, {len(judging)} others judge."]
    print(parts[0], flush=True)
    for name, file in chosen.items():
        with tempfile.TemporaryDirectory() as folder:
            os.environ["POCKETVISION_CACHE"] = str(Path(folder, "cache"))
            case = Case(name, options.weights / file, images[::5], judging, Path(folder))
            lines = [f"\n### {case.name}\n\nIn PyTorch: {case.top1}.\n\n{HEAD}"]
            print(lines[0], flush=True)
            for row in rows(case, tuple(options.formats), tuple(options.precisions)):
                print(row, flush=True)
                lines.append(row)
            parts += lines
    if options.write:
        put("\n".join(parts))


def spread(images: list[Path], count: int) -> list[Path]:
    """Return so many of the images at most, evenly spread."""
    places = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [images[place] for place in places]


if __name__ == "__main__":
    main()
