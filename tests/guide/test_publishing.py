"""What the page on publishing recommends is what package indexes and charkit accept."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import charkit
from charkit.hookspecs import API_VERSION, ENTRY_POINT_GROUP, BackendInfo
from guide.pages import blocks, read

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("backends/*/pyproject.toml"))]


def known_classifiers() -> frozenset[str]:
    from trove_classifiers import classifiers  # comes with hatchling, which not every environment has

    return frozenset(classifiers)


def example() -> dict[str, object]:
    (block,) = blocks(read("publishing"), "toml")
    project = tomllib.loads(block)["project"]
    assert isinstance(project, dict)
    return project


def test_its_metadata_is_accepted() -> None:
    project = example()
    assert set(project["classifiers"]) <= known_classifiers()  # type: ignore[call-overload]
    own = Requirement(project["dependencies"][0])  # type: ignore[index]
    assert own.name == "charkit"
    assert own.specifier.contains(charkit.__version__)
    assert list(project["entry-points"]) == [ENTRY_POINT_GROUP]  # type: ignore[call-overload]


def test_its_checklist_names_what_new_backend_and_verify_provide() -> None:
    prose = " ".join(read("publishing").split())
    assert "`BackendInfo.verified`" in prose
    assert "verified" in BackendInfo._fields
    files = {path.name for path in (ROOT / "core" / "charkit" / "plugins" / "backend_template").iterdir()}
    (workflow,) = set(re.findall(r"`\.github/workflows/(\w+\.yml)`", prose))
    assert f"{workflow}.txt" in files


def test_it_describes_the_version_of_the_contract() -> None:
    assert f"`api={API_VERSION}`" in read("publishing")


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_classifiers_of_charkits_own_exist(project: Path) -> None:
    metadata = tomllib.loads(project.read_text("utf-8"))["project"]
    assert set(metadata.get("classifiers", [])) <= known_classifiers()
