"""Capabilities beyond version 1.0 of the contract that a backend may declare, and the settings that need them.

A plugin that does not recognize a setting would ignore it and train something other than what was requested. Each
setting that was added after contract 1.0 therefore belongs to a capability: a backend that declares the capability
(``Backend.capabilities``) honors the setting, and the core refuses the setting on any other backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from charkit.config import Section


@dataclass(frozen=True)
class Need:
    """A setting that needs a capability: its section, its key, and the values that need it."""

    section: str
    key: str
    by: Callable[[Any], bool]


#: Every capability that this version of charkit knows, keyed by name.
CAPABILITIES: Mapping[str, Need] = {
    "weight_decay": Need("optimizer", "weight_decay", by=lambda value: value > 0),
}


def required(**sections: Section) -> dict[str, str]:
    """The capabilities that these settings need, each with the setting that needs it, such as
    ``optimizer.weight_decay 0.01``. Sections are given by name: ``required(optimizer=config.optimizer)``.
    """
    found = {}
    for capability, need in CAPABILITIES.items():
        if need.section in sections:
            value = getattr(sections[need.section], need.key)
            if need.by(value):
                found[capability] = f"{need.section}.{need.key} {value:g}"
    return found
