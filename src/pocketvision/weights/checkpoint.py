"""Reads PyTorch checkpoints of every age as arrays; what is no plain data in them is passed over or refused, never
run."""

import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.weights.old_checkpoint import read_old_checkpoint
from pocketvision.weights.words import Words, words_of

Array = NDArray[Any]
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""Under which training scripts keep the average of the weights over the last steps, which they evaluate."""
_LAST = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
"""Under which they keep those of the last step, the likeliest first."""
_NESTS = (*_AVERAGED, *_LAST)
"""As timm does, the average is taken where there are both."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "timm_model.", "net.")
"""What data-parallel wrappers, the compiler and training frameworks put before every name."""
_COUNTS = ("n_averaged", "total_ops", "total_params")
"""Last parts of names that hold no weights: of torch's average, and of tools that count a net's operations."""
_DEEPEST = 4
_MOST_CLASSES = 100
_SAVE = "save the net's state_dict() with torch.save, and give that file"


class WeightsCheckpoint(NamedTuple):
    """What a checkpoint holds."""

    state: dict[str, Array]
    words: Words
    remarks: tuple[str, ...] = ()
    """What a reader should know of how it was read."""


class StandIn:
    """Stands in a checkpoint for an object of any Python class, and does nothing; only attributes are kept, as data."""

    called = ""
    held: Mapping[str, Any] = {}

    def __init__(self, *_: object) -> None:
        """Take what the class would have been built from, and keep nothing of it."""

    def __setstate__(self, state: object) -> None:
        self.held = state if isinstance(state, dict) else {}


def read_checkpoint(path: Path) -> WeightsCheckpoint:
    """Return the state dict in a checkpoint, unwrapped; `WeightsError` if it is damaged or holds more than data."""
    return unwrapped(read_old_checkpoint(path) if _is_old(path) else _loaded(path), path.name)


def _is_old(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False


def _loaded(path: Path) -> Any:
    """Read with torch's own reader of plain data; each class that it does not know gets a stand-in."""
    import torch

    stand_ins: dict[str, Any] = {}
    while True:
        try:
            with torch.serialization.safe_globals([(kind, name) for name, kind in stand_ins.items()]):
                return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch promises no particular one for damaged or forbidden content
            asked = re.search(r"Unsupported global: GLOBAL (\S+) was not", str(error))
            name = asked[1] if asked else ""
            # Python's own functions come without their module, and are never stood in for.
            if "." not in name or name in stand_ins or len(stand_ins) == _MOST_CLASSES:
                raise WeightsError(_refused(path.name, str(error) or type(error).__name__, [*stand_ins])) from error
            stand_ins[name] = type("StandIn", (StandIn,), {"called": name})


def _refused(file: str, reason: str, classes: list[str]) -> str:
    """Call a file that torch refuses what it is, in one sentence."""
    if "TorchScript" in reason:
        return f"{file} is a TorchScript archive, a program rather than weights, and is not read; {_SAVE}"
    blocked = re.search(r"(?:GLOBAL|global) (\S+?)(?: was not| whose module)", reason)
    if blocked:
        return f"{file} asks for Python's '{blocked[1]}' to be run, and nothing in a weights file is run here; {_SAVE}"
    if classes:
        return f"{file} holds Python objects of class {', '.join(classes[:5])}, which are not read; {_SAVE}"
    reason = reason.rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0][:200]
    return f"{file} is damaged, or holds more than plain tensors: {reason}"


def unwrapped(content: Any, file: str) -> WeightsCheckpoint:
    """Find the state dict in what a training script saved, and take wrappers' prefixes off its names."""
    words = words_of(content, file)
    remarks: tuple[str, ...] = ()
    for _ in range(_DEEPEST):
        nests = [key for key in _NESTS if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)]
        if not nests:
            break
        if nests[0] in _AVERAGED and nests[1:]:
            remarks = (f"of {file} the average over the last steps is taken ('{nests[0]}'), not '{nests[1]}'",)
        content = content[nests[0]]
    _check_plain(content, file)
    return WeightsCheckpoint(
        without_wrappers({str(key): _array(key, value, file) for key, value in content.items()}), words, remarks
    )


def _check_plain(content: Any, file: str) -> None:
    """Raise WeightsError unless this is a state dict."""
    values = list(content.values()) if isinstance(content, Mapping) else [content]
    if isinstance(content, Mapping) and values and all(hasattr(value, "shape") for value in values):
        return
    if objects := [value.called for value in values if isinstance(value, StandIn)]:
        raise WeightsError(
            f"{file} holds Python objects of class {', '.join(dict.fromkeys(objects))}, which are not read, and no "
            f"state dict of tensors; {_SAVE}"
        )
    kind = f"a dict with {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else type(content)
    raise WeightsError(
        f"{file} is not a state dict of tensors, nor a dict with one under {', '.join((*_LAST, *_AVERAGED))}: "
        f"it is {kind}"
    )


def without_wrappers(state: Mapping[str, Array]) -> dict[str, Array]:
    """Take off what wrappers put before every name, and what is no weight."""
    found = {key: value for key, value in state.items() if key.rpartition(".")[2] not in _COUNTS}
    while prefix := next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in found)), ""):
        if not found:  # of which all is true
            break
        found = {key.removeprefix(prefix): value for key, value in found.items()}
    return found


def _array(key: object, value: Any, file: str) -> Array:
    """Return a tensor's numbers, real ones as float32."""
    if not hasattr(value, "detach"):
        return value  # type: ignore[no-any-return]
    if value.is_quantized or str(value.layout) != "torch.strided" or value.is_meta:
        raise WeightsError(
            f"{file} holds no plain numbers at '{key}', but a quantized, sparse or empty tensor; {_SAVE}"
        )
    plain = value.detach().float() if value.is_floating_point() else value.detach()
    return plain.numpy()  # type: ignore[no-any-return]
