"""The verb `train`: check, split and train one net of the user's choice; no choosing, no export."""

from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.errors import PocketvisionError
from pocketvision.models.catalogue import largest_useful_resolution, parse_name
from pocketvision.progress import Progress, Silent
from pocketvision.runs import finished, name_for, nothing_left_on, open_run, write_checksums
from pocketvision.train.clock import Clock, seconds
from pocketvision.train.device import engine_for
from pocketvision.train.job import TrainOptions, make_job, run_job
from pocketvision.train.logs import require_logs
from pocketvision.train.memory import require_memory
from pocketvision.train.start import fits, given_weights, load_data
from pocketvision.values import CropMode, ModelSpec, Trained
from pocketvision.values.ranges import check_ranges
from pocketvision.weights.load import Weights


@dataclass(frozen=True)
class TrainResult:
    """What `train` leaves."""

    run: str
    """Path of the run's folder."""
    weights: str
    """Path of the best weights."""
    trained: Trained
    """What training recorded."""


def train(  # noqa: PLR0913  each is an option of the command line
    data: str | Path,
    *,
    model: str | None = None,
    width: float | None = None,
    resolution: int | None = None,
    weights: str | Path | None = None,
    epochs: int | None = None,
    batch_size: int | str = "auto",
    lr: float | None = None,
    optimizer: str = "auto",
    patience: int | None = None,
    flip: bool | None = None,
    balance: str = "auto",
    time_limit: str | None = None,
    crop_mode: CropMode = "squash",
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 42,
    device: str = "auto",
    precision: str = "auto",
    log: str = "csv",
    output: str | Path = "runs",
    name: str | None = None,
    resume: bool = False,
    exist_ok: bool = False,
    progress: Progress = Silent(),
) -> TrainResult:
    """Train one net on a folder of images and keep its best weights.

    Without `model` the net is the one of `weights`, or MobileNet V2 1.0. `resolution` defaults to the smallest usual
    one that loses no detail of the images. With `weights` of a wider net of its family, the net is cut out of that.
    Test images are split off and not touched. `time_limit`, such as '10m', fits the epochs and their resolutions to
    this machine's speed. `batch_size` is a number, or 'auto' for what suits the number of images.
    """
    check_ranges(locals())
    clock = Clock(seconds(time_limit))
    settings = {key: value for key, value in locals().items() if key not in ("progress", "clock")}
    require_logs(log)
    engine = engine_for(device, precision)
    folder = engine.first(
        lambda: open_run(
            output,
            "train",
            name or name_for(data),
            settings=settings,
            resume=resume,
            exist_ok=exist_ok,
            named=name is not None,
        )
    )
    with nothing_left_on(PocketvisionError, run=folder), engine.first_ahead():
        start = given_weights(weights, progress)
        spec = wanted_spec(model, width, start)
        loaded = load_data(data, folder, val=val, test=test, seed=seed, progress=progress)
        spec = replace(
            spec,
            resolution=resolution or largest_useful_resolution(loaded.health.median_short_side),
            num_classes=len(loaded.dataset.labels),
        )
        require_memory(loaded, spec, device)
        job = make_job(folder, loaded, spec, start, options=TrainOptions.of(settings), progress=progress)
    trained = run_job(replace(job, clock=clock), progress=progress)
    if engine.place == 0 and not finished(folder):
        write_checksums(folder)
    return TrainResult(folder.as_posix(), (folder / "weights/best.safetensors").as_posix(), trained)


def wanted_spec(model: str | None, width: float | None, start: Weights | None) -> ModelSpec:
    """Settle family and width: as asked, else as the weights are, else MobileNet V2 1.0; raises UsageError."""
    named = parse_name(model) if model is not None else start.spec if start is not None else ModelSpec("mobilenet_v2")
    asked = replace(named, width=width) if width is not None else named
    if start is None:
        return asked
    fits(asked, start)
    return replace(start.spec, width=asked.width)
