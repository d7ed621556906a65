"""Command-line options made from the configuration, so that names, ranges and descriptions are in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Iterable, Mapping
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from charkit.config import DERIVED, Section
from charkit.settings import Settings
from charkit_cli.completion import among, installed_backends

#: What the help shows of a default.
DEFAULT = r"\[default: {}]"
#: The same for a setting that recipes set differently: what the classic CharRNN has.
CLASSIC = r"\[classic: {}]"
#: Bounds from here on only keep numbers small enough to compute with.
_UNREACHED = 10**9
#: What the help calls the values of some settings that are no text.
_METAVARS = {"glob": "PATTERN", "encoding": "NAME", "time_limit": "TIME", "save_every": "STEPS|TIME"}

Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help=f"numerical framework to use; see toolkit backends {DEFAULT.format('numpy')}",
        show_default=False,
        autocompletion=installed_backends,
    ),
]
RecipeBackend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="numerical framework to use; see toolkit backends "
        + DEFAULT.format("the recipe's, or numpy; with --resume, that of the run's last session"),
        autocompletion=installed_backends,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="device to compute on: cpu, cuda:0 (or cuda), cuda:1, ... "
        + DEFAULT.format("the backend's first device"),
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="INT", help=f"number of CPU threads {DEFAULT.format('all')}"),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="list the files that were read")]
Json = Annotated[bool, typer.Option("--json", help="print a single JSON object to standard output")]


def with_options(
    sections: Mapping[str, type[Section]],
    *,
    leave_out: Iterable[str] = (),
    classic: Container[str] = (),
    notes: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds an option for every key of the sections; the command gets those that were given as ``given``.

    The options take plain text: the configuration's own schema reads and checks it, so the message for a wrong
    value is the same wherever it comes from. The defaults of ``classic`` keys are shown as the classic CharRNN's.
    ``notes`` are what the help of a key says besides, where the command takes more than the configuration does.
    """
    keys = {
        key: section
        for section, schema in sections.items()
        for key in schema.model_fields
        if (section, key) not in DERIVED and key not in leave_out
    }

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(**arguments: Any) -> Any:
            given: Settings = {}
            for key, section in keys.items():
                value = arguments.pop(key)
                if value is not None and value != []:  # a repeatable option is empty where it is not given
                    given.setdefault(section, {})[key] = value
            return command(given=given, **arguments)

        own = inspect.signature(command, eval_str=True).parameters.values()
        added = [
            _parameter(
                key,
                sections[section].model_fields[key],
                section,
                CLASSIC if key in classic else DEFAULT,
                notes.get(key, ""),
            )
            for key, section in keys.items()
        ]
        parameters = [parameter for parameter in own if parameter.name != "given"] + added
        by_keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        wrapper.__signature__ = inspect.Signature(by_keyword)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in by_keyword}
        wrapper.__doc__ = command.__doc__
        return wrapper

    return decorate


def _parameter(key: str, field: FieldInfo, section: str, default: str, note: str) -> inspect.Parameter:
    kind = _plain_type(field.annotation)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    description, _, own_default = (field.description or "").partition("; default: ")
    is_repeated = get_origin(kind) is tuple
    description += "; repeatable" if is_repeated else ""
    besides = f"; {note}" if note else ""
    if choices:
        description += f": {', '.join(choices)}"
    option = typer.Option(
        f"--{key.replace('_', '-')}",
        metavar="CHOICE" if choices else _METAVARS.get(key) or {int: "INT", float: "FLOAT"}.get(kind, "TEXT"),
        help=f"{description}{_range(field)}{besides}".replace("[", r"\[")
        + _default(field, default, own_default),
        show_default=False,
        rich_help_panel=section.capitalize(),
        autocompletion=among(choices) if choices else None,
    )
    annotation = Annotated[list[str] | None, option] if is_repeated else Annotated[str | None, option]
    return inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _default(field: FieldInfo, default: str, own: str) -> str:
    """The default as the help shows it; ``own`` is the description's, of a setting that is unset by default."""
    if own:
        return f" {DEFAULT.format(own)}"
    if field.default is None or field.default == "":
        return ""
    default_value = " ".join(field.default) if isinstance(field.default, tuple) else field.default
    shown = f"{default_value:g}" if isinstance(default_value, float) else str(default_value)
    return f" {default.format(shown)}"


def _plain_type(annotation: Any) -> Any:
    """The type without its ``| None`` and without what it is annotated with."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _range(field: FieldInfo) -> str:
    """The numbers that a field allows, as the help shows them; a bound that nobody reaches is left out."""
    bounds = {
        name: getattr(rule, name)
        for name in ("ge", "gt", "le", "lt")
        for rule in field.metadata
        if getattr(rule, name, _UNREACHED) < _UNREACHED
    }
    if bounds.keys() == {"ge", "le"}:
        return f" ({bounds['ge']:,} to {bounds['le']:,})"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = ", ".join(f"{words[name]} {bound:,}" for name, bound in bounds.items())
    return f" ({found})" if found else ""
