"""How the result of `distill` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.verbs.distill import DistillResult


def show(result: "DistillResult") -> None:
    """Print where the weights are and how good they are, beside the teachers."""
    from pocketvision.cli.terminal import macro_words

    print(f"\n{result.weights}")
    print(f"  net         {result.trained.spec}, started {result.trained.start}, {result.trained.epochs} epochs")
    print(f"  validation  {result.trained.validation}{macro_words(result.trained.validation.macro)}")
    for teacher in result.teachers:
        print(f"  teacher     {teacher.spec}: {teacher.validation}")
    print(f"  next        pocketvision export {result.run}")
