"""The constraints of the environment "lowest": one for each library, at the bound that the metadata name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("lowest", ROOT / "tests" / "lowest.py")
assert _spec is not None
assert _spec.loader is not None
lowest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lowest)


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("numpy>=1.26", "numpy==1.26"),
        ("charkit>=0.1,<0.2", "charkit==0.1"),
        ("torch<3,>=2.4", "torch==2.4"),
        ("onnx~=1.15", "onnx==1.15"),
        ("rich == 13.8", "rich==13.8"),
    ],
)
def test_the_lower_bound_is_taken(requirement: str, expected: str) -> None:
    assert lowest.lowest(requirement) == expected


@pytest.mark.parametrize("requirement", ["numpy", "numpy<3", "numpy!=1.26", "numpy>=1.26,>=1.27"])
def test_a_library_without_one_bound_is_refused(requirement: str) -> None:
    with pytest.raises(ValueError, match="lower bounds; give it one"):
        lowest.lowest(requirement)


def test_every_project_has_a_bound_for_each_library() -> None:
    for project in (ROOT, *(ROOT / "backends").glob("*/")):
        if (project / "pyproject.toml").exists():
            found = lowest.constraints(project / "pyproject.toml")
            assert all("==" in line for line in found)
            assert found
    assert "numpy==1.26" in lowest.constraints(ROOT / "pyproject.toml")
    assert "pytest==8.2" in lowest.constraints(ROOT / "pyproject.toml", ["testing"])


def test_a_newer_version_than_the_lowest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowest, "version", {"numpy": "1.26.4", "rich": "13.8.0"}.__getitem__)
    assert lowest.differences(["rich==13.8"]) == []
    (found,) = lowest.differences(["rich==13.8", "numpy==1.26"])
    assert found == "numpy==1.26 is the lowest that is admitted, and 1.26.4 is installed"
