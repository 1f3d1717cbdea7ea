"""The parameter names other projects use, and ours for them.

Sources: torchvision/models/{mobilenetv2,squeezenet}.py; timm/models/{efficientnet,_efficientnet_builder}.py.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar

from pocketvision.errors import WeightsError

Layout = Literal["torchvision", "timm"]
T = TypeVar("T")
_COUNTER = "num_batches_tracked"
_TIMM_V1_STAGES = (1, 2, 2, 6, 2)
"""Separable blocks in each of timm's stages of MobileNet V1."""


def recognise_layout(keys: Iterable[str], file: str) -> tuple[str, Layout]:
    """Tell which net, in whose names, a state dict is; `WeightsError` lists what is known."""
    names = set(keys)
    if {"conv_stem.weight", "blocks.0.0.conv_dw.weight"} <= names:
        return ("mobilenet_v2" if "conv_head.weight" in names else "mobilenet_v1"), "timm"
    if "features.1.conv.0.0.weight" in names:
        return "mobilenet_v2", "torchvision"
    if "features.3.squeeze.weight" in names:
        return "squeezenet1_1", "torchvision"
    raise WeightsError(
        f"{file} holds no known layout. Known: our own .safetensors files, torchvision's mobilenet_v2 and "
        f"squeezenet1_1, timm's mobilenetv1_100 and mobilenetv2_*. Its first names: {', '.join(sorted(names)[:5])}"
    )


def rename(tensors: Mapping[str, T], file: str) -> tuple[str, Layout, dict[str, T]]:
    """Return the net's name, the layout and the tensors under our names, batch norm counters left out.

    Every name must be known: a left-over one is a `WeightsError` with its name.
    """
    name, layout = recognise_layout(tensors, file)
    modules = module_names(name, layout)
    renamed: dict[str, T] = {}
    unknown: list[str] = []
    for key, value in tensors.items():
        module, _, last = key.rpartition(".")
        if module not in modules:
            unknown.append(key)
        elif last != _COUNTER:
            renamed[f"{modules[module]}.{last}"] = value
    if unknown:
        raise WeightsError(
            f"{file} looks like {layout}'s {name}, but has {len(unknown)} names that it has not: "
            f"{', '.join(sorted(unknown)[:5])}"
        )
    return name, layout, renamed


def module_names(name: str, layout: Layout) -> dict[str, str]:
    """Return a layout's module names with ours for them, one net long."""
    if layout == "timm":
        return _timm_v1() if name == "mobilenet_v1" else _timm_v2()
    return _torchvision_v2() if name == "mobilenet_v2" else _torchvision_squeezenet()


def _torchvision_v2() -> dict[str, str]:
    names = {f"features.{i}.{j}": f"features.{i}.{j}" for i in (0, 18) for j in (0, 1)}
    for block in range(1, 18):
        last = 1 if block == 1 else 2
        for layer in range(last):
            for part in (0, 1):
                names[f"features.{block}.conv.{layer}.{part}"] = f"features.{block}.layers.{layer}.{part}"
        # The projection and its norm lie flat, not in a sequence of their own.
        names[f"features.{block}.conv.{last}"] = f"features.{block}.layers.{last}.0"
        names[f"features.{block}.conv.{last + 1}"] = f"features.{block}.layers.{last}.1"
    return {**names, "classifier.1": "classifier.1"}


def _torchvision_squeezenet() -> dict[str, str]:
    fires = [
        f"features.{i}.{part}" for i in (3, 4, 6, 7, 9, 10, 11, 12) for part in ("squeeze", "expand1x1", "expand3x3")
    ]
    return {name: name for name in ("features.0", *fires, "classifier.1")}


def _timm_v1() -> dict[str, str]:
    names = {"conv_stem": "features.0.0", "bn1": "features.0.1", "classifier": "classifier.1"}
    blocks = [f"blocks.{stage}.{i}" for stage, count in enumerate(_TIMM_V1_STAGES) for i in range(count)]
    for number, block in enumerate(blocks):
        ours = [f"features.{1 + 2 * number + layer}.{part}" for layer in (0, 1) for part in (0, 1)]
        names |= _paired(block, ("conv_dw", "bn1", "conv_pw", "bn2"), ours)
    return names


def _timm_v2() -> dict[str, str]:
    from pocketvision.models.mobilenet_v2 import TABLE_2

    names = {"conv_stem": "features.0.0", "bn1": "features.0.1", "classifier": "classifier.1"}
    names |= {"conv_head": "features.18.0", "bn2": "features.18.1"}
    number = 0
    for stage, row in enumerate(row for row in TABLE_2 if row.operator == "bottleneck"):
        parts: tuple[str, ...] = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
        if row.t == 1:
            parts = ("conv_dw", "bn1", "conv_pw", "bn2")
        for i in range(row.n):
            number += 1
            ours = [f"features.{number}.layers.{layer}.{part}" for layer in range(len(parts) // 2) for part in (0, 1)]
            names |= _paired(f"blocks.{stage}.{i}", parts, ours)
    return names


def _paired(block: str, parts: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    return {f"{block}.{part}": name for part, name in zip(parts, ours, strict=True)}
