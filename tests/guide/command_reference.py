"""The reference of the command line, from the program itself: every command, argument and option."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from charkit_cli import main


def commands() -> dict[str, Any]:
    """The commands by their names, in the order of the help."""
    groups: dict[str, Any] = {name: get_command(main._app([name])) for name in main.COMMANDS}
    return {name: group.commands[name] for name, group in groups.items()}


def part() -> str:
    """A section for each command."""
    return "\n".join(line for name, command in commands().items() for line in _section(name, command))


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if not _is_option(one)]
    options = [one for one in command.params if _is_option(one) and not one.hidden]
    yield f"## toolkit {name}\n"
    yield f"{_escaped(command.help or '')}\n"
    usage = " ".join(["toolkit", name, "[OPTIONS]", *(_usage(one) for one in arguments)])
    yield f"```text\n{usage}\n```\n"
    examples = [line.strip() for line in (command.epilog or "").replace("\\[", "[").splitlines()]
    examples = [line for line in examples if line.startswith("$ ")]
    if examples:
        yield "```console\n" + "\n".join(examples) + "\n```\n"
    if arguments:
        yield from _table("argument", [(_metavar(one), one) for one in arguments])
    panels: dict[str, list[Any]] = {}
    for option in options:
        panels.setdefault(getattr(option, "rich_help_panel", None) or "Options", []).append(option)
    for panel, members in panels.items():
        if len(panels) > 1:
            yield f"**{panel}**\n"
        yield from _table("option", [(_names(one), one) for one in members])


def _usage(argument: Any) -> str:
    shown = _metavar(argument) + ("..." if argument.nargs == -1 else "")
    return shown if argument.required else f"[{shown}]"


def _table(kind: str, members: list[tuple[str, Any]]) -> Iterator[str]:
    yield f"| {kind} | meaning |"
    yield "|---|---|"
    for names, member in members:
        yield f"| `{names}` | {_escaped(member.help or '')}{_default(member)} |"
    yield ""


def _names(option: Any) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag or not _metavar(option) else f"{names} {_metavar(option)}"


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar).strip().replace("|", "/")
    return "" if _is_option(parameter) else str(parameter.name).upper()


def _default(parameter: Any) -> str:
    shown = getattr(parameter, "show_default", None)
    if shown is True and parameter.default not in (None, "", (), False):
        return f" *[default={_escaped(str(parameter.default))}]*"
    return ""


def _is_option(parameter: Any) -> bool:
    return str(parameter.param_type_name) == "option"


def _escaped(text: str) -> str:
    r"""The text as Markdown that shows it as it is, in a cell of a table; ``\[`` is how the help writes a bracket."""
    text = text.replace("\\[", "[")
    for character in "\\`*_[]<|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
