"""Where training runs: `accelerate` knows the devices, this says how the user asks for one."""

from typing import TYPE_CHECKING

import torch

from pocketvision.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from accelerate import Accelerator

DEVICES = ("auto", "cpu", "cuda", "mps")


def accelerator(device: str = "auto") -> "Accelerator":
    """Return the accelerator for `auto`, `cpu`, `cuda` or `mps`; raises UsageError where the device is absent."""
    if device not in DEVICES:
        raise UnknownName("device", device, DEVICES)
    here = {"cpu": True, "auto": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here[device]:
        raise UsageError(f"--device {device}: this machine, or this build of PyTorch, has none; use --device auto")
    from accelerate import Accelerator

    return Accelerator(cpu=device == "cpu")
