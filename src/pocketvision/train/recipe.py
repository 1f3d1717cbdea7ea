"""How a net is trained: the settings, and the defaults for transfer and for training from scratch."""

from dataclasses import dataclass
from typing import Literal

from pocketvision.errors import UsageError

Optimizer = Literal["adamw", "sgd"]
OPTIMIZERS = ("adamw", "sgd")


@dataclass(frozen=True)
class Recipe:
    """Settings of one training."""

    epochs: int
    head_epochs: int
    """Epochs of the head alone on features computed once; 0 from scratch."""
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    optimizer: Optimizer
    weight_decay: float
    warmup_epochs: float
    label_smoothing: float
    patience: int
    """Epochs without a better validation result after which training stops."""
    flip: bool
    seed: int


def recipe_for(  # noqa: PLR0913  each is an option of the command line
    *,
    transfer: bool,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    optimizer: str = "adamw",
    patience: int | None = None,
    flip: bool = True,
    seed: int = 42,
) -> Recipe:
    """Fill in the defaults; docs/training.md gives the measurement behind each. Raises UsageError."""
    if optimizer not in OPTIMIZERS:
        raise UsageError(f"--optimizer '{optimizer}' is not known; use one of {', '.join(OPTIMIZERS)}")
    for name, value in (("epochs", epochs), ("batch-size", batch_size), ("lr", learning_rate), ("patience", patience)):
        if value is not None and value <= 0:
            raise UsageError(f"--{name} must be more than zero, not {value}")
    base = learning_rate or (0.001 if optimizer == "adamw" else 0.02) * (1 if transfer else 3)
    total = epochs or (15 if transfer else 60)
    return Recipe(
        epochs=total,
        head_epochs=20 if transfer else 0,
        batch_size=batch_size or (32 if transfer else 64),
        learning_rate=base,
        head_learning_rate=0.003,
        optimizer="adamw" if optimizer == "adamw" else "sgd",
        weight_decay=0.02 if optimizer == "adamw" else 4e-5,
        warmup_epochs=min(2.0, total / 5),
        label_smoothing=0.1,
        patience=patience or max(8, total // 2),
        flip=flip,
        seed=seed,
    )
