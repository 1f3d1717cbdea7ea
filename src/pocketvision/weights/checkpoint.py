"""Reads PyTorch checkpoints of every age as arrays; what is no plain data in them is refused, never run."""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.weights.old_checkpoint import read_old_checkpoint

Array = NDArray[Any]
_NESTS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema", "ema", "net", "network", "weights")
"""Under which training scripts keep the state dict, the likeliest first."""
_PREFIXES = ("module.", "_orig_mod.", "model.")
"""What data-parallel wrappers, the compiler and training frameworks put before every name."""
_DEEPEST = 4


def read_checkpoint(path: Path) -> dict[str, Array]:
    """Return the state dict in a checkpoint, unwrapped; `WeightsError` if it is damaged or holds more than data."""
    return unwrapped(read_old_checkpoint(path) if _is_old(path) else _loaded(path), path.name)


def _is_old(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False


def _loaded(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch promises no particular one for damaged or forbidden content
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise WeightsError(f"{path.name} is damaged, or holds more than plain tensors: {reason}") from error


def unwrapped(content: Any, file: str) -> dict[str, Array]:
    """Find the state dict in what a training script saved, and take wrappers' prefixes off its names."""
    for _ in range(_DEEPEST):
        nest = next(
            (key for key in _NESTS if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)), ""
        )
        if not nest:
            break
        content = content[nest]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(hasattr(value, "shape") for value in content.values())
    ):
        kind = (
            f"a dict with {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else type(content)
        )
        raise WeightsError(
            f"{file} is not a state dict of tensors, nor a dict with one under {', '.join(_NESTS)}: it is {kind}"
        )
    state = {str(key): _array(value) for key, value in content.items()}
    while prefix := next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)), ""):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _array(value: Any) -> Array:
    return value.detach().float().numpy() if hasattr(value, "detach") else value  # type: ignore[no-any-return]
