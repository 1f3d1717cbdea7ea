"""The race of a shortlist: who is tried and who is trained whole, for how long, who is taken, and how it goes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketvision.clock import Clock
from pocketvision.errors import WeightsError
from pocketvision.fit import racing
from pocketvision.fit.probing import Given
from pocketvision.fit.racing import FIRST_SHARE, TRY_SHARE, Race, race, same_as_best, second, taken_of
from pocketvision.metrics.accuracy import wilson
from pocketvision.models.catalogue import build_spec
from pocketvision.progress import Progress, Silent
from pocketvision.runs import RunFolder
from pocketvision.settings.verbs import FitOptions
from pocketvision.tasks import TrainDefaults
from pocketvision.train.inputs import load_data
from pocketvision.train.job import Job
from pocketvision.values import Budget, Candidate, Choice, Cost, ImageSpec, ModelSpec, StartKind, Trained
from pocketvision.weights.load import read
from pocketvision.weights.safetensors import save

SPEC = ModelSpec("mobilenet_v1", 0.125, 32, 2)
NOTHING = Budget()
Results = dict[str, tuple[int, int]]
"""By depth, or `whole`: right answers of 100 after a try, and at the end."""


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(tmp_path / "none"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    dice = np.random.default_rng(0)
    for label, shade in (("dark", 90), ("light", 150)):
        for number in range(20):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(dice.normal(shade, 40, (36, 36, 3)), 0, 255).astype(np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "start.safetensors"
    own = replace(SPEC, num_classes=5)
    save(build_spec(own), own, image=ImageSpec(32), labels=None, path=path)
    return path


class Still(Clock):
    """A clock that goes on only when it is told to."""

    at = 0.0

    def spent(self) -> float:
        return self.at

    def slowness(self) -> float:
        return 1.0


def candidate(depth: int | None, size_bytes: int, *, start: StartKind = "cut", origin: str = "start") -> Candidate:
    spec, cost = replace(SPEC, depth=depth), Cost(size_bytes, 10 * size_bytes, size_bytes, 10)
    origin = f"{origin}.safetensors" if start != "scratch" else ""
    return Candidate(spec, "int8", cost, size_bytes, 50.0, "not needed", "", start=start, origin=origin)


def choice_of(*listed: Candidate, budget: Budget = NOTHING) -> Choice:
    first = replace(listed[0], status="taken", reason="predicted")
    return Choice(budget, first, (first, *listed[1:]), shortlist=(first, *listed[1:]))


@pytest.fixture
def entry(photos: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Race:
    run = tmp_path / "run"
    run.mkdir()
    loaded = load_data(photos, run, val=0.25, test=0.25, seed=1, progress=Silent())
    monkeypatch.setattr(racing, "delivery_s", lambda *_: 10.0)
    given = [Given(name, weights, name, read(weights)) for name in ("start.safetensors", "other.safetensors")]
    return Race(run, loaded, given, FitOptions(data=photos, epochs=9), Still(), Silent())


class Trainings:
    """Stands for the trainer: it takes all the time that it is given, and gives what is written down."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.done: list[Job] = []
        self.took: list[float] = []

    def __call__(self, job: Job, *, progress: Progress) -> Trained:
        run = RunFolder(job.folder)
        if run.trained.exists():
            return run.trained.read()
        self.done.append(job)
        job.clock.reserve(job.later_s)  # as the trainer does
        if job.clock.limited:
            assert isinstance(job.clock, Still)
            self.took.append(job.clock.left())
            job.clock.at += self.took[-1]
        after = self.results[str(job.spec.depth or "whole")][job.folder.name != "tried"]
        trained = Trained(job.spec, job.image, job.start, 1, wilson(after, 100), 1.0, "0" * 64, job.splits)
        for path in (run.best, run.last, run.epochs.path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{job.folder.parent.name} {job.spec}")
        run.trained.write(trained)
        return trained


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[[Results], Trainings]:
    def stand_in(results: Results) -> Trainings:
        made = Trainings(results)
        monkeypatch.setattr(racing, "run_job", made)
        return made

    return stand_in


# ---------------------------------------------------------------- who is taken


def ended(*pairs: tuple[int, int], count: int = 100) -> list[Candidate]:
    """Return candidates of some right answers and bytes."""
    return [
        replace(candidate(place, size), validation=wilson(right, count)) for place, (right, size) in enumerate(pairs, 5)
    ]


def test_the_best_on_validation_is_taken_and_of_those_the_same_the_smallest() -> None:
    clear = ended((97, 900), (80, 100))
    assert taken_of(clear, None) == clear[0]
    assert same_as_best(clear) == [clear[0]]
    equal = ended((97, 900), (97, 100), (95, 50))
    assert taken_of(equal, None).size_bytes == 100
    assert len(same_as_best(equal)) == 2


def test_what_counts_as_the_same_shrinks_with_the_images() -> None:
    few, many = (ended((90 * times, 900), (89 * times, 100), count=100 * times) for times in (1, 100))
    assert len(same_as_best(few)) == 2
    assert len(same_as_best(many)) == 1
    perfect = ended((100, 900), (99, 100))
    assert taken_of(perfect, None).size_bytes == 900


def test_an_accuracy_asked_for_is_reached_by_the_smallest_that_does() -> None:
    both = ended((99, 900), (91, 100))
    assert taken_of(both, 0.9).size_bytes == 100
    assert taken_of(both, 0.95).size_bytes == 900
    assert taken_of(both, 0.995) == both[0]


# ---------------------------------------------------------------- the race


def test_the_best_tries_are_trained_whole_and_the_best_of_them_lies_in_the_run(
    entry: Race, train: Callable[[Results], Trainings]
) -> None:
    made = train({"5": (60, 99), "7": (90, 70), "9": (80, 95), "whole": (70, 99)})
    choice, job = race(entry, choice_of(*(candidate(depth, 1000 + (depth or 20)) for depth in (5, 7, 9, None))))
    assert [(one.spec.depth, one.folder.name == "tried") for one in made.done] == [
        *((depth, True) for depth in (5, 7, 9, None)),
        (7, False),
        (9, False),
    ]
    assert choice.taken.spec.depth == job.spec.depth == 9
    assert {one.spec.depth: one.status for one in choice.candidates} == {
        5: "tried",
        7: "trained",
        9: "taken",
        None: "tried",
    }
    assert all(one.reason for one in choice.candidates)
    assert RunFolder(entry.run).trained.read().spec.depth == 9
    assert RunFolder(entry.run).choice.read() == choice
    assert job.folder == entry.run


def test_tries_are_short_and_ends_are_as_asked_for(entry: Race, train: Callable[[Results], Trainings]) -> None:
    made = train({"5": (60, 90), "7": (90, 70), "9": (80, 95)})
    race(entry, choice_of(*(candidate(depth, 1000) for depth in (5, 7, 9))))
    assert [one.recipe.epochs for one in made.done] == [racing.TRIED_EPOCHS] * 3 + [9] * 2


def test_two_are_trained_whole_at_once_and_one_is_left_to_be_trained(
    entry: Race, train: Callable[[Results], Trainings]
) -> None:
    made = train({"5": (0, 90), "7": (0, 95)})
    one = choice_of(candidate(5, 1000))
    choice, job = race(entry, one)
    assert (choice, made.done, job.spec.depth, job.folder) == (one, [], 5, entry.run)
    choice, _ = race(entry, choice_of(candidate(5, 1000), candidate(7, 1000)))
    assert [job.folder.name == "tried" for job in made.done] == [False, False]
    assert choice.taken.spec.depth == 7


def test_fresh_nets_are_not_tried_and_every_one_has_a_reason(
    entry: Race, train: Callable[[Results], Trainings]
) -> None:
    made = train({"5": (60, 90), "7": (90, 70), "9": (80, 95), "whole": (0, 99)})
    listed = [candidate(None, 500, start="scratch"), *(candidate(depth, 1000) for depth in (5, 7, 9))]
    choice, _ = race(entry, choice_of(*listed))
    assert None not in {job.spec.depth for job in made.done}
    assert [one.status for one in choice.candidates].count("taken") == 1
    assert choice.taken.spec.depth == 9
    assert all(one.reason for one in choice.candidates)


def test_weights_of_one_net_from_two_files_are_two_trainings(
    entry: Race, train: Callable[[Results], Trainings]
) -> None:
    made = train({"whole": (50, 90)})
    pair = [candidate(None, 1000, start="own", origin=origin) for origin in ("start", "other")]
    choice, _ = race(entry, choice_of(*pair))
    assert len(made.done) == 2
    assert len({job.folder for job in made.done}) == 2
    assert [one.status for one in choice.candidates].count("taken") == 1


def test_a_net_that_cannot_be_begun_is_left_out_even_if_it_was_predicted_to_be_best(
    entry: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Trainings({"7": (90, 70), "9": (80, 95), "whole": (70, 99)})

    def refusing(job: Job, *, progress: Progress) -> Trained:
        if job.spec.depth == 5:
            raise WeightsError("cannot be cut")
        return made(job, progress=progress)

    monkeypatch.setattr(racing, "run_job", refusing)
    choice, _ = race(entry, choice_of(*(candidate(depth, 1000) for depth in (5, 7, 9, None))))
    assert choice.taken.spec.depth == 9
    assert [one.status for one in choice.candidates].count("taken") == 1


def test_a_time_limit_is_shared_between_tries_and_ends(entry: Race, train: Callable[[Results], Trainings]) -> None:
    made = train({"5": (60, 99), "7": (90, 70), "9": (80, 95), "whole": (70, 99)})
    limited = replace(entry, clock=Still(1010.0))
    race(limited, choice_of(*(candidate(depth, 1000) for depth in (5, 7, 9, None))))
    *tries, first, last = made.took
    assert tries == pytest.approx([1000 * TRY_SHARE / 4] * 4)
    left = 1000 * (1 - TRY_SHARE)
    assert (first, last) == pytest.approx((left * FIRST_SHARE, left * (1 - FIRST_SHARE)))
    assert limited.clock.spent() == pytest.approx(1000)


def test_fresh_nets_take_no_time_of_the_tries(entry: Race, train: Callable[[Results], Trainings]) -> None:
    made = train({"5": (60, 99), "7": (90, 70), "9": (80, 95)})
    fresh = candidate(None, 500, start="scratch")
    race(replace(entry, clock=Still(1010.0)), choice_of(fresh, *(candidate(depth, 1000) for depth in (5, 7, 9))))
    assert made.took[:3] == pytest.approx([100.0] * 3)


def test_too_little_time_trains_the_first_alone(entry: Race, train: Callable[[Results], Trainings]) -> None:
    made = train({})
    listed = choice_of(candidate(5, 1000), candidate(7, 1000))
    choice, job = race(replace(entry, clock=Still(racing.LEAST_S - 1)), listed)
    assert (choice, job.spec.depth, made.done) == (listed, 5, [])


@pytest.mark.parametrize("stop", range(6))
def test_an_interruption_repeats_no_training(entry: Race, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    made = Trainings({"5": (60, 99), "7": (90, 70), "9": (80, 95), "whole": (70, 99)})
    asked = choice_of(*(candidate(depth, 1000) for depth in (5, 7, 9, None)))

    def interrupted(job: Job, *, progress: Progress) -> Trained:
        if len(made.done) == stop:
            raise KeyboardInterrupt
        return made(job, progress=progress)

    monkeypatch.setattr(racing, "run_job", interrupted)
    with pytest.raises(KeyboardInterrupt):
        race(entry, asked)
    monkeypatch.setattr(racing, "run_job", made)
    choice, _ = race(entry, asked)
    assert len(made.done) == 4 + TrainDefaults().finalists
    assert choice.taken.spec.depth == 9
    again, job = race(entry, choice)  # all is done: nothing more is trained
    assert (again, job.spec.depth, len(made.done)) == (choice, 9, 4 + TrainDefaults().finalists)


def test_stopped_after_the_choice_was_told_it_ends_the_same(entry: Race, train: Callable[[Results], Trainings]) -> None:
    made = train({"5": (60, 99), "7": (90, 70), "9": (80, 95)})
    choice, _ = race(entry, choice_of(*(candidate(depth, 1000) for depth in (5, 7, 9))))
    RunFolder(entry.run).trained.path.unlink()
    again, _ = race(entry, RunFolder(entry.run).choice.read())
    assert (again, len(made.done)) == (choice, 5)
    assert RunFolder(entry.run).trained.read().spec.depth == 9


def test_a_real_race_is_resumed_where_it_was_stopped(entry: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    real, begun = racing.run_job, list[Path]()
    quick = replace(entry, options=replace(entry.options, epochs=1, batch_size=64))
    asked = choice_of(*(candidate(depth, 1000) for depth in (4, 5)))

    def counted(job: Job, *, progress: Progress) -> Trained:
        if not RunFolder(job.folder).trained.exists():
            begun.append(job.folder)
            if len(begun) == 2:
                raise KeyboardInterrupt
        return real(job, progress=progress)

    monkeypatch.setattr(racing, "run_job", counted)
    with pytest.raises(KeyboardInterrupt):
        race(quick, asked)
    choice, job = race(quick, asked)
    assert [folder for folder in set(begun) if begun.count(folder) > 1] == [begun[1]]  # the one that was stopped
    assert len(set(begun)) == TrainDefaults().finalists
    assert real(job, progress=Silent()).validation == choice.taken.validation


def test_where_the_taken_file_breaks_the_budget_the_next_best_takes_its_place(
    entry: Race, train: Callable[[Results], Trainings]
) -> None:
    train({"6": (90, 97), "7": (89, 90)})
    listed = [candidate(6, 900), candidate(7, 100)]
    choice, _ = race(entry, choice_of(*listed))
    assert choice.taken.spec.depth == 6
    found = second(entry, choice, "latency 3 ms; allowed 2 ms")
    assert found is not None
    choice, trained = found
    assert (choice.taken.spec.depth, trained.spec.depth) == (7, 7)
    assert RunFolder(entry.run).trained.read().spec.depth == 7
    assert RunFolder(entry.run).choice.read() == choice
    assert {one.status for one in choice.candidates} == {"taken", "trained"}
    assert second(entry, choice, "latency 4 ms; allowed 2 ms") is None
