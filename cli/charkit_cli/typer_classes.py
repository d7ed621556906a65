"""Commands that show their help as click does, and that take the option names of other toolkits.

Typer's own classes show a type beside flags and arguments, as in ``--help <bool>`` and ``TEXT <list[str]>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from typer.completion import install_callback, show_callback
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from charkit.errors import ConfigurationError, nearest, shown
from charkit.synonyms import SYNONYMS

#: ``-h`` as well as ``--help``, and ``--lstm_size`` as well as ``--lstm-size``.
CONTEXT_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda name: name.replace("_", "-"),
}
#: What Typer's own options do. They are flags, but can also be called with a shell.
_COMPLETION: dict[str, Callable[..., Any]] = {
    "--install-completion": install_callback,
    "--show-completion": show_callback,
}
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


class Argument(TyperArgument):
    """An argument that the help shows by its name alone: ``RUN``, ``[RUN]`` in the usage line, ``[TEXT]...``."""

    def display_type_rich(self, ctx: Any) -> None:
        """No type."""

    def get_usage_pieces(self, ctx: Any) -> list[str]:
        """The name as click's usage line has it."""
        name = self.display_name_raw if self.required else f"[{self.display_name_raw}]"
        return [f"{name}..." if self.nargs != 1 else name]


class Command(TyperCommand):
    """A command of ``toolkit``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters with ``--help``, which the help shows as click does."""
        return _shown_as_by_click(super().get_params(ctx))

    def make_parser(self, ctx: Any) -> Any:
        """The parser, which also takes the names that other toolkits have for an option; the help lists none."""
        parser = super().make_parser(ctx)
        for option, names in other_names(self.params).items():
            how: dict[str, Any] = {"action": "append"} if option.multiple else {}
            how |= {"action": "store_const", "const": True} if option.is_flag else {}
            parser.add_option(obj=option, opts=names, dest=option.name, **how)
        return parser


class Group(TyperGroup):
    """``toolkit`` itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters with ``--help``, which the help shows as click does."""
        return _shown_as_by_click(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments; ``--show-completion zsh`` is for the shell it names, not for the current one.

        Raises ConfigurationError for a shell that has no completion.
        """
        option, _, shell = " ".join(args).replace("=", " ", 1).partition(" ")
        answer = _COMPLETION.get(option.replace("_", "-"))
        if answer and shell and not shell.startswith("-") and not ctx.resilient_parsing:
            if shell not in _SHELLS:
                raise ConfigurationError(
                    f"unknown shell {shown(shell)} for {option}{nearest(shell, _SHELLS)}; choose from "
                    f"{', '.join(_SHELLS)}, or leave it out for the current shell"
                )
            answer(ctx, self, shell)
        return super().parse_args(ctx, args)


def _shown_as_by_click(parameters: list[Any]) -> list[Any]:
    """The parameters, without the types that Typer shows of flags and of arguments."""
    for parameter in parameters:
        if isinstance(parameter, TyperArgument):
            parameter.__class__ = Argument  # Typer makes its own, and has no way to choose another class
        elif parameter.opts[0] in _COMPLETION:
            parameter.metavar = "[SHELL]"
        elif parameter.is_flag:
            parameter.metavar = ""
    return parameters


def other_names(parameters: Iterable[Any]) -> dict[TyperOption, list[str]]:
    """The options that other toolkits have further names for, with those names as they are typed.

    A name that is an option already stays that one; a name of several goes to the first that the command has.
    """
    options = {name: one for one in parameters if isinstance(one, TyperOption) for name in fields_of(one)}
    taken = {name for option in options.values() for name in option.opts}
    found: dict[TyperOption, list[str]] = {}
    for other, fields in SYNONYMS.items():
        typed = f"-{other}" if len(other) == 1 else f"--{other.replace('_', '-')}"
        option = next((options[field] for field in fields if field in options), None)
        if option is not None and typed not in taken:
            found.setdefault(option, []).append(typed)
    return found


def fields_of(option: TyperOption) -> set[str]:
    """The names that a field of the library may have for an option."""
    return {option.name or "", *(typed.lstrip("-").replace("-", "_") for typed in option.opts)}
