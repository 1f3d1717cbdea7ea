"""The verb `verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pocketvision.cli import options as o

if TYPE_CHECKING:
    from pocketvision.values import Proof
    from pocketvision.verify.compare import ComparedFile, FileComparison


def verify(  # noqa: PLR0913, PLR0917  a command's options
    file: Annotated[
        # Optional for the parser alone, which would take the last word for the images.
        list[Path],
        typer.Argument(default_factory=list, help="A delivered file, or several to hold against each other."),
    ],
    data: Annotated[
        str | None, typer.Argument(help="Images to judge by; without them, files answer to their own probes.")
    ] = None,
    split: Annotated[
        Literal["train", "val", "test"] | None,
        typer.Option(help="Only what the run had in this split; by default all but what it trained or chose on."),
    ] = None,
    trained: Annotated[
        Path | None, typer.Option(help="The trained net's outputs (.npz); by default those beside the file.")
    ] = None,
    max_size: o.MaxSize = None,
    max_latency: o.MaxLatency = None,
    max_macs: o.MaxMacs = None,
    max_memory: o.MaxMemory = None,
    max_params: o.MaxParams = None,
    min_accuracy: o.MinAccuracy = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Such as 20s: fewer images are asked again under other resizers.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder that gets verify.json.")] = None,
    json: o.Json = False,
) -> None:
    """Prove files on real images, from their bytes to label names, against a budget and against each other."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit
    from pocketvision.runtime import RUNTIMES
    from pocketvision.verify.outcome import raise_for, raise_for_all

    arguments = {key: value for key, value in locals().items() if key in (pocketvision.verify.__kwdefaults__ or {})}
    files = list(file)
    # The last word is the images, unless it is one more file.
    if data is not None and Path(data).suffix.lower() in RUNTIMES:
        files, data = [*files, Path(data)], None
    if len(files) == 1 and data is not None:
        proof = pocketvision.verify(files[0], data, **arguments, progress=Terminal())
        emit(proof) if json else _tell(proof)
        raise_for(proof)
        return
    compared = pocketvision.verify(files, data, **arguments, progress=Terminal())
    emit(compared) if json else _compare(compared)
    raise_for_all(compared)


def _tell(proof: "Proof") -> None:
    from pocketvision.verify.outcome import confidence_line, judged_words, refusal_line, verdict_lines
    from pocketvision.words import bytes_text

    if proof.judged:
        print(f"judging {judged_words(proof.judged)}")
    print(f"{proof.file}: {bytes_text(proof.size_bytes)}")
    print(f"  accuracy   {proof.accuracy}")
    if proof.agreement:
        same, gap = proof.agreement.same_answer, proof.agreement.largest_gap
        print(f"  agreement  {same:.1%} the same answer as the trained net, largest probability gap {gap:.2g}")
    if proof.confidence:
        print(f"  trust      {confidence_line(proof.confidence)}")
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
        "accuracy",
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
