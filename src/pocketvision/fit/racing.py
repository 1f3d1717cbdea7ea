"""The stage `train`: the shortlist for a few epochs each, the best of it to the end, and the best of those is taken."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.budget.choose import key_of
from pocketvision.clock import Clock
from pocketvision.errors import UsageError, WeightsError
from pocketvision.files import write_bytes
from pocketvision.fit.pacing import delivery_s
from pocketvision.fit.probing import Given
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.settings.verbs import FitOptions
from pocketvision.tasks import TrainDefaults, learning
from pocketvision.train.forecast import Start, training_seconds
from pocketvision.train.inputs import Loaded
from pocketvision.train.job import Job, make_job
from pocketvision.train.trainer import run_job
from pocketvision.values import Candidate, Choice, Score, Trained
from pocketvision.weights.available import NO_WEIGHTS

TRIED_EPOCHS, TRIED_SHARE = 2, 0.25
"""Epochs of a try at least, and as a share of the whole training: small nets, which have many, tell little by two."""
MOST_TIMES, USUAL_MACS = 10 / 3, 150_000_000
"""How many times the task's epochs from given weights the smallest nets take at most: they rise with the root of what a
net takes less multiply-adds than usual, since narrow and cut nets have more to learn anew and each epoch costs less."""
TRY_SHARE, FIRST_SHARE = 0.3, 0.6
"""Shares of a time limit: of what is left for all tries, and of what is left then for the first whole training."""
LEAST_S = 45.0
"""Without so many seconds left, only the first of the shortlist is trained."""
BROKE = "broke the budget when its file was written and timed"
SAME = 0.5
"""Standard errors of validation accuracy within which the smaller net is taken."""


@dataclass(frozen=True, eq=False)
class Race:
    """What several trainings share."""

    run: Path
    loaded: Loaded
    given: Sequence[Given]
    options: FitOptions
    clock: Clock
    progress: Progress

    @property
    def finalists(self) -> int:
        """Return how many nets are trained to the end."""
        return learning(self.loaded.spec.name).DEFAULTS.finalists

    def job(self, candidate: Candidate, folder: Path, *, few: bool = False) -> Job:
        """Return the training of one candidate, to its end or for a few epochs."""
        start = next((one for one in self.given if one.origin == candidate.origin), None)
        options = settings_for(candidate, self.options, learning(self.loaded.spec.name).DEFAULTS, few=few)
        options = replace(options, weights=str(start.path) if start else NO_WEIGHTS)
        weights = start.weights if start else None
        job = make_job(folder, self.loaded, candidate.spec, weights, options=options, progress=self.progress)
        return replace(job, clock=self.clock, later_s=delivery_s(self.loaded, job.image, self.clock))

    def left(self, job: Job) -> float:
        """Return the seconds until a job and what follows must begin to end; 0 without a limit."""
        self.clock.reserve(0.0)  # what the training before it left to this one
        return max(0.0, self.clock.left() - job.later_s) if self.clock.limited else 0.0


def settings_for(
    candidate: Candidate, options: FitOptions, defaults: TrainDefaults, *, few: bool = False
) -> FitOptions:
    """Return how a candidate is trained: what the user did not say follows from what it begins with, and the task."""
    if candidate.start == "scratch":
        return options
    times = min(MOST_TIMES, max(1.0, math.sqrt(USUAL_MACS / candidate.cost.macs)))
    usual = options.epochs or round(defaults.transfer_epochs * times)
    # What was cut away, all that is left has to make up for.
    anew = options.fine_tune == "auto" and candidate.start in ("cut", "sliced")
    epochs = min(usual, max(TRIED_EPOCHS, round(TRIED_SHARE * usual))) if few else usual
    return replace(options, epochs=epochs, fine_tune="all" if anew else options.fine_tune)


def training_s(listed: Sequence[Candidate], loaded: Loaded, options: FitOptions) -> float:
    """Predict the seconds that the trainings of a shortlist take: a few epochs each, and the best to the end."""
    examples, validation = (len(loaded.dataset.of(split)) for split in ("train", "val"))

    def seconds(one: Candidate, *, few: bool = False) -> float:
        kind: Start = "own" if one.start == "cut" else one.start
        settings = settings_for(one, options, learning(loaded.spec.name).DEFAULTS, few=few)
        return training_seconds(one.spec, kind, examples, validation=validation, options=settings, task=loaded.spec)

    finalists = learning(loaded.spec.name).DEFAULTS.finalists
    ended = sum(seconds(one) for one in listed[:finalists])
    if len(listed) <= finalists:
        return ended
    return ended + sum(seconds(one, few=True) for one in listed if one.start != "scratch")


def race(entry: Race, choice: Choice) -> tuple[Choice, Job]:
    """Train the shortlist of a choice; return the choice with what came out, and the training of the taken net.

    That one's weights and curves lie in the run's folder then, those of the others in `candidates`. A shortlist of one
    is left to be trained.
    """
    run, listed = RunFolder(entry.run), choice.shortlist
    if len(listed) < 2 or run.trained.exists() or (entry.clock.limited and entry.clock.left() < LEAST_S):
        return choice, entry.job(choice.taken, entry.run)
    tried = _tried(entry, listed)
    finalists = finalists_of(tried, entry.finalists)
    ended = [replace(one, validation=_whole(entry, one, finalists).validation) for one in finalists]
    best = taken_of(ended, choice.budget.limits.get("min_accuracy"))
    choice = _told(choice, tried, ended, best)
    run.choice.write(choice)
    _bring(entry, best)
    entry.progress.say(_words(ended, best))
    return choice, entry.job(best, entry.run)


def _bring(entry: Race, one: Candidate) -> None:
    for target, source in zip(learned(entry.run), learned(_folder(entry, one)), strict=True):
        write_bytes(target, source.read_bytes())


def second(entry: Race, choice: Choice, fault: str) -> tuple[Choice, Trained] | None:
    """Take the next best that was trained to the end, where the file of the taken one breaks the budget; None where
    there is no other."""
    run = RunFolder(entry.run)
    others = [one for one in choice.candidates if one.status == "trained" and not one.reason.startswith(BROKE)]
    if not others:
        return None
    best = max(others, key=lambda one: _value(one.validation))
    entry.progress.say(f"{choice.taken.spec} {BROKE} ({fault}): {best.spec} is tried in its place")
    swapped = {
        key_of(choice.taken): replace(choice.taken, status="trained", reason=f"{BROKE}: {fault}"),
        key_of(best): replace(best, status="taken", reason="the best on validation whose file keeps the budget"),
    }
    told = tuple(swapped.get(key_of(one), one) for one in choice.candidates)
    choice = replace(choice, taken=swapped[key_of(best)], candidates=told)
    run.choice.write(choice)
    _bring(entry, best)
    return choice, run.trained.read()


def _tried(entry: Race, listed: Sequence[Candidate]) -> list[Candidate]:
    """Train all that begin with weights for a few epochs; a few tell nothing of fresh ones."""
    found = []
    some = [one for one in listed if one.start != "scratch"]
    for place, one in enumerate(listed):
        if one not in some or len(some) <= entry.finalists:
            found.append(one)
            continue
        entry.progress.say(f"trying {place + 1} of {len(listed)}: {one.spec}, {_begun(one)}")
        job = entry.job(one, _folder(entry, one) / "tried", few=True)
        kept = entry.left(job) * (1 - TRY_SHARE / (len(some) - some.index(one) * TRY_SHARE))
        try:
            found.append(replace(one, tried=run_job(_leaving(job, kept), progress=entry.progress).validation))
        except (UsageError, WeightsError) as error:  # a width at which this family cannot be cut
            entry.progress.say(f"left out: {one.spec}: {error}")
    return found


def finalists_of(tried: Sequence[Candidate], count: int) -> list[Candidate]:
    """Return so many of the best of the tries; what was not tried goes by its place."""
    order = sorted(
        range(len(tried)),
        key=lambda place: (-_value(tried[place].tried), tried[place].size_bytes if _seen(tried) else place),
    )
    return [tried[place] for place in order[:count]]


def _seen(tried: Sequence[Candidate]) -> bool:
    return any(one.tried is not None for one in tried)


def _value(score: Score | None) -> float:
    return score.value if score is not None else -math.inf


def _whole(entry: Race, one: Candidate, finalists: Sequence[Candidate]) -> Trained:
    place = finalists.index(one)
    entry.progress.say(f"training {place + 1} of {len(finalists)}: {one.spec}, {_begun(one)}")
    job = entry.job(one, _folder(entry, one))
    kept = 0.0 if place == len(finalists) - 1 else entry.left(job) * (1 - FIRST_SHARE)
    return run_job(_leaving(job, kept), progress=entry.progress)


def _leaving(job: Job, seconds: float) -> Job:
    return replace(job, later_s=job.later_s + seconds)


def _folder(entry: Race, one: Candidate) -> Path:
    words = [one.spec.name, f"{one.spec.width:g}", *([f"d{one.spec.depth}"] if one.spec.depth else [])]
    begun = [f"from-{one.origin}"] if one.origin else []  # several files may hold weights of one net
    return entry.run / "candidates" / "-".join([*words, str(one.spec.resolution), *begun])


def learned(folder: Path) -> tuple[Path, ...]:
    """Return the files that a training leaves; the record last: what it says is then there."""
    run = RunFolder(folder)
    return run.best, run.last, run.epochs.path, run.trained.path


def taken_of(ended: Sequence[Candidate], asked: float | None) -> Candidate:
    """Return the best on validation, of those the same within noise the smallest file; where an accuracy is asked for
    and reached, the smallest that reaches it."""
    reached = [one for one in ended if asked is not None and _value(one.validation) >= asked]
    if reached:
        return min(reached, key=lambda one: one.size_bytes)
    return min(same_as_best(ended), key=lambda one: one.size_bytes)


def same_as_best(ended: Sequence[Candidate]) -> list[Candidate]:
    """Return those that validation cannot tell from the best."""
    best = max(ended, key=lambda one: _value(one.validation)).validation
    assert best is not None
    error = math.sqrt(max(best.value * (1 - best.value), 0.25 / best.count) / best.count)
    return [one for one in ended if _value(one.validation) >= best.value - SAME * error]


def _told(choice: Choice, tried: Sequence[Candidate], ended: Sequence[Candidate], best: Candidate) -> Choice:
    """Put what came out into the choice's list."""
    out = {key_of(one): one for one in (*tried, *ended)}
    same = same_as_best(ended)
    told = []
    for one in choice.candidates:
        found = out.get(key_of(one))
        if found is None and one.status == "taken":
            told.append(replace(one, status="not needed", reason="cannot begin from these weights"))
        elif found is None:
            told.append(one)
        elif key_of(one) == key_of(best):
            told.append(replace(found, status="taken", reason=_why(best, ended, same)))
        elif found.validation is not None:
            told.append(replace(found, status="trained", reason=f"{found.validation.value:.1%} on validation"))
        elif found.tried is not None:
            reason = f"{found.tried.value:.1%} on validation after a few epochs"
            told.append(replace(found, status="tried", reason=reason))
        else:
            told.append(replace(found, status="not needed", reason="others of the shortlist were trained"))
    taken = next(one for one in told if one.status == "taken")
    return replace(choice, taken=taken, candidates=tuple(told))


def _why(best: Candidate, ended: Sequence[Candidate], same: Sequence[Candidate]) -> str:
    assert best.validation is not None
    if len(same) > 1 and best in same:
        return f"the smallest of {len(same)} that are the same within noise on validation, {best.validation.value:.1%}"
    return f"{best.validation.value:.1%} on validation, the best of {len(ended)} trained whole"


def _words(ended: Sequence[Candidate], best: Candidate) -> str:
    results = ", ".join(f"{one.spec}: {_value(one.validation):.1%}" for one in ended)
    return f"on validation {results}; taken: {best.spec}"


def _begun(one: Candidate) -> str:
    return {"scratch": "from scratch"}.get(
        one.start, f"{one.start} from {one.origin}" if one.start != "own" else one.origin
    )
