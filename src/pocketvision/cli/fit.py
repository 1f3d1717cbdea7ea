"""How the result of `fit` is shown."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.values import Choice, Summary


def show(result: "Summary") -> None:
    """Print what was made and whether it keeps the budget."""
    _tell(result)


def _tell(summary: "Summary") -> None:
    from pocketvision.cli.terminal import macro_words, metric_words
    from pocketvision.runs import RunFolder
    from pocketvision.verify.outcome import verdict_line
    from pocketvision.words import bytes_text

    low, high = summary.interval
    macro = macro_words(summary.test_macro)
    print(f"\n{summary.artefact}")
    print(f"  net       {summary.model}, {summary.precision}")
    if considered := _considered(RunFolder(Path(summary.run)).choice.read()):
        print(f"  chosen    {considered}")
    name, more = metric_words(summary.metric)
    print(
        f"  {name:<8}  {more}{summary.test_accuracy:.1%} on test images (95% interval {low:.1%} to {high:.1%}){macro}"
    )
    print(f"  size      {bytes_text(summary.size_bytes)}")
    print(f"  latency   {summary.latency_ms:.2f} ms an image, median, 1 thread")
    for verdict in summary.verdicts:
        print(f"  {verdict_line(verdict)}")
    for one in summary.further:
        print(f"  also      {one.file}, {bytes_text(one.size_bytes)}, {one.latency_ms:.2f} ms")
        for verdict in one.verdicts:
            print(f"            {verdict_line(verdict)}")
    print(f"  report    {summary.report}")


def _considered(choice: "Choice") -> str:
    """Say how many settings were considered and trained; nothing of runs that did not count them."""
    if not choice.considered:
        return ""
    tried = sum(one.tried is not None for one in choice.candidates)
    whole = max(1, sum(one.validation is not None for one in choice.candidates))
    few = f", {tried} trained for a few epochs" if tried else ""
    return f"of {choice.considered:,} settings, {choice.kept:,} within the budget{few}, {whole} to the end"
