"""A recipe of a few steps, and results measured on a text of the tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

SETTINGS = (
    'name = "mine"\npurpose = "to test"\n[model]\nlstm_size = 8\n[optimizer]\nlearning_rate = 0.02\n'
    "[data]\nbatch_size = 4\nnum_steps = 8\nvalidation_share = 0.1\ntest_share = 0.1\n"
    "[training]\nmax_steps = 6\nsample_length = 0\n"
)


def write_measured(text: Path, losses: list[float], sha256: str = "") -> None:
    """Writes the recipe with a result."""
    sha256 = sha256 or hashlib.sha256(text.read_bytes()).hexdigest()
    Path("mine.toml").write_text(
        SETTINGS + f'[text]\nname = "a small text"\nsha256 = "{sha256}"\nsource = "made by the tests"\n'
        f'[[results]]\nsplit = "validation"\nseeds = {list(range(len(losses)))}\nlosses = {losses}\nseconds = 1.5\n'
        'machine = "two cores"\ncharkit = "0.1.0"\ndate = 2026-11-26\n'
    )
