"""The verb `plan`: what `fit` would do, before anything is trained."""

from dataclasses import dataclass, fields
from pathlib import Path

from pocketvision.budget.limits import budget_of
from pocketvision.clock import Watch
from pocketvision.data.check import load_dataset
from pocketvision.data.digits import resolve
from pocketvision.fit.choosing import chosen
from pocketvision.fit.considering import weights_at_hand
from pocketvision.fit.options import command
from pocketvision.fit.racing import training_s
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import FitOptions, PlanOptions
from pocketvision.train.inputs import Loaded
from pocketvision.values import Candidate, Probed


@dataclass(frozen=True)
class Plan:
    """What `fit` would train, and what lies around it."""

    taken: Candidate
    """The net that is predicted to be the best within the budget."""
    shortlist: tuple[Candidate, ...]
    """The nets that would be trained for a few epochs; the best of them to the end."""
    front: tuple[Candidate, ...]
    """The best at every cost within the budget, and the nearest beyond it."""
    considered: int
    """Settings that were counted and held against the budget."""
    kept: int
    """Of these, settings that keep it."""
    probed: tuple[Probed, ...]
    """What frozen features told of the images."""
    steps: tuple[str, ...]
    """What raising each limit would bring, in words."""
    notes: tuple[str, ...]
    """What else was taken into account."""
    training_s: float
    """Seconds that the trainings would take on this machine, estimated."""
    command: str
    """Does it."""
    seconds: dict[str, float]
    """Wall time of each step of planning."""


@verb(PlanOptions)
def plan(options: PlanOptions) -> Plan:
    """Tell what `fit` with the same options would train, what it is predicted to reach, and what each limit costs.

    Thousands of nets, widths, depths, resolutions and precisions are counted and held against the budget, the weights
    at hand are shown the images once, and what a training reaches is predicted with an interval. Nothing is trained and
    no run is made. Raises BudgetMissed with the nearest offers where nothing keeps the budget.
    """
    watch, progress = Watch(), options.progress
    budget_of(options)  # refused before anything is looked at
    wanted = FitOptions(**{item.name: getattr(options, item.name) for item in fields(options)})
    with watch.step("check"):
        place = resolve(options.data, progress)
        dataset, health, decoded = load_dataset(
            place, val=options.val, test=options.test, seed=options.seed, progress=progress
        )
        loaded = Loaded(dataset, health, decoded, Path(place))
    given = weights_at_hand(wanted, progress)
    choice = chosen(loaded, given, wanted, progress=progress)
    with watch.step("timing"):
        seconds = training_s(choice.shortlist, loaded, wanted)
    listed = {one.spec for one in choice.shortlist}
    return Plan(
        choice.taken,
        choice.shortlist,
        tuple(one for one in choice.candidates if one.spec not in listed),
        choice.considered,
        choice.kept,
        choice.probed,
        choice.steps,
        choice.notes,
        round(seconds, 1),
        command("fit", wanted),
        {**watch.seconds, **choice.seconds},
    )
