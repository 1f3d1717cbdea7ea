"""Records to JSON and back."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")


def to_json(value: Any) -> Any:
    """Turn records, tuples, paths and numpy scalars into what `json` can write."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value.item() if hasattr(value, "item") else value


def from_json(kind: type[R], value: Any) -> R:
    """Rebuild a record written by `to_json`; an unknown or missing field is a `TypeError`."""
    return typing.cast(R, _restore(kind, value))


def _restore(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{key: _restore(hints.get(key, Any), item) for key, item in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _restore(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        return tuple(_restore(arguments[0], item) for item in value)
    if origin is dict:
        return {key: _restore(arguments[1], item) for key, item in value.items()}
    return value
