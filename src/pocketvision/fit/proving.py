"""The stages `export` and `verify`: the file is written, then judged by a fresh process that never loads torch."""

import io
from pathlib import Path

import numpy as np

from pocketvision.data.arrays import prepared
from pocketvision.errors import BudgetMissed, PocketvisionError, VerificationFailed
from pocketvision.export import SUFFIXES
from pocketvision.export.write import refusal, write_trained
from pocketvision.files import write_bytes
from pocketvision.fit.comparing import ComparedPrecisions
from pocketvision.process import run_own
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.runtime import RUNTIMES
from pocketvision.tasks import load
from pocketvision.train.inputs import Loaded
from pocketvision.values import Budget, Proof, Trained


def export_net(
    run: Path,
    loaded: Loaded,
    trained: Trained,
    compared: ComparedPrecisions,
    *,
    formats: tuple[str, ...],
    progress: Progress,
) -> dict[str, Path]:
    """Write a file in each format and, beside them, what the trained net itself answers on the test images.

    Returns the files that can be run here. A format that cannot hold the delivered precision is left out.
    """
    from pocketvision.train.checkpoint import trained_net
    from pocketvision.train.device import device_for
    from pocketvision.train.evaluate import logits

    examples = loaded.dataset.of("test")
    images = prepared(loaded.dataset, examples, trained.image, decoded=loaded.decoded, progress=progress)
    net, _ = trained_net(run)
    device = device_for("cpu")
    task = load(compared.spec.name)
    probabilities = task.probabilities(logits(net, images, trained.image, device), compared.spec)
    stream = io.BytesIO()
    names, contents = np.array([e.file for e in examples]), np.array([e.sha256 for e in examples])
    np.savez_compressed(stream, files=names, sha256=contents, probabilities=probabilities)
    export = RunFolder(run).export
    write_bytes(export.trained_outputs, stream.getvalue())
    figures = {
        "validation": trained.validation,
        "test": task.score(probabilities, task.targets(examples), compared.spec),
    }
    files = {}
    for name in formats:
        if reason := refusal(name, compared.record.taken):
            progress.say(f"not written: {reason}")
            continue
        file = files[name] = export.model(SUFFIXES[name])
        exported = write_trained(
            compared.graph,
            trained,
            loaded.dataset,
            file,
            precision=compared.record.taken,
            figures=figures,
            decision=(compared.spec, compared.threshold),
        )
        progress.say(f"written: {exported.file}, {exported.size_bytes:,} bytes")
        progress.say(exported.checked)
    return {name: file for name, file in files.items() if file.suffix in RUNTIMES}


def verify_files(
    run: Path,
    loaded: Loaded,
    files: dict[str, Path],
    budget: Budget,
    *,
    within_s: float | None = None,
    progress: Progress,
) -> dict[str, Proof]:
    """Prove each format's file: the first one's proof lies in the run, the others' below it.

    Where all are to end `within_s` seconds, each gets its share, and fewer images are asked again under other
    resizers.
    """
    share = None if within_s is None else within_s / len(files)
    return {
        name: verify_file(
            RunFolder(run) if place == 0 else RunFolder(run).further(name),
            loaded,
            file,
            budget,
            within_s=share,
            progress=progress,
        )
        for place, (name, file) in enumerate(files.items())
    }


def verify_file(
    run: RunFolder, loaded: Loaded, file: Path, budget: Budget, *, within_s: float | None, progress: Progress
) -> Proof:
    """Let a new process prove the file from the images' bytes on; return what it found and left in `run`.

    A process of its own, so that nothing of training (torch, its threads, its caches) can help or disturb.
    """
    pace = [] if within_s is None else ["--time-limit", f"{within_s:.1f}s"]
    at = {"max_latency": f"@{budget.profile}"} if budget.profile else {}
    at |= {"max_download": f":{budget.compressor}"} if budget.compressor else {}
    options = [f"--{name.replace('_', '-')}={value}{at.get(name, '')}" for name, value in budget.limits.items()]
    # The split is named, so that what the check left out of the run stays out.
    given = ["--split", "test", "--output", str(run.path), "--json", "--", str(file), str(loaded.given)]
    order = [*options, *pace, *given]
    progress.say(f"verifying {file.name} in a fresh process, from the images' bytes to label names")
    done = run_own("pocketvision", "verify", *order)
    expected = (0, BudgetMissed.exit_code, VerificationFailed.exit_code)
    if done.returncode not in expected or not run.proof.exists():
        raise PocketvisionError(f"verification did not run to its end:\n{done.stderr.strip()[-2000:]}")
    return run.proof.read()
