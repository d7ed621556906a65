"""What was decided on mutants: which are equivalent, and whether a mistake that was named was the one made."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
EQUIVALENT = FOLDER / "equivalent.toml"
#: Those of the modules of the core, which are judged by tests.
CORE_EQUIVALENT = FOLDER / "core_equivalent.toml"
NAMED = FOLDER / "named.toml"
#: Why no check has to tell a mutant from the original.
KINDS = {
    "same": "computes the same numbers, bit for bit or up to rounding, for all input that the contract allows",
    "speed": "changes speed or memory use slightly, but doesn't change any numbers",
    "allowed": "does less than the original or works far more slowly, which the contract leaves up to each backend",
    "elsewhere": "differs only on another processor, system or release, or if a user has chosen an unusual setting",
    "words": "changes a message or a recorded detail that the contract doesn't specify",
}


class ReviewError(Exception):
    """A list of reviewed mutants is malformed, or speaks of a mutant that there is not."""


@dataclass(frozen=True)
class Equivalent:
    """A mutant that does what the original does, of one of the ``KINDS``, and why."""

    kind: str
    reason: str


def equivalents(path: Path = EQUIVALENT) -> dict[str, Equivalent]:
    """The equivalent mutants by identity. Raises ReviewError for an entry without a known kind and a reason.

    Mutants that are equivalent for the same reason are one entry with a list of them.
    """
    found: dict[str, Equivalent] = {}
    for entry in _entries(path, "equivalent"):
        if entry.get("kind") not in KINDS or not str(entry.get("reason", "")).strip():
            raise ReviewError(f"{path.name}: needs a reason and a kind out of {', '.join(KINDS)}: {entry}")
        for identity in entry["mutants"]:
            if identity in found:
                raise ReviewError(f"{path.name}: listed twice: {identity}")
            found[identity] = Equivalent(entry["kind"], entry["reason"])
    return found


def named(path: Path = NAMED) -> dict[tuple[str, str], bool]:
    """Whether a name is right, by the mutant's identity and the name that was given to the mistake."""
    return {
        (identity, entry["name"]): bool(entry["right"])
        for entry in _entries(path, "named")
        for identity in entry["mutants"]
    }


def unknown(identities: Mapping[str, object], known: set[str]) -> list[str]:
    """The identities that are no mutant's: what was reviewed has been rewritten, and needs a new look."""
    return [identity for identity in identities if identity not in known]


def _entries(path: Path, key: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8")).get(key, [])
    return entries
