"""The page of the names that other toolkits have for options, from the tables that the program uses."""

from __future__ import annotations

import re

from charkit.synonyms import ADVICE, AMBIGUOUS, SYNONYMS, advice

_START = """# Names from other toolkits

The command line also accepts the option names of PyTorch's examples, Keras, Hugging Face, nanoGPT, char-rnn and
llama.cpp where they have the same meaning as one of its own: for example, `--lr 0.002` means `--learning-rate 0.002`.
The help lists only charkit's own names. Underscores work like hyphens, so `--lstm_size` means `--lstm-size`. In a TOML
file, such a name is refused, and the error message gives the right one.

Each row applies to the commands that have the option. If a command takes the value of such an option as an argument
instead, such as TEXT in `toolkit train TEXT` or RUN in `toolkit sample RUN`, it refuses the names in the option's row,
and the error message shows the argument to use.

| option | also accepted as |
|---|---|
"""
_ADVICE = """
A name that is ambiguous, or has no counterpart in a command, is refused. This includes options that only other charkit
commands have, such as `--temperature` in `toolkit train`. The message suggests an alternative or explains why there is
none:

| option | message |
|---|---|
"""


def page() -> str:
    """The whole page."""
    ours = dict.fromkeys(field for fields in SYNONYMS.values() for field in fields)
    taken = {
        field: [_typed(other) for other, fields in SYNONYMS.items() if field in fields] for field in ours
    }
    rows = [
        f"| `{_typed(_option(field))}` | {', '.join(f'`{name}`' for name in names)} |"
        for field, names in taken.items()
    ]
    said = {name: advice(name, uses).removeprefix("; ") for name, uses in AMBIGUOUS.items()}
    for name, messages in ADVICE.items():
        of_commands = [one for one in messages if "`on_event" not in one]  # the others are of Python alone
        if of_commands:
            said[name] = of_commands[0]
    advised = [f"| `{_typed(name)}` | {_with_options(one)} |" for name, one in said.items()]
    return _START + "\n".join(rows) + "\n" + _ADVICE + "\n".join(advised) + "\n"


def _option(field: str) -> str:
    return {"form": "format"}.get(field, field)


def _typed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


def _with_options(said: str) -> str:
    """The advice with options in place of fields, as the command line says it."""

    def option(found: re.Match[str]) -> str:
        value = f" {found[2].strip(chr(39))}" if found[2] else ""
        return f"`{_typed(found[1])}{value}`"

    return re.sub(r"`(\w+)(?:=([^`]+))?`", option, said)
