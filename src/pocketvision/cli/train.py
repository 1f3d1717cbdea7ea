"""How the result of `train` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.verbs.train import TrainResult


def show(result: "TrainResult") -> None:
    """Print where the weights are and how good they are."""
    from pocketvision.cli.terminal import macro_words
    from pocketvision.files import first_process

    if not first_process():
        return
    print(f"\n{result.weights}")
    print(f"  net         {result.trained.spec}, started {result.trained.start}, {result.trained.epochs} epochs")
    print(f"  validation  {result.trained.validation}{macro_words(result.trained.validation.macro)}")
    print(f"  next        pocketvision export {result.run}")
