"""The tables of what the recipe ``auto`` chooses, in ``docs/recipes.md``, from the recipe itself."""

from __future__ import annotations

import re

from charkit.recipe import auto_settings
from guide.pages import read

LENGTHS = (1_000, 10_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 100_000_000)
TIME_LIMITS = {"30s": 30, "3m": 180, "10m": 600, "30m": 1_800, "4h": 14_400}
VOCABULARY_SIZE = 84


def page() -> str:
    """The page as it is, with the tables as the rule is now."""
    found = read("recipes")
    for name, table in (("auto", _table()), ("time limits", _table_of_limits())):
        block = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        found = block.sub(lambda marks, rows=table: f"{marks[1]}\n{rows}\n{marks[2]}", found)
    return found


def _table() -> str:
    """A row for each length of the training split."""
    lines = [
        "| training symbols | model | dropout | batch | learning rate | clipping threshold | steps |",
        "|---|---|---|---|---|---|---|",
    ]
    for symbols in LENGTHS:
        found = auto_settings(symbols, VOCABULARY_SIZE)
        model, data = found["model"], found["data"]
        lines.append(
            f"| {symbols:,} | {model['num_layers']}x{model['lstm_size']} | {model['dropout']:g} | "
            f"{data['batch_size']} x {data['num_steps']} | {found['optimizer']['learning_rate']:g} | "
            f"{found['optimizer']['grad_clip']:g} | {found['training']['max_steps']:,} |"
        )
    return "\n".join([*lines, ""])


def _table_of_limits() -> str:
    """A row for each length of the training split, a column for each time limit."""
    lines = [f"| training symbols | {' | '.join(TIME_LIMITS)} |", f"|---|{'---|' * len(TIME_LIMITS)}"]
    for symbols in LENGTHS:
        cells = []
        for seconds in TIME_LIMITS.values():
            found = auto_settings(symbols, VOCABULARY_SIZE, seconds)
            model, data = found["model"], found["data"]
            size = f"{model['num_layers']}x{model['lstm_size']}, {model['dropout']:g}"
            cells.append(f"{size}, {data['batch_size']} x {data['num_steps']}")
        lines.append(f"| {symbols:,} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
