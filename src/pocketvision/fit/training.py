"""The stage `train`: the chosen net on the user's pictures."""

from dataclasses import replace
from pathlib import Path

from pocketvision.fit.options import Options
from pocketvision.models.catalogue import has_norms
from pocketvision.progress import Progress
from pocketvision.train.job import Job, run_job
from pocketvision.train.recipe import recipe_for
from pocketvision.train.start import Loaded, image_spec, published_weights
from pocketvision.values import Choice, Trained
from pocketvision.weights.load import Weights


def train_net(
    run: Path, loaded: Loaded, options: Options, choice: Choice, start: Weights | None, *, progress: Progress
) -> Trained:
    """Train the taken candidate, from the weights given, else from published ones if they can be reached."""
    origin = Path(str(options.weights)).name
    spec = choice.taken.spec
    if start is None:
        start, origin = published_weights(spec, options.weights, progress)
        spec = replace(spec, padding=start.spec.padding if start else spec.padding)
    job = Job(
        data=loaded,
        spec=spec,
        image=image_spec(spec.resolution, options.crop_mode, start),
        recipe=recipe_for(
            transfer=start is not None,
            examples=len(loaded.dataset.of("train")),
            norms=has_norms(spec.name),
            epochs=options.epochs,
            batch_size=options.batch_size,
            learning_rate=options.lr,
            optimizer=options.optimizer,
            patience=options.patience,
            flip=loaded.dataset.mirror_safe if options.flip is None else options.flip,
            seed=options.seed,
        ),
        weights=start,
        start=origin,
        splits={"seed": options.seed, "val": options.val, "test": options.test},
        device=options.device,
        folder=run,
    )
    return run_job(job, progress=progress)
