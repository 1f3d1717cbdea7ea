"""The verb `verify`."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, Protocol, cast, overload

from pocketvision.budget.limits import budget_of
from pocketvision.clock import Clock, seconds
from pocketvision.errors import UsageError
from pocketvision.files import claim, read_json, write_json
from pocketvision.runs import RunFolder
from pocketvision.settings.option import as_verb
from pocketvision.settings.verbs import VerifyOptions
from pocketvision.values import Proof
from pocketvision.verify.compare import FileComparison, compare_files
from pocketvision.verify.verify import prove_with_answers

Files = list[str] | list[Path]
P = ParamSpec("P")


class _Verify(Protocol[P]):
    """One file gives its proof, a list of files all of theirs and what they say of each other."""

    @overload
    def __call__(self, file: str | Path, *args: P.args, **kwargs: P.kwargs) -> Proof: ...

    @overload
    def __call__(self, file: Files, *args: P.args, **kwargs: P.kwargs) -> FileComparison: ...


def _verb(settings: Callable[P, VerifyOptions]) -> Callable[[Callable[..., Proof | FileComparison]], _Verify[P]]:
    def decorate(function: Callable[..., Proof | FileComparison]) -> _Verify[P]:
        def call(file: str | Path | Files, *args: P.args, **kwargs: P.kwargs) -> Proof | FileComparison:
            return function(file, settings(*args, **kwargs))

        as_verb(call, function, settings)
        return cast(_Verify[P], call)

    return decorate


@_verb(VerifyOptions)
def verify(file: str | Path | Files, options: VerifyOptions) -> Proof | FileComparison:
    """Prove a delivered file: its answers on real images from their bytes on, its speed, its size.

    A list of files gives `FileComparison`: each in its own runtime, with load time and memory, its answers to odd
    images (turned, grey, CMYK, truncated, ...), and each against the others; then `data` may be left out, and the
    files are held against their own probes. Judged are the images given, but for those that the file's run trained or
    chose on, told by content and label; with `split`, those that the run had in it. The proof's `judged` counts them.
    `trained` is an .npz with the arrays `files` and `probabilities` of the trained net on the same images; by default
    `trained_outputs.npz` beside the file. Limits are numbers or text such as '2MB' and '10ms'; MACs, parameters and
    memory are read from `cost.json` beside the file. `output` is a folder that gets `verify.json`. With `time_limit`,
    such as '20s', fewer images are asked again under other resizers; all else is judged in full. Returns wrong
    answers and broken limits in the proof; `raise_for` turns them into errors.
    """
    budget, data = budget_of(options), options.data
    prove = partial(
        prove_with_answers,
        budget=budget,
        split=options.split,
        trained=None if options.trained is None else Path(options.trained),
        clock=Clock(seconds(options.time_limit)),
        progress=options.progress,
    )
    found: Proof | FileComparison
    if not isinstance(file, str | Path):
        if data is None and not budget.empty:
            raise UsageError("limits are judged on images: give the data too")
        judge = None if data is None else partial(prove, data=data)
        found = compare_files([Path(one) for one in file], judge, progress=options.progress)
    elif data is None:
        raise UsageError("give the images to judge the file by, or the file in a list to hold it against its probes")
    else:
        found, _ = prove(Path(file), data)
    if options.output is not None:
        proof = RunFolder(Path(options.output)).proof.path
        _claim(proof)
        write_json(proof, found)
    return found


def _claim(proof: Path) -> None:
    """Make ready to write the proof; RunExists where the user has a file of another kind under its name."""
    for kind in (Proof, FileComparison):
        with suppress(OSError, ValueError, TypeError, AttributeError):
            read_json(kind, proof)
            claim(proof.parent)
            return
    claim(proof.parent, proof.name)
