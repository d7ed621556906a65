"""The documentation's links lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from guide.pages import DOCS, anchors, links

ROOT = DOCS.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"))
    if "_build" not in path.parts and path.name != "CHANGELOG.md"
)


def broken(page: Path) -> list[str]:
    """The page's links to pages or headings that don't exist."""
    wrong = []
    for link in links(page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if ":" in path:
            continue
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text("utf-8"))
        ):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_a_page_and_a_heading(page: str) -> None:
    assert broken(ROOT / page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading\n\n[one](#a-heading) [two](#no-heading) [three](missing.md) [four](page.md)\n"
    )
    assert broken(page) == ["#no-heading", "missing.md"]


@pytest.mark.parametrize(
    "page", ["backend-example", "backend-example-jax", "compiling-frameworks", "publishing"]
)
def test_every_page_for_authors_is_linked_from_the_first(page: str) -> None:
    assert f"{page}.md" in set(links((DOCS / "backends.md").read_text("utf-8")))
