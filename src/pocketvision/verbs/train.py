"""The verb `train`: check, split and train one net of the user's choice; no choosing, no export."""

from dataclasses import dataclass, replace

from pocketvision.clock import Clock, seconds
from pocketvision.errors import PocketvisionError
from pocketvision.models.catalogue import parse_name
from pocketvision.runs import RunFolder, finished, name_for, nothing_left_on, run_for, write_checksums
from pocketvision.settings.groups import TrainConfig
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import TrainOptions
from pocketvision.tasks import load
from pocketvision.train.device import engine_for
from pocketvision.train.inputs import dialed, fits, given_weights, load_data
from pocketvision.train.job import make_job
from pocketvision.train.logs import require_logs
from pocketvision.train.memory import require_memory
from pocketvision.train.trainer import run_job
from pocketvision.values import ModelSpec, Trained
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


@verb(TrainOptions)
def train(options: TrainOptions) -> TrainResult:
    """Train one net on a folder of images and keep its best weights.

    Without `model` the net is the one of `weights`, or MobileNet V2 1.0. `resolution` defaults to the smallest usual
    one that loses no detail of the images. With `weights` of a wider net of its family, the net is cut out of that.
    Test images are split off and not touched. `time_limit`, such as '10m', fits the epochs and their resolutions to
    this machine's speed. `batch_size` is a number, or 'auto' for what suits the number of images.
    """
    clock, progress = Clock(seconds(options.time_limit)), options.progress
    require_logs(options.log)
    engine = engine_for(options.device, options.precision)
    folder = engine.first(lambda: run_for("train", options, name_for(options.data)))
    with nothing_left_on(PocketvisionError, run=folder), engine.first_ahead():
        start = given_weights(options.weights, progress, offline=options.offline)
        spec = wanted_spec(options, start)
        loaded = load_data(
            options.data, folder, val=options.val, test=options.test, seed=options.seed, progress=progress
        )
        task = load(loaded.spec.name)
        resolution = options.resolution or task.resolution(loaded.health.median_short_side)
        spec = replace(spec, resolution=resolution, num_classes=len(loaded.dataset.labels))
        spec = task.fitted(spec, loaded.dataset.of("train"))
        require_memory(loaded, spec, options.device)
        job = make_job(folder, loaded, spec, start, options=options, progress=progress)
    trained = run_job(replace(job, clock=clock), progress=progress)
    if engine.rank == 0 and not finished(folder):
        write_checksums(folder)
    return TrainResult(folder.as_posix(), RunFolder(folder).best.as_posix(), trained)


def wanted_spec(options: TrainConfig, start: Weights | None) -> ModelSpec:
    """Settle family, width and depth: as asked, else as the weights are, else MobileNet V2 1.0; raises UsageError."""
    usual = start.spec if start is not None else ModelSpec("mobilenet_v2")
    asked = dialed(parse_name(options.model) if options.model is not None else usual, options)
    if start is None:
        return asked
    fits(asked, start)
    return replace(start.spec, width=asked.width, depth=asked.depth)
