"""The verb `verify`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pocketvision.cli import options as o


def verify(  # noqa: PLR0913, PLR0917  a command's options
    file: Annotated[Path, typer.Argument(help="A delivered file.")],
    data: o.Data,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Pictures to judge by.")] = "test",
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
        str | None, typer.Option(help="Such as 20s: fewer pictures are asked again under other resizers.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder that gets verify.json.")] = None,
    json: o.Json = False,
) -> None:
    """Prove a file on real pictures, from their bytes to label names, and against a budget."""
    import pocketvision
    from pocketvision.budget.parse import bytes_text
    from pocketvision.cli.terminal import Terminal, emit
    from pocketvision.verify.outcome import confidence_line, raise_for, refusal_line, verdict_lines

    arguments = {key: value for key, value in locals().items() if key in (pocketvision.verify.__kwdefaults__ or {})}
    proof = pocketvision.verify(file, data, **arguments, progress=Terminal())
    if json:
        emit(proof)
    else:
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
    raise_for(proof)
