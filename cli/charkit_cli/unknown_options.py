"""What to say about an option that a command does not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from typer.core import TyperArgument

from charkit.synonyms import SYNONYMS, advice, closest, counterpart
from charkit_cli.typer_classes import fields_of

#: What an argument is called where it is an option.
_ARGUMENTS = {
    "run": "run model model_path model_dir model_name_or_path m load ckpt restore out_dir output_dir checkpoint_dir "
    "save_dir save run_dir",
    "text": "text",
    "source": "text run",
    "recipe": "recipe preset",
    "file": "file input input_file model model_path checkpoint",
    "name": "name backend",
}


def unknown_option(option: str, parameters: Iterable[Any], arguments: Sequence[str], command: str) -> str:
    """The message, with what leads to the right option: advice, its name, or that it is an argument.

    ``option`` is what the parser did not know: of ``-length 100``, as Torch's programs have it, ``-l`` alone.
    """
    given = _as_typed(option, arguments)
    name = given.lstrip("-").replace("-", "_")
    shown = list(parameters)
    argument = next((one for one in shown if name in _names_of_argument(one)), None)
    if argument is not None:
        return f"unknown option {given}; give the value without an option, as in toolkit {command} {argument.metavar}"
    fields = {
        field: one.opts[0] for one in shown if not isinstance(one, TyperArgument) for field in fields_of(one)
    }
    if said := advice(name, fields):
        return f"unknown option {given}{said}"
    if found := counterpart(name, fields):
        return f"unknown option {given} (did you mean {fields[found]!r}?)"
    typed = {field.replace("_", "-"): long for field, long in fields.items()} | {"help": "--help"}
    if "version" in fields:  # of toolkit itself, of which some programs make -v
        typed["v"] = fields["version"]
    near = closest(name.replace("_", "-"), typed)
    return f"unknown option {given}" + (f" (did you mean {typed[near]!r}?)" if near else "")


def _as_typed(option: str, arguments: Sequence[str]) -> str:
    if option.startswith("--"):
        return option
    words = (argument.partition("=")[0] for argument in arguments if not argument.startswith("--"))
    return next((word for word in words if word.startswith(option)), option)


def _names_of_argument(parameter: Any) -> set[str]:
    if not isinstance(parameter, TyperArgument):
        return set()
    others = {
        other for other, fields in SYNONYMS.items() if parameter.name in fields and parameter.name != "run"
    }
    return others | set(_ARGUMENTS.get(parameter.name or "", "").split())
