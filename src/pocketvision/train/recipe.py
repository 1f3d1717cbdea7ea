"""How a net is trained: the settings, and the defaults for transfer and for training from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from pocketvision.errors import UsageError
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks import TrainDefaults
from pocketvision.values.ranges import number

Optimizer = Literal["adamw", "sgd"]
OPTIMIZERS = ("auto", "adamw", "sgd")
FineTune = Literal["auto", "upper", "all"]
FINE_TUNED = ("auto", "upper", "all")
Balance = Literal["none", "weights", "sampler"]
BALANCES = ("auto", "none", "weights", "sampler")
UNEQUAL = 2.0
"""`auto` balances from this ratio of the largest class to the smallest on."""


STEPS = 16
"""Fewest steps of an epoch: with fewer, a small set is over before the net has learned anything."""
TRANSFER_STEPS = 32
"""Fewest steps of an epoch from given weights, where the epochs are few."""

MAP_VIEWS = 3
"""Random views of each image whose feature maps the upper layers learn from, in turns."""


@dataclass(frozen=True)
class Recipe:
    """Settings of one training."""

    epochs: int
    head_epochs: int
    """Epochs of the head alone on features computed once; 0 from scratch."""
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    """The head's own phase uses the same optimizer."""
    optimizer: Optimizer
    weight_decay: float
    warmup_epochs: float
    label_smoothing: float
    patience: int
    """Epochs without a better validation result after which training stops."""
    flip: bool
    seed: int
    rate_decay: float = 1.0
    """Each layer learns at this share of the rate of the one after it; the head at the full rate."""
    norms: Literal["train", "fixed"] = "train"
    """Whether batch norms take statistics from the batch, or keep those of the start."""
    progressive_start: float = 1.0
    """Resolution of the first epoch, as a share of the net's."""
    progressive_epochs: float = 0.0
    """Share of the epochs that are over when the resolution has reached the net's."""
    frozen: float = 0.0
    """Share of the epochs in which the first half of the layers keeps its weights."""
    mixup: float = 0.0
    """Alpha of the beta distribution that images are mixed by; 0 for not at all."""
    balance: Balance = "none"
    fine_tune: FineTune = "all"
    """What learns: the upper layers, from feature maps that the lower ones make once, or all of the net, from pixels;
    auto is the first on a processor."""
    map_views: int = MAP_VIEWS
    """Random views of each image that there are maps of."""
    map_layers: int | None = None
    """Layers, from the first on, that make the maps; None as `lower.map_layers_of` says."""


def recipe_for(
    config: TrainConfig,
    *,
    transfer: bool,
    examples: int,
    norms: bool = True,
    mirror: bool = True,
    balance: Balance = "none",
    defaults: TrainDefaults = TrainDefaults(),  # noqa: B008  frozen
) -> Recipe:
    """Fill in the defaults; docs/measurements/training.md gives the measurement behind each. Raises UsageError.

    `examples` is the number of training images, `norms` tells whether the net has batch norms, `mirror` whether images
    may be mirrored where the configuration does not say, `defaults` are the task's. `auto` is AdamW, but SGD for a net
    with batch norms that starts from scratch, where the task allows it.
    """
    if config.optimizer not in OPTIMIZERS:
        raise UsageError(f"--optimizer '{config.optimizer}' is not known; use one of {', '.join(OPTIMIZERS)}")
    if config.fine_tune not in FINE_TUNED:
        raise UsageError(f"--fine-tune '{config.fine_tune}' is not known; use one of {', '.join(FINE_TUNED)}")
    if config.fine_tune == "upper" and not defaults.upper:
        raise UsageError("--fine-tune upper: boxes need all layers to learn; leave it away")
    total = config.epochs or (defaults.transfer_epochs if transfer else defaults.scratch_epochs)
    asked = int(number("batch_size", config.batch_size) or 0)
    batch = asked or usual_batch(examples, steps=TRANSFER_STEPS if transfer else STEPS)
    sgd = config.optimizer == "sgd" or (config.optimizer == "auto" and norms and not transfer and defaults.momentum)
    progressive = transfer and defaults.progressive
    return Recipe(
        epochs=total,
        head_epochs=defaults.head_epochs if transfer else 0,
        batch_size=batch,
        learning_rate=config.lr or usual_rate(batch, sgd=sgd, transfer=transfer),
        head_learning_rate=0.003,
        optimizer="sgd" if sgd else "adamw",
        weight_decay=4e-5 if sgd else 0.02,
        warmup_epochs=min(2.0, total / 5),
        label_smoothing=0.1,
        patience=config.patience or max(8, total // 2),
        flip=mirror if config.flip is None else config.flip,
        seed=int(config.seed),
        balance=balance,
        progressive_start=_PROGRESSIVE_START if progressive else 1.0,
        progressive_epochs=_PROGRESSIVE_EPOCHS if progressive else 0.0,
        fine_tune=cast(FineTune, config.fine_tune) if transfer and defaults.upper else "all",
    )


_PROGRESSIVE_EPOCHS, _PROGRESSIVE_START = 0.5, 0.6


def balance_for(asked: str, counts: Sequence[int]) -> Balance:
    """Settle `auto` by the training images of each class. Raises UsageError."""
    if asked not in BALANCES:
        raise UsageError(f"--balance '{asked}' is not known; use one of {', '.join(BALANCES)}")
    if asked != "auto":
        return cast(Balance, asked)
    present = [count for count in counts if count]
    return "weights" if present and max(present) >= UNEQUAL * min(present) else "none"


def usual_batch(examples: int, *, steps: int = STEPS) -> int:
    """Halve a batch of 32, down to 8, until an epoch of so many training images has enough steps."""
    size = 32
    while size > 8 and examples < steps * size:
        size //= 2
    return size


def usual_rate(batch: int, *, sgd: bool, transfer: bool) -> float:
    """Return the highest learning rate; SGD's grows with the batch (Goyal et al., 2017)."""
    if sgd:
        return (0.02 if transfer else 0.1) * batch / 32
    return 0.002
