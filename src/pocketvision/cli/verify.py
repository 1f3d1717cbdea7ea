"""How the result of `verify` is shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pocketvision.values import Proof
    from pocketvision.verify.compare import ComparedFile, FileComparison


def show(result: "Proof | FileComparison") -> None:
    """Print a proof, or files against each other."""
    from pocketvision.values import Proof

    _tell(result) if isinstance(result, Proof) else _compare(result)


def call(
    given: Mapping[str, Any],
    *,
    file: Annotated[
        # Optional for the parser alone, which would take the last word for the images.
        list[Path],
        typer.Argument(default_factory=list, help="A delivered file, or several to hold against each other."),
    ],
) -> "Proof | FileComparison":
    """Prove one file, or compare several."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal
    from pocketvision.runtime import RUNTIMES

    files, rest = list(file), dict(given)
    # The last word is the images, unless it is one more file.
    if rest["data"] is not None and Path(rest["data"]).suffix.lower() in RUNTIMES:
        files, rest["data"] = [*files, Path(rest["data"])], None
    if len(files) == 1 and rest["data"] is not None:
        return pocketvision.verify(files[0], **rest, progress=Terminal())
    return pocketvision.verify(files, **rest, progress=Terminal())


def after(result: "Proof | FileComparison") -> None:
    """Raise where a file breaks the budget or does not answer as its net."""
    from pocketvision.values import Proof
    from pocketvision.verify.outcome import raise_for, raise_for_all

    raise_for(result) if isinstance(result, Proof) else raise_for_all(result)


def _tell(proof: "Proof") -> None:
    from pocketvision.cli.terminal import metric_words
    from pocketvision.verify.outcome import box_lines, confidence_line, judged_words, refusal_line, verdict_lines
    from pocketvision.words import bytes_text

    if proof.judged:
        print(f"judging {judged_words(proof.judged)}")
    print(f"{proof.file}: {bytes_text(proof.size_bytes)}")
    name, more = metric_words(proof.accuracy.metric)
    print(f"  {name:<9}  {more}{str(proof.accuracy).removeprefix(proof.accuracy.metric).lstrip()}")
    placed = bool(proof.curves)
    for line in box_lines(proof) if placed else ():
        print(f"  {line}")
    if proof.agreement:
        same, gap = proof.agreement.same_answer, proof.agreement.largest_gap
        whose, of = ("of all counts by class", "score") if placed else ("the same answer", "probability")
        print(f"  agreement  {same:.1%} {whose} as the trained net, largest {of} gap {gap:.2g}")
    if proof.confidence:
        print(f"  trust      {confidence_line(proof.confidence)}")
    if not placed:
        print(f"  refusal    {refusal_line(proof.abstain_below, proof.refusal)}")
    time = proof.latency
    print(f"  latency    median {time.median_ms:.2f} ms, p90 {time.p90_ms:.2f} ms, {time.runtime}, 1 thread,")
    print(f"             {time.ratio:.2f} times the reference net's ({time.machine})")
    print("".join(f"  {line}\n" for line in verdict_lines(proof)), end="")


def _compare(compared: "FileComparison") -> None:
    from pocketvision.cli.terminal import table
    from pocketvision.verify.outcome import judged_words, verdict_lines

    scopes = dict.fromkeys(one.proof.judged for one in compared.files if one.proof and one.proof.judged)
    for scope in scopes:
        whose = [one.file for one in compared.files if one.proof and one.proof.judged == scope]
        print(f"judging {judged_words(scope)}" + (f" ({', '.join(whose)})" if len(scopes) > 1 else ""))
    columns = [
        "",
        "file",
        "runtime",
        "bytes",
        next((one.proof.accuracy.metric for one in compared.files if one.proof), "accuracy"),
        "95% interval",
        "as trained",
        "ms",
        "p90",
        "load ms",
        "memory",
    ]
    table(columns, [_row(number, one) for number, one in enumerate(compared.files, 1)])
    numbers = {one.file: number for number, one in enumerate(compared.files, 1)}
    for pair in compared.pairs:
        same, gap, count = pair.agreement.same_answer, pair.agreement.largest_gap, pair.agreement.count
        print(
            f"{numbers[pair.first]} and {numbers[pair.second]}: {same:.1%} the same answer on {count} images, "
            f"largest probability gap {gap:.2g}"
        )
    for one in compared.files:
        if one.robustness:
            _tell_robustness(one)
        if one.unchecked:
            print(f"not checked: {one.file}: {one.unchecked}")
        if one.proof:
            print("".join(f"{one.file}: {line}\n" for line in verdict_lines(one.proof)), end="")


def _tell_robustness(one: "ComparedFile") -> None:
    """Say whether an image stored in other ways is still the same image to the file."""
    same = [stored.kind for stored in one.robustness[1:] if stored.as_plain]
    print(f"{one.file}: one image stored otherwise ({', '.join(same)}) gets the same answer")
    for way in one.robustness:
        if way.as_plain is False:
            print(f"{one.file}: stored as '{way.kind}' it gets another one, {way.label} ({way.probability:.0%})")
        if way.error:
            print(f"{one.file}: '{way.kind}' is refused: {way.error}")


def _row(number: int, one: "ComparedFile") -> list[str]:
    proof, latency, loading = one.proof, one.latency, one.loading
    return [
        str(number),
        one.file,
        one.runtime or "not installed",
        f"{one.size_bytes:,}",
        "-" if proof is None else f"{proof.accuracy.value:.1%}",
        "-" if proof is None else f"{proof.accuracy.low:.1%} to {proof.accuracy.high:.1%}",
        "-" if proof is None or proof.agreement is None else f"{proof.agreement.same_answer:.1%}",
        "-" if latency is None else f"{latency.median_ms:.2f}",
        "-" if latency is None else f"{latency.p90_ms:.2f}",
        "-" if loading is None else f"{loading.load_ms:.1f}",
        "-" if loading is None else f"{loading.peak_bytes / 1e6:.0f} MB",
    ]
