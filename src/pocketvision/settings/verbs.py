"""The options of each verb, as one record each, whose docstring is the help of the command."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal

from pocketvision.settings.groups import (
    DATA,
    PIXELS,
    SOURCE,
    BudgetConfig,
    CountedBudget,
    CropConfig,
    DataConfig,
    DeviceConfig,
    FetchConfig,
    LatencyConfig,
    NetConfig,
    RunConfig,
    SizeConfig,
    TrainConfig,
)
from pocketvision.settings.option import Settings, argument, option
from pocketvision.values import Amount, BoxEnds, Dataset, Io, Precision, Split

_FORMATS = "onnx, litert, coreml, executorch, openvino, c; several with commas."
_LABELS = "Text with one label a line, for a FILE that holds none."
_FOLDER = "Folder for the file; by default the run's export, or FILE-export."
_ABSTAIN = "Top probability below which the file says 'not sure': auto, off, or such as 0.6."
_NET = "A net's name, such as mobilenet_v2 or mobilenet_v1_0.25_128."


@dataclass(frozen=True)
class FitOptions(RunConfig, TrainConfig, BudgetConfig):
    """Do all of it: check, split, choose, train, compress, export, verify, report."""

    data: str | Path = field(metadata=argument(DATA, metavar="DATA", shell=str))
    _: KW_ONLY
    teacher: str | None = option(None, "Run of a larger trained net to distill from as well; several with commas.")
    max_drop: float = option(1.0, "Points of accuracy that int8 may cost if not forced.")
    abstain: str = option("auto", _ABSTAIN)
    pack: bool = option(
        False, "Choose int8 weights that pack into few bytes; --max-download does so too.", flags=("--pack",)
    )
    format: str = option("onnx", _FORMATS)


@dataclass(frozen=True)
class PlanOptions(TrainConfig, BudgetConfig):
    """Tell what `fit` would train and what each limit costs, in under a minute; nothing is trained."""

    data: str | Path = field(metadata=argument(DATA, metavar="DATA", shell=str))


@dataclass(frozen=True)
class TrainOptions(RunConfig, TrainConfig):
    """Train one net of your choice; `export` makes a file of it."""

    data: str | Path = field(metadata=argument(DATA, metavar="DATA", shell=str))


@dataclass(frozen=True, kw_only=True)
class DistillConfig(Settings):
    """How a teacher's answers are weighed; docs/guide/distillation.md says what each does."""

    temperature: float = option(2.0, "Softens the teacher's and the student's answers.", group="Distillation")
    alpha: float = option(0.9, "Share of the teacher's answers in the loss.", group="Distillation")
    features: float = option(1.0, "Weight of the teacher's features in the loss.", group="Distillation")
    views: int = option(8, "Random views of each image that the teacher answers.", group="Distillation")


@dataclass(frozen=True)
class DistillOptions(RunConfig, TrainConfig, DistillConfig):
    """Train a small student on the answers of larger trained teachers."""

    run: str | Path = field(
        metadata=argument("Run folder of the trained larger net; of several, with commas.", metavar="RUN", shell=str)
    )
    data: str | Path = field(metadata=argument(DATA, metavar="DATA", shell=str))
    _: KW_ONLY
    # Of its spellings, `--alpha` means the weight of the teacher's answers here.
    width: float | None = option(None, "Width multiplier of the net.")


@dataclass(frozen=True)
class CheckOptions(DataConfig):
    """Look at the images before training: what is there, broken, repeated or contradictory, and how it is split."""

    data: str | Path = field(metadata=argument(DATA, metavar="DATA", shell=str))
    _: KW_ONLY
    output: str | Path | None = option(
        None, "Folder that gets check.json and check.html, which shows the images.", shell=Path
    )
    fix: str | Path | None = option(
        None, "CSV file in the data's folder or above that gets a cleaned table; no image is touched.", shell=Path
    )


@dataclass(frozen=True)
class ProbeOptions(BudgetConfig, DeviceConfig, CropConfig, DataConfig, FetchConfig):
    """Compare published nets on your images, with frozen weights: which one to start from, and by how much."""

    data: str | Path = field(metadata=argument(DATA, metavar="DATA", shell=str))
    _: KW_ONLY
    weights: Sequence[str | Path] | None = option(
        None, "Weights file or a net's name; repeat it. By default all files on this machine.", shell=list[str]
    )
    resolution: Sequence[int] | None = option(
        None, "Side of the input in pixels; repeat it. By default its own.", flags=PIXELS, shell=list[int]
    )
    head: Literal["logistic", "mean"] = option("logistic", "Logistic regression, or the nearest class mean.")
    balance: Literal["none", "weights"] = option("none", "`weights` lets every class count the same, however rare.")
    views: int = option(1, "Views of each training image: 1, or more with augmented ones.")


@dataclass(frozen=True)
class CompressOptions(Settings):
    """Show what makes the net of a run or a file smaller, and what that costs; `--to` makes a small download of it."""

    source: str | Path = field(metadata=argument(SOURCE, metavar="RUN|FILE", shell=Path))
    data: str | Path | None = field(
        default=None,
        metadata=argument(
            "Images to calibrate and judge on, for a FILE; where a RUN's own are now.", metavar="DATA", shell=str
        ),
    )
    _: KW_ONLY
    steps: str = option(
        "equalize,ranges,int8,bias",
        "With commas, out of slim=SHARE|MACS|TIME, equalize, prune=SHARE, magnitude=SHARE, share=BITS, ranges, int8, "
        "quantize=BITS, compensate, bias and recover.",
    )
    to: Amount = option(
        None, "Write the best file within a download such as 300KB after deflate, or 300KB:brotli.", shell=str
    )
    max_drop: float | None = option(None, "Write the smallest download that loses at most so many points.")
    recover: str = option(
        "auto", "How long a net that lost answers may learn from the float net: auto, off, or a time such as 3m."
    )
    format: str = option("onnx", f"Of the file: {_FORMATS} Or net: shared weights as Deep Compression stores them.")
    output: str | Path | None = option(None, f"Writes the net. {_FOLDER}", shell=Path)
    name: str | None = option(None, "Name of the file without suffix; by default small.")
    labels: str | Path | None = option(None, _LABELS, shell=Path)


@dataclass(frozen=True)
class ExportOptions(Settings):
    """Write the net of a run or a file as a file that holds all it needs: labels, image rule, probes."""

    source: str | Path = field(metadata=argument(SOURCE, metavar="RUN|FILE", shell=Path))
    data: str | Path | None = field(
        default=None,
        metadata=argument(
            "Images to calibrate int8 on, for a float FILE; where a RUN's own are now.", metavar="DATA", shell=str
        ),
    )
    _: KW_ONLY
    format: str = option("onnx", _FORMATS)
    precision: Precision | None = option(
        None,
        "float, float16, int8, and for coreml palette8, palette6, palette4, palette2; by default float, or a "
        "quantized FILE's own int8.",
    )
    delivered: bool = option(
        False, "Write the very numbers of the RUN's delivered file, such as weights that `fit` chose by their bytes."
    )
    io: Io = option(
        "mixed", "Types of input and output of int8 LiteRT and C files: mixed (uint8 in, float32 out), uint8 or int8."
    )
    ends: BoxEnds = option(
        "boxes", "What a detector's LiteRT and ONNX files give: boxes, or raw, what is said of every anchor."
    )
    abstain: str = option("auto", _ABSTAIN)
    labels: str | Path | None = option(None, _LABELS, shell=Path)
    output: str | Path | None = option(None, _FOLDER, shell=Path)
    name: str | None = option(None, "Name of the file without suffix; by default model.")


@dataclass(frozen=True)
class VerifyOptions(BudgetConfig):
    """Prove files on real images, from their bytes to label names, against a budget and against each other."""

    data: str | Path | Dataset | None = field(
        default=None,
        metadata=argument("Images to judge by; without them, files answer to their own probes.", shell=str),
    )
    _: KW_ONLY
    split: Split | None = option(
        None, "Judge by this split of the run; by default by all given that it neither trained nor chose on."
    )
    trained: str | Path | None = option(
        None, "The trained net's outputs (.npz); by default those beside the file.", shell=Path
    )
    time_limit: str | None = option(None, "Such as 20s: fewer images are asked again under other resizers.")
    output: str | Path | None = option(None, "Folder that gets verify.json.", shell=Path)


@dataclass(frozen=True)
class BenchOptions(SizeConfig):
    """Time files or nets on this machine, side by side with a reference net; show what phones measured."""

    files: Sequence[str | Path] | str | Path = field(
        metadata=argument(
            "Delivered files, or nets by name, which get fresh weights: mobilenetv2_050.",
            metavar="FILE|NAME...",
            shell=list[str],
        )
    )
    _: KW_ONLY
    measured: Sequence[str | Path] | None = option(
        None, "Measurement that the demo's page saved on a phone; may be given often.", shell=list[Path]
    )
    threads: Sequence[int] | int | None = option(
        None, "Threads of the runtime; repeat it. By default 1.", shell=list[int]
    )
    batch: Sequence[int] | int | None = option(
        None, "Images a call; repeat it. By default 1.", flags=("--batch",), shell=list[int]
    )
    runtime: Sequence[str] | str | None = option(
        None,
        "onnx, litert, openvino, executorch, or all that are installed; repeat it. By default a file's own, and onnx "
        "for names.",
        shell=list[str],
    )
    precision: Literal["float", "int8"] = option("float", "Of nets by name.")


@dataclass(frozen=True)
class PredictOptions(Settings):
    """Answer images: their class, their attributes, or the things in them."""

    file: str | Path = field(metadata=argument("A delivered file.", shell=Path))
    images: Sequence[str | Path] | str | Path = field(
        metadata=argument("Images, or folders of them.", metavar="IMAGE...", shell=list[Path])
    )
    _: KW_ONLY
    top: int = option(5, "How many labels to name.", flags=("--top", "--topk"))
    draw: str | Path | None = option(
        None, "Folder for the images with the boxes drawn that a detector found.", metavar="FOLDER", shell=Path
    )


@dataclass(frozen=True)
class ReportOptions(Settings):
    """Write the page and the model card of a finished run again."""

    run: str | Path = field(metadata=argument("Folder of a finished run of `fit`.", shell=Path))
    _: KW_ONLY
    output: str | Path | None = option(None, "Folder for the page; by default the run's.", shell=Path)


@dataclass(frozen=True)
class DemoOptions(Settings):
    """Write a page that classifies images on a phone, and serve it until Ctrl-C."""

    source: str | Path = field(
        metadata=argument(
            "Folder of a run, a delivered file, or a folder of calibration nets to be timed on a phone.",
            metavar="RUN|FILE|NETS",
            shell=Path,
        )
    )
    _: KW_ONLY
    output: str | Path | None = option(None, "Folder to write; by default `demo` beside the file.", shell=Path)
    serve: bool = option(True, "Serve the folder, or only write it.")
    lan: bool = option(False, "Serve to the local network, with a QR code for phones.", flags=("--lan",))
    port: int = option(8000, "Port to serve at; 0 takes a free one.")
    cert: str | None = option(
        None, "PEM file with certificate and key, or `self-signed`: for the live camera on a phone."
    )


@dataclass(frozen=True)
class ModelsOptions(CountedBudget):
    """Compare the nets: cost, memory, published accuracy, where weights are; under limits, or one in detail."""

    name: str | None = field(default=None, metadata=argument("Only this net, with its layers and its block."))
    _: KW_ONLY
    every: bool = option(False, "Every width and resolution.", flags=("--every", "--all"))
    sort: Literal["top1", "params", "macs", "size", "memory", "year", "name"] | None = option(None, "Best first.")
    plot: Path | None = option(None, "Draw accuracy against multiply-adds: .html, .svg or .png.")


@dataclass(frozen=True)
class CostOptions(NetConfig):
    """Count a net: parameters, multiply-adds, bytes, peak activation memory."""

    name: str = field(metadata=argument(_NET))
    _: KW_ONLY
    num_classes: int | None = option(
        None, "Outputs of the classifier, else 1000; of a detector columns an anchor, else the papers' with background."
    )
    groups: int | None = option(None, "Of ShuffleNet's pointwise convolutions.")
    in_channels: int = option(3, "Channels of the image.")


@dataclass(frozen=True)
class ReproduceOptions(Settings):
    """Reproduce a paper's tables: published and computed figures side by side, with a verdict on each."""

    name: str = field(metadata=argument("A net's name, such as mobilenet_v1."))
    _: KW_ONLY
    table: str | None = option(
        None,
        "A table of its paper, such as 2, or of a release, such as slim; else all. SqueezeNet has compression.",
    )


_SOURCE = "A provider's or a file's name, where the preferred one is not wanted."


@dataclass(frozen=True)
class WeightsListOptions(Settings):
    """List the published weights that are known, the preferred file of a net first."""

    name: str | None = field(default=None, metadata=argument("Only this net, such as mobilenet_v2.", metavar="NAME"))
    _: KW_ONLY
    here: bool = option(False, "Only what is on this machine.", flags=("--here",))


@dataclass(frozen=True)
class WeightsGetOptions(SizeConfig):
    """Fetch published weights into the cache; goes on where a download was cut off."""

    name: str = field(metadata=argument(_NET))
    _: KW_ONLY
    source: str | None = option(None, _SOURCE)


@dataclass(frozen=True)
class WeightsAddOptions(Settings):
    """Copy a weights file into the cache after reading it."""

    file: str | Path = field(metadata=argument("A weights file on this machine.", metavar="FILE", shell=Path))
    _: KW_ONLY
    name: str | None = option(None, "Its name in the cache; by default the one it has.")


@dataclass(frozen=True)
class WeightsWhereOptions(SizeConfig):
    """Say where weights are looked for, and which file a name stands for."""

    name: str | None = field(default=None, metadata=argument("A net's name: which file would it use?"))
    _: KW_ONLY
    source: str | None = option(None, _SOURCE)


@dataclass(frozen=True)
class LatencyCalibrateOptions(LatencyConfig):
    """Time generated nets on this machine, so that the time of any other net can be predicted."""

    _: KW_ONLY
    time: str = option("3m", "How long to time nets; fitting takes a minute more.")
    seed: int = option(42, "Seed of the nets that are drawn.")
    output: str | Path | None = option(
        None, "Profile to write, a .json file; by default the one that predictions on this machine use.", shell=Path
    )
    emit: str | Path | None = option(
        None, "Folder for the nets as files, to be timed on another device; nothing is timed here.", shell=Path
    )
    nets: int = option(60, "How many nets to emit.")


@dataclass(frozen=True)
class LatencyFitOptions(Settings):
    """Make a profile of another device from times that were measured there."""

    times: str | Path = field(metadata=argument("The nets.json of an emitted folder, with times.", shell=Path))
    _: KW_ONLY
    measured: str | Path | None = option(
        None, "The file that the phone page saved, or what LiteRT's benchmark_model printed.", shell=Path
    )
    output: str | Path | None = option(None, "File to write; by default profile.json beside the list.", shell=Path)


@dataclass(frozen=True)
class LatencyPredictOptions(LatencyConfig, SizeConfig):
    """Predict the time of nets and files for one image, without running them."""

    nets: Sequence[str | Path] | str | Path = field(
        metadata=argument("Nets' names, and .onnx or .tflite files.", metavar="NAME|FILE...", shell=list[str])
    )
    _: KW_ONLY
    profile: str | Path | None = option(
        None, "Profile that `latency calibrate` wrote; by default this machine's.", shell=Path
    )
    num_classes: int = option(1000, "Outputs of the nets that are named.")
    measure: bool = option(False, "Time them here too, a second each, beside what is predicted.")
