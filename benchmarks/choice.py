"""What the choice costs: whole trainings of all that `fit` would try, and what its own choice loses to the best.

    python benchmarks/choice.py --data ../shared/data --weights ../shared/weights --sets face-mask smiles --seed 42 \
        --budgets 100KB 300KB none --record choice.jsonl

For each set and bound on the file's size, the settings that `fit` puts on its shortlist, and some more of those that
nothing smaller is predicted to beat, drawn by the seed. Each is trained for the few epochs of a try, then to the end.
Prints what was predicted with its interval, accuracy on validation after the try and at the end, and on test; which of
them `fit` delivers; the regret, which is the best test accuracy less that of the delivered one; and how many of the
intervals hold the validation accuracy. Trainings are kept in the record, a line each: a second start goes on from it.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.budget.choose import key_of
from pocketvision.clock import Clock
from pocketvision.data.arrays import prepared
from pocketvision.fit.choosing import chosen
from pocketvision.fit.considering import weights_at_hand
from pocketvision.fit.racing import Race, finalists_of, settings_for, taken_of
from pocketvision.metrics.accuracy import accuracy
from pocketvision.progress import Silent
from pocketvision.settings.verbs import FitOptions
from pocketvision.tasks import learning
from pocketvision.train.checkpoint import trained_net
from pocketvision.train.evaluate import logits
from pocketvision.train.inputs import load_data
from pocketvision.train.trainer import run_job
from pocketvision.values import Candidate, Choice, Score
from pocketvision.values.records import from_json, to_json


class Record:
    """Finished trainings by setting, one a line of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows: dict[str, dict[str, Any]] = {row["key"]: row for row in map(json.loads, lines)}

    def add(self, key: str, row: dict[str, Any]) -> dict[str, Any]:
        """Keep one more."""
        self.rows[key] = {"key": key, **row}
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(self.rows[key]) + "\n")
        return self.rows[key]


@dataclass(frozen=True)
class Ended:
    """A candidate after its trainings."""

    candidate: Candidate
    test: Score
    cpu_seconds: float
    listed: bool
    """Whether `fit` would try it; the others were drawn."""


def trained(race: Race, one: Candidate, record: Record, *, few: bool) -> dict[str, Any]:
    """Train one candidate from its start, or read what a former training gave."""
    data, seed = Path(race.options.data).name, race.options.seed
    asked = settings_for(one, race.options, learning(race.loaded.spec.name).DEFAULTS, few=few)
    length = f"{asked.epochs or 'all'} epochs, fine-tune {asked.fine_tune}"
    key = f"{data} seed {seed} {one.spec} from {one.origin or 'scratch'}, {length}"
    if key in record.rows:
        return record.rows[key]
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        job = race.job(one, Path(folder), few=few)
        found = run_job(job, progress=Silent())
        spent = time.process_time() - started
        net, _ = trained_net(Path(folder))
    dataset = race.loaded.dataset
    examples = dataset.of("test")
    shown = prepared(dataset, examples, job.image, decoded=race.loaded.decoded)
    answers = logits(net, shown, job.image, job_device())
    test = accuracy(answers, np.array([example.target for example in examples]))
    row = {
        "spec": to_json(one.spec),
        "origin": one.origin,
        "start": one.start,
        "data": data,
        "epochs": asked.epochs,
        "validation": to_json(found.validation),
        "test": to_json(test),
        "cpu_seconds": round(spent, 1),
    }
    return record.add(key, row)


def job_device() -> Any:
    """Return the processor, as PyTorch calls it."""
    import torch

    return torch.device("cpu")


def settings_of(choice: Choice, further: int, seed: int) -> Iterator[tuple[Candidate, bool]]:
    """Yield the shortlist, and some of the others at the frontier, each net once."""
    yield from ((one, True) for one in choice.shortlist)
    seen = {one.spec for one in choice.shortlist}
    others = {one.spec: one for one in choice.candidates if one.status == "not needed" and one.spec not in seen}
    drawn = random.Random(seed).sample(list(others.values()), min(further, len(others)))
    yield from ((one, False) for one in drawn)


def ended(race: Race, choice: Choice, record: Record, further: int) -> list[Ended]:
    """Train all settings of a budget."""
    found = []
    for one, listed in settings_of(choice, further, race.options.seed):
        few = trained(race, one, record, few=True) if one.start != "scratch" else None
        whole = trained(race, one, record, few=False)
        done = replace(
            one,
            tried=from_json(Score, few["validation"]) if few else None,
            validation=from_json(Score, whole["validation"]),
        )
        spent = whole["cpu_seconds"] + (few["cpu_seconds"] if few else 0)
        found.append(Ended(done, from_json(Score, whole["test"]), spent, listed))
        print(line(found[-1]), flush=True)
    return found


def line(one: Ended) -> str:
    """Tell of one candidate."""
    candidate, told = one.candidate, one.candidate.accuracy
    assert told is not None
    assert candidate.validation is not None
    tried = f"{candidate.tried.value:6.1%}" if candidate.tried else "      "
    cells = (
        "listed" if one.listed else "drawn ",
        f"{candidate.spec!s:<36}{candidate.precision:<6}{candidate.start:<8}",
        f"{candidate.size_bytes / 1e3:.0f} KB{candidate.cost.macs / 1e6:6.1f} M",
        f"predicted {told.middle:.1%} ({told.low:.1%} to {told.high:.1%})",
        f"tried {tried}  whole {candidate.validation.value:6.1%}  test {one.test.value:6.1%}{one.cpu_seconds:6.0f} s",
    )
    return "  " + "  ".join(cells)


def compare(data: Path, limit: str, record: Record, *, seed: int, further: int) -> None:
    """Print one set at one budget."""
    size = None if limit == "none" else limit
    options = FitOptions(data=data, max_size=size, seed=seed, offline=True, progress=Silent())
    print(f"\n{data.name}, --max-size {limit}, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_data(data, Path(folder), val=options.val, test=options.test, seed=seed, progress=Silent())
        given = weights_at_hand(options, Silent())
        choice = chosen(loaded, given, options, progress=Silent())
        key = f"choice of {data.name} at {limit}, seed {seed}"
        if key not in record.rows:
            probed = [to_json(one) for one in choice.probed]
            record.add(key, {"probed": probed, "data": data.name, "images": len(loaded.dataset.of("train"))})
        race = Race(Path(folder), loaded, given, options, Clock(), Silent())
        found = ended(race, choice, record, further)
    summarize(found, race.finalists)


def summarize(found: list[Ended], count: int) -> None:
    """Print what is delivered, what it loses to the best, and what the intervals hold."""
    places = {key_of(one.candidate): one for one in found}
    finalists = finalists_of([one.candidate for one in found if one.listed], count)
    taken = places[key_of(taken_of(finalists, None))]
    best = max(found, key=lambda one: one.test.value)
    held = sum(_held(one.candidate) for one in found)
    regret = 100 * (best.test.value - taken.test.value)
    among = 100 * (max(one.test.value for one in found if one.listed) - taken.test.value)
    print(
        f"  delivered {taken.candidate.spec}: {taken.test.value:.1%} on test; regret {regret:.1f} points to "
        f"{best.candidate.spec}, {among:.1f} within the shortlist; {held} of {len(found)} intervals hold what came out",
        flush=True,
    )


def _held(one: Candidate) -> bool:
    assert one.accuracy is not None
    assert one.validation is not None
    return one.accuracy.low <= one.validation.value <= one.accuracy.high


def main() -> None:
    """Print one table a set and budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["face-mask", "smiles", "sign-digits", "cifar10-subset"])
    parser.add_argument("--budgets", nargs="+", default=["100KB", "300KB", "none"], help="bounds on the file's size")
    parser.add_argument("--further", type=int, default=2, help="settings drawn from the frontier beside the shortlist")
    parser.add_argument("--record", type=Path, required=True, help="JSON lines file of finished trainings")
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()
    os.environ["POCKETVISION_WEIGHTS"] = str(asked.weights)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    record = Record(asked.record)
    for limit in asked.budgets:
        for name in asked.sets:
            compare(asked.data / name, limit, record, seed=asked.seed, further=asked.further)


if __name__ == "__main__":
    main()
