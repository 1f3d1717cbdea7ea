"""One option as one field of a record, and verbs whose keywords are the fields of their record."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

from pocketvision.errors import UnknownName
from pocketvision.progress import Progress, Silent
from pocketvision.values import to_json
from pocketvision.values.ranges import check_ranges

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


class Option(NamedTuple):
    """What is said of a field beside its name, type and default."""

    help: str
    group: str = ""
    """The heading that it stands under in a command's help."""
    flags: tuple[str, ...] = ()
    """Its spellings on the command line, where they are more than its name's."""
    metavar: str | None = None
    shell: Any = None
    """Its type on the command line, where that is not the field's."""
    argument: bool = False
    """Whether it stands without its name."""


def option(
    default: Any,
    help: str,
    *,
    group: str = "",
    flags: tuple[str, ...] = (),
    metavar: str | None = None,
    shell: Any = None,
) -> Any:
    """Declare a field that is an option."""
    said = Option(help, group, flags, metavar, shell)
    return dataclasses.field(default=default, metadata={"option": said})


def argument(help: str, *, metavar: str | None = None, shell: Any = None) -> Mapping[str, Any]:
    """Return the metadata of a field that stands without its name on the command line and in Python."""
    return {"option": Option(help, metavar=metavar, shell=shell, argument=True)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of every record of options: each field is checked when a record is made."""

    progress: Progress = dataclasses.field(default=Silent(), repr=False, compare=False)
    """Who is told how long work goes on; no option, and never stored."""

    def __post_init__(self) -> None:
        """Check every option's value: numbers by their ranges, words by those that there are. Raises UsageError."""
        given = {name: getattr(self, name) for name, _ in options(type(self))}
        check_ranges(given)
        for name, known in _words(type(self)).items():
            if given[name] is not None and given[name] not in known:
                raise UnknownName(name, str(given[name]), known)

    def stored(self) -> dict[str, Any]:
        """Return the options as what JSON and YAML can hold."""
        return {name: to_json(getattr(self, name)) for name, _ in options(type(self))}


def _words(settings: type[Any]) -> dict[str, tuple[str, ...]]:
    """Return the options that take one of a few words, with those."""
    hints = typing.get_type_hints(settings)
    choices = {name: [hints[name], *typing.get_args(hints[name])] for name, _ in options(settings)}
    return {
        name: typing.get_args(kind)
        for name, kinds in choices.items()
        for kind in kinds
        if typing.get_origin(kind) is Literal
    }


def options(settings: type[Any]) -> Iterator[tuple[str, Option]]:
    """Yield the name of every option of a record with what is said of it: arguments first, as the record has them."""
    found = [(field.name, field.metadata["option"]) for field in dataclasses.fields(settings) if field.metadata]
    yield from sorted(found, key=lambda pair: not pair[1].argument)


def verb(settings: Callable[P, S]) -> Callable[[Callable[[S], R]], Callable[P, R]]:
    """Turn a function of one record into one that takes the record's fields as arguments, checked by type checkers.

    An argument that the record does not have is a TypeError, as of any function.
    """

    def decorate(function: Callable[[S], R]) -> Callable[P, R]:
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(settings(*args, **kwargs))

        as_verb(call, function, settings)
        return call

    return decorate


def as_verb(call: Callable[..., Any], function: Callable[..., Any], settings: Callable[..., Any]) -> None:
    """Give `call` the name and words of `function`, and a signature of its own names and the record's fields."""
    own = [value for value in inspect.signature(call).parameters.values() if value.kind is value.POSITIONAL_OR_KEYWORD]
    taken = [*own, *inspect.signature(settings).parameters.values()]
    returned = inspect.signature(function).return_annotation
    functools.update_wrapper(call, function)
    call.__signature__ = inspect.Signature(taken, return_annotation=returned)  # type: ignore[attr-defined]
