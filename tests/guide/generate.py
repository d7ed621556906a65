"""Writes the generated pages of the documentation, or those named: ``python tests/guide/generate.py [NAME ...]``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from guide import architecture_page, contract_page, kit_page, option_names_page, recipes_page
from guide.pages import DOCS
from mutation import report

GENERATED: dict[str, Callable[[], str]] = {
    "architecture": architecture_page.page,
    "contract": contract_page.page,
    "kit": kit_page.page,
    "mutation": report.page,
    "recipes": recipes_page.page,
    "reference/option-names": option_names_page.page,
}

if __name__ == "__main__":
    names = sys.argv[1:] or list(GENERATED)
    if unknown := [name for name in names if name not in GENERATED]:
        sys.exit(f"no generated page is called {unknown[0]!r}; the pages are {', '.join(GENERATED)}")
    for name in names:
        (DOCS / f"{name}.md").write_text(GENERATED[name](), "utf-8")
