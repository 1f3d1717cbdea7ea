"""Options that several verbs share, so that they are named and explained once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

_BUDGET, _TRAIN, _DATA, _RUN = "Budget", "Training", "Data", "Run"

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of class folders, or of train/val/test folders of them; a CSV or JSONL manifest; hf://name; "
        "or `digits`. `check` also reads 0/1 attributes, COCO and Pascal VOC.",
    ),
]
MaxSize = Annotated[str | None, typer.Option(help="Largest file, such as 500KB or 1.5MiB.", rich_help_panel=_BUDGET)]
MaxLatency = Annotated[
    str | None, typer.Option(help="Longest median time for one image, such as 10ms.", rich_help_panel=_BUDGET)
]
MaxMacs = Annotated[str | None, typer.Option(help="Most multiply-adds, such as 50M.", rich_help_panel=_BUDGET)]
MaxMemory = Annotated[
    str | None, typer.Option(help="Largest peak of activation memory, such as 4MB.", rich_help_panel=_BUDGET)
]
MaxParams = Annotated[str | None, typer.Option(help="Most parameters, such as 1M.", rich_help_panel=_BUDGET)]
MinAccuracy = Annotated[
    str | None, typer.Option(help="Least accuracy on the test images, such as 0.9.", rich_help_panel=_BUDGET)
]

Model = Annotated[str | None, typer.Option(help="A net's name, such as mobilenet_v2 or mobilenetv2_050.")]
Width = Annotated[float | None, typer.Option("--width", "--alpha", help="Width multiplier of the net.")]
Resolution = Annotated[
    int | None, typer.Option("--resolution", "--img-size", "--imgsz", help="Side of the net's input in pixels.")
]
Weights = Annotated[
    str | None,
    typer.Option(help="Weights file to start from: ours, PyTorch's, Keras', TFLite's; `none` starts from scratch."),
]
Epochs = Annotated[int | None, typer.Option(help="Epochs over the training images.", rich_help_panel=_TRAIN)]
BatchSize = Annotated[
    str, typer.Option("--batch-size", "-b", help="Images a step: a number, or auto.", rich_help_panel=_TRAIN)
]
Rate = Annotated[float | None, typer.Option("--lr", help="Highest learning rate.", rich_help_panel=_TRAIN)]
Optimizer = Annotated[str, typer.Option("--optimizer", "--opt", help="auto, adamw or sgd.", rich_help_panel=_TRAIN)]
Patience = Annotated[
    int | None, typer.Option(help="Epochs without a better result before stopping.", rich_help_panel=_TRAIN)
]
Flip = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Mirror training images; on where it cannot matter.", rich_help_panel=_TRAIN),
]
Balance = Annotated[
    str,
    typer.Option(
        help="How rare classes count as much as common ones: auto, none, weights or sampler.", rich_help_panel=_TRAIN
    ),
]
TimeLimit = Annotated[
    str | None, typer.Option(help="Longest time for all of it, such as 10m; epochs are fitted.", rich_help_panel=_TRAIN)
]
CropMode = Annotated[
    Literal["squash", "crop"],
    typer.Option(help="Squash the whole image to a square, or crop its center.", rich_help_panel=_DATA),
]
Abstain = Annotated[
    str,
    typer.Option(help="Top probability below which the file says 'not sure': auto, off, or such as 0.6."),
]
Val = Annotated[float, typer.Option(help="Share of images to choose and stop by.", rich_help_panel=_DATA)]
Test = Annotated[float, typer.Option(help="Share of images to judge the result by.", rich_help_panel=_DATA)]
Seed = Annotated[int, typer.Option(help="Seed of the split and of training.", rich_help_panel=_DATA)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel=_TRAIN)]
Precision = Annotated[
    str, typer.Option(help="auto, fp32, bf16 or fp16; auto is fp32 but on CUDA.", rich_help_panel=_TRAIN)
]
Log = Annotated[
    str,
    typer.Option(help="csv, tensorboard, wandb, mlflow, with commas; results.csv always.", rich_help_panel=_TRAIN),
]
Output = Annotated[Path, typer.Option(help="Folder for runs.", rich_help_panel=_RUN)]
Name = Annotated[str | None, typer.Option(help="Name of the run; by default the data's.", rich_help_panel=_RUN)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.", rich_help_panel=_RUN)]
ExistOk = Annotated[bool, typer.Option("--exist-ok", help="Start anew where a run exists.", rich_help_panel=_RUN)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout, and nothing else.")]

Source = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|FILE", help="Folder of a run, or a file: .tflite, .onnx (ours), .safetensors, .pth, .h5."
    ),
]
FileLabels = Annotated[
    Path | None, typer.Option("--labels", help="Text with one label a line, for a FILE that holds none.")
]
