"""What to say about arguments that can't be parsed: unknown commands and options, and values of the wrong type."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import typer

from charkit.errors import nearest, plain_bounds, shown
from charkit_cli.message_translation import translate
from charkit_cli.unknown_options import unknown_option

#: What users of other tools type, with what charkit has for it.
OTHER_COMMANDS = {
    "help": "toolkit --help",
    "version": "toolkit --version",
    "list": "toolkit runs",
    "ls": "toolkit runs",
    "generate": "toolkit sample",
    "predict": "toolkit sample",
    "prompt": "toolkit sample",
    "fit": "toolkit train",
    "resume": "toolkit train --resume RUN",
    "finetune": "toolkit train TEXT --init-from RUN",
    "eval": "toolkit evaluate",
    "test": "toolkit evaluate --split test",
    "score": "toolkit evaluate",
    "tune": "toolkit sweep",
    "search": "toolkit sweep",
    "optimize": "toolkit sweep",
    "chat": "toolkit sample",
    "convert": "toolkit export",
    "benchmark": "toolkit compare",
    "plot": "toolkit report",
    "show": "toolkit report",
    "tokenize": "toolkit prepare",
    "env": "toolkit info",
}
#: Commands that other programs have for what needs none, and what to do instead.
NO_COMMANDS = dict.fromkeys(("delete", "remove", "rm"), "to delete a run, delete its directory")
#: How the parser reports more arguments than a command takes, and what to say about them, by command.
_EXTRA_ARGUMENTS = re.compile(r"unexpected extra argument(?:\(s\)|s)? \((?P<words>.*)\)", re.DOTALL)
_ARGUMENT_ADVICE = {
    "evaluate": "; use --text for a text to evaluate on",
    "sample": "; use --prime for a text to continue",
}


def usage_message(
    error: typer.TyperException, called: str | None, arguments: Sequence[str], commands: Collection[str]
) -> str:
    """The message for arguments that could not be parsed, with the nearest that could be.

    ``called`` is the command that the arguments name, if any; ``commands`` are those that there are.
    """
    if called is not None and (meant := OTHER_COMMANDS.get(called)):
        about = next((word for word in arguments if word in commands), None) if called == "help" else None
        meant = meant if about is None else f"toolkit {about} --help"
        return f"unknown command {called!r} (did you mean '{meant}'?); see toolkit --help"
    if called is not None and (instead := NO_COMMANDS.get(called)):
        return f"there is no command {called!r}; {instead}"
    if called is not None and called not in commands:
        return (
            f"unknown command {called!r}{nearest(called, commands)}; the commands are {', '.join(commands)}"
        )
    if "No such option" in error.message:
        parameters = getattr(getattr(error, "ctx", None), "command", None)
        option = str(getattr(error, "option_name", None))
        message = translate(
            unknown_option(option, getattr(parameters, "params", ()), arguments, called or "")
        )
    elif extra := _EXTRA_ARGUMENTS.search(error.message):
        advice = _ARGUMENT_ADVICE.get(called or "", "")
        message = f"unexpected extra argument {shown(extra['words'])}{advice}"
    else:
        message = _wrong_value(error)
    return f"{message}; see toolkit {called} --help" if called else f"{message}; see toolkit --help"


def _wrong_value(error: typer.TyperException) -> str:
    """The message for an option that can't be parsed; one that is no number reads as those about settings do."""
    message = plain_bounds(error.format_message()).replace("Value error, ", "")
    option, is_of_type, kind = message.partition(": Input should be ")
    given = getattr(error.__cause__, "errors", list[dict[str, Any]])()
    if is_of_type and given:
        option = option.removeprefix("Invalid value for ").strip("'")
        return f"{option} must be {kind.partition(', unable to')[0]}; given {shown(given[0]['input'])}"
    return message[:1].lower() + message[1:].rstrip(".")
