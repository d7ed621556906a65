"""Translates the library's messages into the options of the command that was called.

The library names its own parameters and settings, in backquotes: "continue it with `resume='runs/anna-1'`". A user
of the command line types options instead, so this becomes "continue it with --resume runs/anna-1". The table of
options is read from the command itself. A message about a setting, "model.lstm_size must be at least 1", names the
option if that was used: "--lstm-size must be at least 1". A function of the library, as in "with `charkit.verify`",
becomes the command that does the same.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from charkit.system.command_lines import quoted

#: Backquoted text that begins like a name; quoted symbols of a text, such as '`', are not taken for it.
_QUOTED = re.compile(r"(?<![^\s(\[])`([A-Za-z_][^`\n]*)`(?![^\s,;:.)\]])")
_FIELD = re.compile(r"(?:(?P<section>[a-z]+)\.)?(?P<name>[a-z]\w*)(?:=(?P<value>.+))?")
#: The setting that a message begins with, by its section and name.
_SETTING = re.compile(r"(?:[a-z]+\.(?P<key>[a-z_]\w*)|(?P<field>[a-z_]\w*)(?= must ))(?=:? )")
#: The functions that messages send a user to, and the commands that do the same.
COMMANDS = {"charkit.prepare": "toolkit prepare", "charkit.verify": "toolkit verify"}
#: The option that sets any key of the configuration.
_ANY_KEY = "set"


class Parameter(Protocol):
    """What is read of a parameter of a command."""

    name: str | None
    opts: list[str]
    param_type_name: str


@dataclass(frozen=True)
class _Spelling:
    """How a field is written on the command line: an option, or an argument by the word the help has for it."""

    word: str
    is_argument: bool
    is_flag: bool
    is_repeated: bool

    @classmethod
    def of(cls, parameter: Parameter) -> _Spelling:
        is_argument = parameter.param_type_name == "argument"
        shown = getattr(parameter, "metavar", None) or parameter.name
        return cls(
            word=str(shown) if is_argument else parameter.opts[0],
            is_argument=is_argument,
            is_flag=bool(getattr(parameter, "is_flag", False)),
            is_repeated=bool(getattr(parameter, "multiple", False)),
        )

    def with_value(self, written: str) -> str | None:
        """The field set to a value, which is written as in Python; None where an option can't say it."""
        try:
            value = ast.literal_eval(written)
        except (SyntaxError, ValueError):  # a placeholder, as in `init_from=RUN`
            return None if self.is_flag else self._joined([written])
        if self.is_flag:
            return self.word if value is True else None
        if value is None or isinstance(value, bool | dict | set):
            return None
        each = value if isinstance(value, list | tuple) else (value,)
        return self._joined([quoted(str(one)) for one in each])

    def _joined(self, values: list[str]) -> str:
        if self.is_argument:
            return " ".join(values)
        if self.is_repeated:
            return " ".join(_option(self.word, value) for value in values)
        return _option(self.word, ",".join(values))


class Translator:
    """Translates messages for one command, which was called with these arguments."""

    def __init__(self, parameters: Iterable[Parameter] = (), arguments: Iterable[str] = ()) -> None:
        self._spellings: dict[str, _Spelling] = {}
        self._used = {
            argument.partition("=")[0].replace("_", "-")
            for argument in arguments
            if argument.startswith("--")
        }
        for parameter in parameters:
            spelling = _Spelling.of(parameter)
            for name in _names(parameter, spelling):
                self._spellings.setdefault(name, spelling)

    def __call__(self, message: str) -> str:
        """The message with its backquoted fields as options; other backquoted words lose their backquotes."""
        return _QUOTED.sub(lambda found: self._translated(found[1]), self._with_option(message))

    def _with_option(self, message: str) -> str:
        """The message with the option in place of the setting that it begins with, if that option was used."""
        setting = _SETTING.match(message)
        spelling = self._spellings.get(setting["key"] or setting["field"]) if setting else None
        if setting is None or spelling is None or spelling.word not in self._used:
            return message
        return spelling.word + message[setting.end() :]

    def knows(self, name: str) -> bool:
        """Whether the command has an option or an argument for the field."""
        return name in self._spellings

    def _translated(self, words: str) -> str:
        if words in COMMANDS:
            return COMMANDS[words]
        field = _FIELD.fullmatch(words)
        if field is None:
            return words
        # One of several that an option lists: a backend in `backends`.
        spelling = self._spellings.get(field["name"]) or self._spellings.get(f"{field['name']}s")
        if spelling is None:
            return self._by_key(field) or words
        if field["value"] is None:
            return spelling.word
        return spelling.with_value(field["value"]) or words

    def _by_key(self, field: re.Match[str]) -> str | None:
        """A key of the configuration as ``--set`` takes it; None for another word, or without that option."""
        if _ANY_KEY not in self._spellings:
            return None
        from charkit.config import SECTIONS  # loaded already by any command that has the option

        for section, schema in SECTIONS.items():
            if field["section"] in (None, section) and field["name"] in schema.model_fields:
                value = field["value"] or "..."
                return f"{self._spellings[_ANY_KEY].word} {section}.{field['name']}={value}"
        return None


def _names(parameter: Parameter, spelling: _Spelling) -> list[str]:
    """The names that the library may have for a parameter; a repeated option is a sequence there, in the plural."""
    names = [parameter.name or "", *(option.lstrip("-").replace("-", "_") for option in parameter.opts)]
    return names + [f"{name}s" for name in names] if spelling.is_repeated else names


def _option(word: str, value: str) -> str:
    return f"{word}={value}" if value.startswith("-") else f"{word} {value}"


_NO_COMMAND = Translator()
_translator: ContextVar[Translator] = ContextVar("translator", default=_NO_COMMAND)


def speak_for(parameters: Iterable[Parameter], arguments: Iterable[str]) -> None:
    """Translates from now on into the options of the command that has these parameters, and was called so."""
    _translator.set(Translator(parameters, arguments))


def translate(message: str) -> str:
    """The message in the options of the command that was called."""
    return _translator.get()(message)


def options_among(fields: Iterable[str]) -> list[str]:
    """The fields that the command that was called has options for, as backquoted fields of a message."""
    return [f"`{field}`" for field in fields if _translator.get().knows(field)]
