"""All rules by kind; importing this module registers them."""

from __future__ import annotations

from mutation.rules import arithmetic, calls, constants, names, statements
from mutation.rules.registry import RULES, Rule, Site

MODULES = (arithmetic, calls, constants, names, statements)
__all__ = ["MODULES", "RULES", "Rule", "Site"]
