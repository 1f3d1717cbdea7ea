"""The groups of options that several verbs share, and what one training is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pocketvision.settings.option import Settings, option
from pocketvision.values import Amount, CropMode

_BUDGET, _DATA, _TRAIN, _RUN = "Budget", "Data", "Training", "Run"
DATA = (
    "A folder of class folders, or of train/val/test folders of them; a CSV or JSONL manifest; hf://name; or `digits`. "
    "Boxes as Pascal VOC, COCO, YOLO, CSV or Create ML; 0/1 attributes need a table."
)
SOURCE = "Folder of a run, or a file: .tflite, .onnx (ours), .safetensors, .pth, .h5."
PIXELS = ("--resolution", "--img-size", "--imgsz")


@dataclass(frozen=True, kw_only=True)
class CountedBudget(Settings):
    """Limits that a net's graph alone decides."""

    max_size: Amount = option(None, "Largest file, such as 500KB or 1.5MiB.", group=_BUDGET, shell=str)
    max_macs: Amount = option(None, "Most multiply-adds, such as 50M.", group=_BUDGET, shell=str)
    max_memory: Amount = option(None, "Largest peak of activation memory, such as 4MB.", group=_BUDGET, shell=str)
    max_params: Amount = option(None, "Most parameters, such as 1M.", group=_BUDGET, shell=str)
    min_accuracy: Amount = option(
        None,
        "Least accuracy, such as 0.9; of detectors AP50, of attributes their mean average precision.",
        group=_BUDGET,
        shell=str,
        flags=("--min-accuracy", "--min-map"),
    )


@dataclass(frozen=True, kw_only=True)
class BudgetConfig(CountedBudget):
    """The budget: what a delivered file must keep."""

    max_download: Amount = option(
        None,
        "Largest file as it is sent, such as 400KB after deflate; or 300KB:brotli, 300KB:zstd.",
        group=_BUDGET,
        shell=str,
    )
    max_latency: Amount = option(
        None,
        "Longest median time for one image, such as 10ms; 10ms@pixel7.json for the device of a profile.",
        group=_BUDGET,
        shell=str,
    )


@dataclass(frozen=True, kw_only=True)
class LatencyConfig(Settings):
    """What a time is of."""

    runtime: Literal["onnx", "litert"] = option("onnx", "Runtime that nets are timed in.")
    precision: Literal["float", "int8"] = option("float", "Of weights and maps, where nets are timed.")
    threads: int = option(1, "Threads that the runtime may use.")


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """How a data set is split."""

    val: float = option(0.15, "Share of images to choose and stop by.", group=_DATA)
    test: float = option(0.15, "Share of images to judge the result by.", group=_DATA)
    seed: int = option(42, "Seed of the split and of training.", group=_DATA)


@dataclass(frozen=True, kw_only=True)
class SizeConfig(Settings):
    """The two dials of a net (MobileNets, 2017)."""

    width: float | None = option(None, "Width multiplier of the net.", flags=("--width", "--alpha"))
    resolution: int | None = option(None, "Side of the net's input in pixels.", flags=PIXELS)


@dataclass(frozen=True, kw_only=True)
class NetConfig(SizeConfig):
    """The dials, and where a net is cut short, which lets it keep the weights it begins with as they are."""

    depth: int | None = option(None, "Layers that are kept of the net; by default all.")


@dataclass(frozen=True, kw_only=True)
class CropConfig(Settings):
    """What becomes of an image that is no square."""

    crop_mode: CropMode = option("squash", "Squash the whole image to a square, or crop its center.", group=_DATA)


@dataclass(frozen=True, kw_only=True)
class DeviceConfig(Settings):
    """Where nets run in PyTorch."""

    device: str = option("auto", "auto, cpu, cuda or mps.", group=_TRAIN)


@dataclass(frozen=True, kw_only=True)
class FetchConfig(Settings):
    """Whether weights may come from a network."""

    offline: bool = option(False, "Fetch no weights from a network.", flags=("--offline",))


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DeviceConfig, CropConfig, DataConfig, FetchConfig, NetConfig):
    """One training, whole: the net, where it starts, the data's split, the schedule; JSON can hold it."""

    model: str | None = option(None, "A net's name, such as mobilenet_v2 or mobilenetv2_050.")
    weights: Sequence[str | Path] | str | Path | None = option(
        None,
        "Weights file or a net's name to start from; repeat it, and `fit` chooses. `none` starts from scratch.",
        shell=list[str],
    )
    epochs: int | None = option(None, "Epochs over the training images.", group=_TRAIN)
    batch_size: int | str = option(
        "auto", "Images a step: a number, or auto.", group=_TRAIN, flags=("--batch-size", "-b"), shell=str
    )
    lr: float | None = option(None, "Highest learning rate.", group=_TRAIN)
    optimizer: str = option("auto", "auto, adamw or sgd.", group=_TRAIN, flags=("--optimizer", "--opt"))
    patience: int | None = option(None, "Epochs without a better result before stopping.", group=_TRAIN)
    flip: bool | None = option(None, "Mirror training images; on where it cannot matter.", group=_TRAIN)
    balance: str = option(
        "auto", "How rare classes count as much as common ones: auto, none, weights or sampler.", group=_TRAIN
    )
    fine_tune: str = option(
        "auto",
        "What learns from given weights: upper (layers, from feature maps made once), all, or auto.",
        group=_TRAIN,
    )
    time_limit: str | None = option(None, "Longest time for all of it, such as 10m; epochs are fitted.", group=_TRAIN)
    precision: str = option("auto", "auto, fp32, bf16 or fp16; auto is fp32 but on CUDA.", group=_TRAIN)
    log: str = option("csv", "csv, tensorboard, wandb, mlflow, with commas; results.csv always.", group=_TRAIN)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """Where a run lies, and whether it goes on."""

    output: str | Path = option("runs", "Folder for runs.", group=_RUN, shell=Path)
    name: str | None = option(None, "Name of the run; by default the data's.", group=_RUN)
    resume: bool = option(False, "Go on with an interrupted run.", group=_RUN, flags=("--resume",))
    exist_ok: bool = option(False, "Start anew where a run exists.", group=_RUN, flags=("--exist-ok",))
