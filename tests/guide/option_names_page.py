"""The page of the names that other toolkits have for options, from the tables that the program uses."""

from __future__ import annotations

import re

from charkit.synonyms import ADVICE, SYNONYMS

_START = """# Names from other toolkits

The command line takes the names that PyTorch's examples, Keras, Hugging Face, nanoGPT, char-rnn and llama.cpp have for
an option, where they mean the same: `--lr 0.002` is `--learning-rate 0.002`. The help lists charkit's own names only.
Underscores work as dashes do, so `--lstm_size` is `--lstm-size`. In TOML files, such a name is refused with the right
one.

| option | also taken as |
|---|---|
"""
_ADVICE = """
A name that could mean several things, or that has no counterpart, is refused with what there is:

| option | what the message says |
|---|---|
"""


def page() -> str:
    """The whole page."""
    ours = dict.fromkeys(fields[0] for fields in SYNONYMS.values())
    taken = {
        field: [_typed(other) for other, fields in SYNONYMS.items() if fields[0] == field] for field in ours
    }
    rows = [
        f"| `{_typed(_option(field))}` | {', '.join(f'`{name}`' for name in names)} |"
        for field, names in taken.items()
    ]
    advice = [f"| `{_typed(name)}` | {_with_options(said)} |" for name, said in ADVICE.items()]
    return _START + "\n".join(rows) + "\n" + _ADVICE + "\n".join(advice) + "\n"


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
