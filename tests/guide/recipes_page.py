"""The table of what the recipe ``auto`` chooses, in ``docs/recipes.md``, from the recipe itself."""

from __future__ import annotations

import re

from charkit.recipe import auto_settings
from guide.pages import read

_GENERATED = re.compile(r"(<!-- auto: [^>]*-->\n).*?(<!-- end of auto -->)", re.DOTALL)
LENGTHS = (1_000, 10_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 100_000_000)
VOCABULARY_SIZE = 84


def page() -> str:
    """The page as it is, with the table as the rule is now."""
    return _GENERATED.sub(lambda marks: f"{marks[1]}\n{_table()}\n{marks[2]}", read("recipes"))


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
