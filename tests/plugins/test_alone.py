"""One backend is enough: no other framework is needed or looked for, and a plugin that looks is found."""

from __future__ import annotations

from pathlib import Path

import alone
from plugin_support import InstalledSite


def test_the_host_needs_no_framework(text_file: Path) -> None:
    company = alone.check("numpy", text_file)
    assert company.asked == []  # nor do the libraries that it stands on ask for one


def test_a_plugin_that_looks_for_another_framework_is_found(
    text_file: Path, everything: InstalledSite
) -> None:
    company = alone.watch("curious", text_file, environment=everything.environment())
    assert not any(company.statuses), company.said
    assert company.asked == [
        alone.Asked("torch", "charkit_curious.backend"),
        alone.Asked("jax", "charkit_curious.backend"),
    ]
    assert all(asked.by_charkit for asked in company.asked)
