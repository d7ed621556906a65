"""The entry point of ``toolkit``: which commands there are, and how errors reach the user.

A command's module is imported when that command is called, so ``toolkit --help`` imports no NumPy, no
pydantic and no framework.
"""

from __future__ import annotations

import functools
import gc
import logging
import shutil
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from errno import ENOSPC
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any

import typer
from typer.main import get_command

from charkit.errors import CharkitError, ConfigurationError, TerminatedError
from charkit.system.signals import BROKEN_PIPE, HANGUP
from charkit_cli import completion, streams
from charkit_cli.message_translation import options_among, speak_for, translate
from charkit_cli.printable import printable
from charkit_cli.typer_classes import CONTEXT_SETTINGS, Command, Group

#: Each command has a module in this package (``module_of``) with a function ``command`` and ``EXAMPLES``.
COMMANDS = {
    "train": "Train or resume a run.",
    "prepare": "Encode a text once, to train on it anywhere.",
    "evaluate": "Evaluate a run on a split of its text, or on any text.",
    "sample": "Generate text from a run.",
    "runs": "List the runs in a directory.",
    "recipes": "List the recipes, with their settings and measured results.",
    "reproduce": "Train with a recipe to reproduce its measured results.",
    "report": "Show runs on a web page: curves, samples, settings, speed.",
    "check": "Check a run for damage; with --repair, repair it.",
    "export": "Export a run to PyTorch or ONNX.",
    "import": "Import a PyTorch state dict as a run.",
    "backends": "List the installed backends and whether they are usable.",
    "verify": "Check a backend against the conformance kit.",
    "compare": "Compare backends: do they agree, and which is fastest here?",
    "sweep": "Train many runs, varying a few settings.",
    "info": "Show versions, backends and hardware for a bug report.",
    "new-backend": "Create the skeleton of a new backend.",
}
#: The commands that train; their result is a run, and what they print of it is not all there is.
_TRAINS = ("train", "reproduce")
_ABOUT = (
    "Train, evaluate and sample character-level LSTM language models, with the same numbers on every "
    "numerical framework."
)
_START = "Start with: toolkit train    then: toolkit sample"


def module_of(command: str) -> str:
    """The module of a command: its name with ``_`` for ``-``, and with ``_`` after it where it is a Python keyword."""
    name = command.replace("-", "_")
    return f"charkit_cli.{name}_" if iskeyword(name) else f"charkit_cli.{name}"


def main() -> None:
    """Runs the command line and ends the process with its status."""
    try:
        streams.prepare()
        if logging.lastResort is not None:
            logging.lastResort.setFormatter(_PrintableLines())
        status = run(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # from here on there is nothing to end in good order
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    if _called(sys.argv[1:]) == "verify":  # a backend that leaves threads behind has just been found out
        from charkit_cli.process_end import limit_wait_for_threads

        limit_wait_for_threads(status)
    gc.freeze()  # at the exit, a collection would go through every object of a framework (0.4 s for PyTorch)
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit status."""
    given = [argument for argument in arguments if argument != "--debug"]  # it works in any position
    debug = len(given) < len(arguments)
    try:
        words = completion.words_to_complete()
        return _call(given) if words is None else completion.complete(get_command(_app(words)))
    except (CharkitError, typer.TyperException, OSError, MemoryError, KeyboardInterrupt) as error:
        if debug and not isinstance(error, BrokenPipeError):
            print(printable(traceback.format_exc()), file=sys.stderr, end="")
        return _status_of(error, given)


def _status_of(error: BaseException, given: Sequence[str]) -> int:
    """The exit status for an error, which is printed."""
    match error:
        case BrokenPipeError():
            streams.discard(sys.stdout)  # the reader has gone, as `head` does, so nothing more can be printed
            return 128 + BROKEN_PIPE
        case KeyboardInterrupt():
            print("interrupted", file=sys.stderr)
            return 128 + signal.SIGINT
        case TerminatedError():
            print(
                "the terminal was closed" if error.signal_number == HANGUP else "terminated", file=sys.stderr
            )
            return 128 + error.signal_number
    if isinstance(error, OSError):
        streams.discard(sys.stdout)
    print(_fitting(f"error: {printable(_one_line(error, given))}"), file=sys.stderr)
    return 2


def _fitting(line: str) -> str:
    """The line, broken between words on a terminal, as notes are; a pipe or a file gets it in one piece."""
    if not sys.stderr.isatty():
        return line
    columns = shutil.get_terminal_size().columns
    return textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)


class _PrintableLines(logging.Formatter):
    """Log lines that no terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _call(arguments: list[str]) -> int:
    """Parses the arguments and runs the command, leaving every error to the caller."""
    group = get_command(_app(arguments))
    name = _called(arguments)
    called = getattr(group, "commands", {}).get(name)
    speak_for(called.params if called else (), arguments)
    try:
        with group.make_context("toolkit", arguments or ["--help"]) as context:
            status = group.invoke(context)
    except typer.Exit as wanted:
        status = wanted.exit_code
    except SystemExit as ended:  # by which rich ends the program where the reader of the help has gone
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        raise
    sys.stdout.flush()
    return status if isinstance(status, int) else 0


def _app(arguments: Sequence[str]) -> typer.Typer:
    """The application: the real command for the one that is called, and placeholders for the help of the others."""
    app = typer.Typer(
        name="toolkit",
        help=_ABOUT,
        epilog=_START,
        cls=Group,
        context_settings=CONTEXT_SETTINGS,
        rich_markup_mode="rich",
    )
    app.callback(invoke_without_command=True)(_global_options)
    called = _called(arguments)
    for name, summary in COMMANDS.items():
        if name == called:
            module = import_module(module_of(name))
            epilog = "\n".join(("Examples:", *(f"$ {example}" for example in module.EXAMPLES)))
            command = _with_an_output(name, arguments, streams.printing_results_only(module.command))
            app.command(name, help=summary, epilog=epilog.replace("[", r"\["), cls=Command)(command)
        else:
            app.command(name, help=summary)(_placeholder(name))
    return app


def _with_an_output(name: str, arguments: Sequence[str], command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, refused where standard output is closed and its result goes there; its help never is."""

    @functools.wraps(command)
    def wrapper(*values: Any, **options: Any) -> Any:
        if streams.output_was_closed() and (name not in _TRAINS or "--json" in arguments):
            raise ConfigurationError(
                f"standard output is closed, but toolkit {name} prints its result there; leave it open, or redirect "
                "it to a file or to /dev/null"
            )
        return command(*values, **options)

    return wrapper


def _called(arguments: Sequence[str]) -> str | None:
    """The command that the arguments name, known or not; ``new_backend`` is ``new-backend``."""
    named = next((argument for argument in arguments if not argument.startswith("-")), None)
    dashed = named.replace("_", "-") if named else None
    return dashed if dashed in COMMANDS else named


def _placeholder(name: str) -> Callable[[], None]:
    def command() -> None:
        raise AssertionError(f"{name} was listed, not called")

    return command


def _global_options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; also works after COMMAND.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(f"charkit {version_of('charkit')}")
        raise typer.Exit


def _one_line(error: BaseException, arguments: Sequence[str]) -> str:
    """What was wrong and what to do, in one line."""
    if isinstance(error, typer.TyperException):
        from charkit_cli.usage_errors import usage_message

        message = usage_message(error, _called(arguments), arguments, COMMANDS)
    elif isinstance(error, MemoryError):
        message = translate(_out_of_memory(error))
    elif isinstance(error, OSError) and error.errno == ENOSPC and error.filename is None:
        message = (
            "can't write to standard output: the disk is full; free some space, or send the output elsewhere"
        )
    elif isinstance(error, OSError):
        message = f"the operating system reported: {error}; add --debug to see the traceback"
    else:
        message = translate(str(error))
    return " ".join(message.split())


def _out_of_memory(error: MemoryError) -> str:
    """What ran out, and the settings of the command that need less of it when they are smaller."""
    smaller = options_among(("lstm_size", "batch_size", "num_steps", "count"))
    detail = f" ({error})" if str(error) else ""
    if not smaller:
        return f"not enough memory{detail}; free some memory, or use a machine with more"
    *others, last = smaller
    either = f"{', '.join(others)} or {last}" if others else last
    return f"not enough memory{detail}; try a smaller {either}"
