"""Commands made of the records of options: names, types, defaults and help stand there alone."""

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from pocketvision.errors import PocketvisionError, UnknownName, UsageError
from pocketvision.settings import verbs
from pocketvision.settings.option import Option, options

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout, and nothing else.")]
HOMES = {"latency": "verbs.latency"}
"""Where the verbs behind a word are, if not in the package of its name: they use packages above that one."""
CONFIG_HELP = "YAML file of options by name, such as a run's args.yaml; those on the command line win."


def settings_of(verb: str, group: str = "") -> type[Any]:
    """Return the record that holds the options of a verb, or of one behind a word, such as `weights get`."""
    found: type[Any] = getattr(verbs, f"{group.title()}{verb.title()}Options")
    return found


def command(verb: str, group: str = "") -> Callable[..., None]:
    """Return a verb as a function that typer turns into a command: it calls the verb and shows what it returns.

    `cli/<verb>.py` shows results: `show(result)` or `show(result, given)`; keyword-only parameters are options of its
    own. Where it has `call(given)`, that calls the verb, `jsonable(result)` says the result for JSON, and
    `after(result)` comes last.
    """
    settings = settings_of(verb, group)
    module = importlib.import_module(f"pocketvision.cli.{group or verb}")
    print_result = getattr(module, f"show_{verb}" if group else "show")
    call = getattr(module, "call", None)
    wants_given = "given" in inspect.signature(print_result).parameters

    def run(**given: Any) -> None:
        given.pop("config")
        silent = given.pop("json")
        view = {name: given.pop(name) for name in _own(print_result)}
        more = {name: given.pop(name) for name in _own(call)}

        def show(result: Any) -> None:
            if silent:
                _as_json(getattr(module, "jsonable", _same)(result))
            else:
                print_result(result, *[given] * wants_given, **view)

        try:
            result = call(given, **more) if call else _call(verb, group, given)
        except PocketvisionError as error:
            if error.result is not None:
                show(error.result)
            raise
        show(result)
        if hasattr(module, "after"):
            module.after(result)

    taken = [*_own(call).values(), *_parameters(settings), *_own(print_result).values(), *_SHOWN]
    run.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in run.__signature__.parameters.values()}  # type: ignore[attr-defined]
    run.__doc__ = settings.__doc__
    run.__name__ = verb
    return run


def _call(verb: str, group: str, arguments: Mapping[str, Any]) -> Any:
    from pocketvision.cli.terminal import Terminal

    home = importlib.import_module(f"pocketvision.{HOMES.get(group, group)}" if group else "pocketvision")
    return getattr(home, verb)(**arguments, progress=Terminal())


def _as_json(result: Any) -> None:
    from pocketvision.cli.terminal import emit
    from pocketvision.files import first_process

    if first_process():
        emit(result)


def _same(result: Any) -> Any:
    return result


def _own(function: Callable[..., Any] | None) -> dict[str, inspect.Parameter]:
    """Return the options that a function of `cli/<verb>.py` adds: its keyword-only parameters."""
    taken = (
        inspect.signature(
            function,
        ).parameters
        if function
        else {}
    )
    return {name: parameter for name, parameter in taken.items() if parameter.kind is parameter.KEYWORD_ONLY}


def _parameters(settings: type[Any]) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(settings)
    defaults = {field.name: field.default for field in fields(settings)}
    return [_parameter(name, said, hints[name], defaults[name]) for name, said in options(settings)]


def _parameter(name: str, said: Option, hint: Any, default: Any) -> inspect.Parameter:
    kind = said.shell or hint
    if default is None and type(None) not in typing.get_args(kind):
        kind = kind | None
    if isinstance(default, str) and said.shell is Path:
        default = Path(default)
    flags = said.flags or ((f"--{name.replace('_', '-')}",) if kind is not bool and kind != bool | None else ())
    if said.argument:
        shown = typer.Argument(help=said.help, metavar=said.metavar)
    else:
        shown = typer.Option(*flags, help=said.help, rich_help_panel=said.group or None)
    return _keyword(name, Annotated[kind, shown], inspect.Parameter.empty if default is MISSING else default)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Let a file's values be the defaults of the command's options."""
    if path is None:
        return None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path} cannot be read as YAML: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"--config {path} holds no options; write one a line, such as `epochs: 10`")
    known = [parameter.name for parameter in context.command.params if parameter.name]
    values = {str(key).replace("-", "_"): value for key, value in found.items()}
    values.pop("command", None)  # what a run's args.yaml says beside its options
    for name in values:
        if name not in known:
            raise UnknownName("option", name, known)
    context.default_map = {name: value for name, value in values.items() if value is not None}
    return path


_CONFIG = Annotated[Path | None, typer.Option("--config", help=CONFIG_HELP, callback=_read_config, is_eager=True)]
_SHOWN = (_keyword("config", _CONFIG, None), _keyword("json", JSON, False))
