"""The entry point of ``toolkit``: which commands there are, and how errors reach the user.

A command's module is imported when that command is called, so ``toolkit --help`` imports no NumPy, no
pydantic and no framework.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from charkit.errors import CharkitError, nearest

#: Each command's module in this package is named like it, and has a function ``command`` and ``EXAMPLES``.
COMMANDS = {
    "train": "Train a new run, or go on with one.",
    "evaluate": "Score a run on a split of its text, or on any text.",
    "sample": "Draw text from a run.",
    "backends": "List the backends: usable or not, and why.",
    "verify": "Check a backend against the conformance kit.",
}
_ABOUT = (
    "Train, evaluate and sample character-level LSTM language models, with the same numbers on every "
    "numerical framework."
)
_START = "Start with: toolkit train    then: toolkit sample"


def main() -> None:
    """Runs the command line and ends the process with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit status."""
    debug = "--debug" in arguments[:1]
    try:
        status = _app(arguments)(args=list(arguments) or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except (CharkitError, typer.TyperException) as error:
        if debug:
            raise
        _say_error(error, arguments)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status if isinstance(status, int) else 0


def _app(arguments: Sequence[str]) -> typer.Typer:
    """The application, with the real command for the one that is called and only words for the others."""
    app = typer.Typer(
        name="toolkit", help=_ABOUT, epilog=_START, add_completion=False, rich_markup_mode="rich"
    )
    app.callback()(_global_options)
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in COMMANDS.items():
        if name == called:
            module = import_module(f"charkit_cli.{name}")
            epilog = "\n\n".join(("Examples:", *module.EXAMPLES))
            app.command(name, help=summary, epilog=epilog)(module.command)
        else:
            app.command(name, help=summary)(_words_only(name))
    return app


def _words_only(name: str) -> Callable[[], None]:
    def command() -> None:
        raise AssertionError(f"{name} was listed, not called")

    return command


def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(f"charkit {version_of('charkit')}")
        raise typer.Exit


def _say_error(error: CharkitError | typer.TyperException, arguments: Sequence[str]) -> None:
    if isinstance(error, typer.TyperException):
        message = " ".join(error.format_message().split()).rstrip(".")
        called = next((argument for argument in arguments if not argument.startswith("-")), "")
        if called not in COMMANDS and called:
            message += f"{nearest(called, COMMANDS)}; commands are {', '.join(COMMANDS)}"
        else:
            message += f"; see toolkit {called} --help" if called else "; see toolkit --help"
        message = message[:1].lower() + message[1:]
    else:
        message = " ".join(str(error).split())
    print(f"error: {message}", file=sys.stderr)
