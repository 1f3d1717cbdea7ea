"""The application: its verbs in the order of a project's life, and what happens to errors."""

import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any

import typer

from pocketvision.cli.command import command
from pocketvision.errors import PocketvisionError, UsageError
from pocketvision.files import several_processes

VERBS = (
    "fit",
    "check",
    "probe",
    "models",
    "cost",
    "reproduce",
    "train",
    "distill",
    "compress",
    "export",
    "verify",
    "bench",
    "predict",
    "report",
    "demo",
)
GROUPS = ("weights", "latency")
"""Words that stand before verbs of their own, which are public functions of the room of that name."""
INTERRUPTED, STOPPED = 130, 143
_STOPS: list[int] = []
"""Signals by which the system asked this process to end."""


def application() -> typer.Typer:
    """Build the application out of the verbs' files."""
    app = typer.Typer(
        name="pocketvision",
        help="Small vision models, from photos to phone: a folder of images and a budget in, a proven file out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for verb in VERBS:
        app.command(verb, no_args_is_help=verb != "models")(command(verb))
    for word in GROUPS:
        app.add_typer(_group(word), name=word)

    @app.callback(invoke_without_command=True)
    def options(
        context: typer.Context,
        version: bool = typer.Option(False, "--version", help="Print the version and stop."),
    ) -> None:
        if version:
            import pocketvision

            typer.echo(pocketvision.__version__)
            raise typer.Exit
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return app


def _group(word: str) -> typer.Typer:
    module = importlib.import_module(f"pocketvision.cli.{word}")
    group = typer.Typer(help=module.HELP, no_args_is_help=True)
    for verb in module.VERBS:
        group.command(verb)(command(verb, word))
    return group


def heed_stop() -> None:
    """End as with Ctrl-C, children too, where the system asks for it (SIGTERM); at once where it asks again."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    _STOPS.append(number)
    raise KeyboardInterrupt


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Errors meant for users are told in words, without a trace."""
    if several_processes() and list(arguments[:1]) != ["train"]:
        return _told("only `train` runs in several processes; run the other verbs in one", UsageError.exit_code)
    if any(not word or re.fullmatch(r"--[a-z-]+=", word) for word in arguments):
        return _told(
            "an empty word was given, as a variable without a value gives; leave it away", UsageError.exit_code
        )
    try:
        os.getcwd()  # where this folder is gone, libraries end the process without a word of ours
        result = application()(list(arguments), standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except PocketvisionError as error:
        return _told(str(error), error.exit_code)
    except OSError as error:
        from pocketvision.cli.trouble import sentence

        return _told(sentence(error, arguments, _options(arguments)), 1)
    except Exception as error:
        # Wrong usage: typer brings its own copy of click, whose exceptions it does not export.
        if not (callable(getattr(error, "show", None)) and isinstance(getattr(error, "exit_code", None), int)):
            raise
        error.show()  # type: ignore[attr-defined]
        return int(error.exit_code)  # type: ignore[attr-defined]
    # typer turns Ctrl-C into this code by itself.
    return _interrupted() if result == INTERRUPTED else 0


def _options(arguments: Sequence[str]) -> set[str]:
    """Return the options of the verb that was called."""
    found: Any = typer.main.get_command(application())
    for word in arguments:
        if not hasattr(found, "commands") or word not in found.commands:
            break
        found = found.commands[word]
    return {option for parameter in found.params for option in parameter.opts}


def _interrupted() -> int:
    word, code = ("stopped by the system", STOPPED) if _STOPS else ("interrupted", INTERRUPTED)
    return _told(f"{word}; {_again()}", code)


def _again() -> str:
    """Say how to go on: only a run that was begun can be resumed."""
    from pocketvision.runs import begun

    if run := begun():
        return f"what was done is kept in {run}: run the same command with --resume to go on"
    return "no file was left half-written: run the same command again"


def _told(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr)
    return code
