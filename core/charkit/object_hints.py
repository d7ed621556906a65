"""What an object says about methods of other libraries' models that it doesn't have, and about pickling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn


class WithHints:
    """An object whose AttributeErrors end with a hint: ``_HINTS`` maps names of other libraries to one."""

    _HINTS: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:  # for a type checker, no name is missing that has a hint

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property whose own code raised the error, which is raised again
                return object.__getattribute__(self, name)
            hint = self._HINTS.get(name)
            advice = f"; {hint}" if hint else ""
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}{advice}", name=name, obj=self
            )


class WithoutPickling:
    """An object that can't be pickled, as it holds a framework's tensors; ``_INSTEAD`` says what to do instead."""

    _INSTEAD: ClassVar[str] = ""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} can't be pickled or copied; {self._INSTEAD}")


def by_name(names_by_hint: Mapping[str, str]) -> dict[str, str]:
    """The hint of each name, from the names of each hint, separated by spaces."""
    return {name: hint for hint, names in names_by_hint.items() for name in names.split()}
