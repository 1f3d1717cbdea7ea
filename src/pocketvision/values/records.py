"""Records to JSON and back."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")

UNSAID = {"unsaid": True}
"""Metadata of a field that is not written where it holds its default: files from before it are as they would be now."""


def to_line(value: Any) -> str:
    """Write a record as one line of JSON, as files carry their manifest."""
    return json.dumps(to_json(value), ensure_ascii=False, separators=(",", ":"))


def to_json(value: Any) -> Any:
    """Turn records, tuples, paths and numpy scalars into what `json` can write."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        said = (item for item in dataclasses.fields(value) if not _unsaid(item, getattr(value, item.name)))
        return {item.name: to_json(getattr(value, item.name)) for item in said}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value.item() if hasattr(value, "item") else value


def _unsaid(item: "dataclasses.Field[Any]", value: object) -> bool:
    if not item.metadata.get("unsaid"):
        return False
    factory = item.default_factory
    return bool(value == (item.default if factory is dataclasses.MISSING else factory()))


def from_json(kind: type[R], value: Any) -> R:
    """Rebuild a record written by `to_json`; an unknown or absent field, or one of another type, is a TypeError."""
    return typing.cast(R, _restore(kind, value, ""))


def _restore(kind: Any, value: Any, place: str) -> Any:
    """Return a value as what the annotation says; `place` names it in errors, such as `image.resolution`."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        items = _a(dict, value, place).items()
        return kind(**{key: _restore(hints.get(key, Any), item, f"{place}.{key}") for key, item in items})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _one_of(arguments, value, place)
    if origin is typing.Literal and value not in arguments:
        raise TypeError(f"{place[1:]} is {value!r}; known are {', '.join(map(repr, arguments))}")
    if origin is tuple:
        return _restored_tuple(arguments, _a(list, value, place), place)
    if origin is dict:
        return {key: _restore(arguments[1], item, f"{place}.{key}") for key, item in _a(dict, value, place).items()}
    return _a(kind, value, place) if kind in (bool, int, float, str) else value


def _one_of(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    """Restore as the first kind that the value is of."""
    if value is None and types.NoneType in kinds:
        return None
    *others, last = (kind for kind in kinds if kind is not types.NoneType)
    for kind in others:
        try:
            return _restore(kind, value, place)
        except TypeError:
            continue
    return _restore(last, value, place)


def _restored_tuple(kinds: tuple[Any, ...], values: list[Any], place: str) -> tuple[Any, ...]:
    if kinds[-1] is not Ellipsis and len(values) != len(kinds):
        raise TypeError(f"{place[1:]} is {values!r}, not {len(kinds)} values")
    return tuple(_restore(kinds[0], item, place) for item in values)


def _a(kind: type[T], value: Any, place: str) -> T:
    """Return the value if it is of the kind; a whole number is a float too, but no truth value is a number."""
    fits = isinstance(value, int | float if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{place[1:] or 'the record'} is {value!r}, no {kind.__name__}")
    return typing.cast(T, value)
