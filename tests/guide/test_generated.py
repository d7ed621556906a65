"""The generated pages are current, and hold all that they should."""

from __future__ import annotations

import inspect
import re

import pytest

from charkit import backend, hookspecs
from charkit.testing import all_checks
from guide import contract_page, kit_page
from guide.generate import GENERATED
from guide.pages import DOCS, blocks, read


@pytest.mark.parametrize("name", GENERATED)
def test_it_is_current(name: str) -> None:
    assert (DOCS / f"{name}.md").read_text("utf-8") == GENERATED[name](), (
        "run: python tests/guide/generate.py"
    )


def test_the_contract_has_every_public_class_function_and_method() -> None:
    headings = set(re.findall(r"^#{3,4} `(\w+)`$", contract_page.page(), re.MULTILINE))
    for module in (backend, hookspecs):
        defined = {
            name
            for name, value in vars(module).items()
            if (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == module.__name__
            and not name.startswith("_")
        }
        assert defined
        assert defined <= headings
    methods = {name for name, value in vars(backend.Backend).items() if inspect.isfunction(value)}
    assert {name for name in methods if not name.startswith("_")} | {"__init__", "devices"} <= headings
    assert set(backend.Backend.__annotations__) <= headings


def test_the_contract_has_every_rule_once_and_in_order() -> None:
    page = contract_page.page()
    numbers = [
        (int(major), int(minor)) for major, minor in re.findall(r"^\*\*(\d+)\.(\d+)\*\*", page, re.MULTILINE)
    ]
    assert numbers == sorted(set(numbers))
    assert {major for major, _ in numbers} == set(range(1, len(contract_page.SECTIONS) + 1))
    docstring = inspect.getdoc(backend.Backend.compile) or ""
    for paragraph in docstring.split("\n\n"):
        assert " ".join(paragraph.split()).replace("``", "`") in page


def test_formulas_of_the_contract_are_code() -> None:
    assert any("weight_hh h_{t-1}" in block for block in blocks(read("contract")))


def test_the_kit_has_every_check() -> None:
    page = kit_page.page()
    for check in all_checks():
        assert page.count(f"| `{check.name}` |") == 1
        assert check.promise in page.replace("\\", "")


def test_a_check_without_a_planted_fault_is_refused() -> None:
    first = all_checks()[0].name
    planted = [
        kit_page.Planted("a fault", tuple(check.name for check in all_checks() if check.name != first))
    ]
    with pytest.raises(ValueError, match=first):
        kit_page.page(planted)
