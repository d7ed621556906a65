"""The workflows run what tox has, on every system and Python, with actions that can't change underneath."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def environments() -> set[str]:
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "tox.ini", "utf-8")
    return {name.removeprefix("testenv:") for name in parser.sections() if name.startswith("testenv:")}


def in_brackets(text: str, key: str) -> set[str]:
    """The members of each list ``key: [...]``."""
    lists = re.findall(rf"^ *{key}: \[(.*)\]$", text, re.MULTILINE)
    return {one.strip(' "') for found in lists for one in found.split(",")}


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} == {"audit", "docs", "release", "tests"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_nothing_is_permitted_by_default(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action) for action, _ in uses)
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", comment) for _, comment in uses)
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert len(re.findall(r"^    timeout-minutes: \d+$", text, re.MULTILINE)) >= len(
        re.findall(r"^    runs-on: ", text, re.MULTILINE)
    ) - text.count("    if: always()")


def test_one_version_of_each_action() -> None:
    uses = {action for path in WORKFLOWS for action in re.findall(r"uses: (\S+)", path.read_text("utf-8"))}
    assert len(uses) == len({action.partition("@")[0] for action in uses})


def test_every_environment_of_tox_that_a_workflow_names_exists() -> None:
    text = "\n".join(path.read_text("utf-8") for path in WORKFLOWS)
    named = in_brackets(text, "environment") | set(re.findall(r"tox -e (\w+)", text))
    assert named <= environments()


def test_every_environment_that_tox_runs_by_default_is_in_a_workflow() -> None:
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "tox.ini", "utf-8")
    listed = set(re.findall(r"[\w-]+", parser["tox"]["env_list"]))
    assert {"numpy", "remote", "docs"} <= listed <= environments()
    text = "\n".join(path.read_text("utf-8") for path in WORKFLOWS)
    # py314 is what the workflow has as numpy with Python 3.14.
    assert listed - {"py314"} <= in_brackets(text, "environment")


def test_every_system_and_python_is_tested() -> None:
    text = (ROOT / ".github/workflows/tests.yml").read_text("utf-8")
    assert in_brackets(text, "system") == {"ubuntu-latest", "macos-latest", "windows-latest"}
    assert in_brackets(text, "python") == {"3.11", "3.12", "3.13", "3.14"}


def test_a_release_builds_every_project() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    folders = set(re.findall(r"folder: (\S+) \}", text))
    projects = {
        str(path.parent.relative_to(ROOT))
        for pattern in ("pyproject.toml", "backends/*/pyproject.toml", "engines/*/pyproject.toml")
        for path in ROOT.glob(pattern)
    }
    assert folders == projects
    assert in_brackets(text, "project") == set(re.findall(r"\{ project: ([\w-]+),", text))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_that_another_one_needs_exists(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    jobs = set(re.findall(r"^  ([\w-]+):$", text.partition("\njobs:\n")[2], re.MULTILINE))
    single = set(re.findall(r"^    needs: ([\w-]+)$", text, re.MULTILINE))
    assert jobs
    assert (in_brackets(text, "needs") - {""}) | single <= jobs


def test_the_linters_read_every_workflow_and_issue_form() -> None:
    """tox gives its commands the names of files as they are written, without a pattern."""
    linted = (ROOT / "tox.ini").read_text("utf-8")
    forms = {path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"}
    assert forms
    for path in {*WORKFLOWS, *forms}:
        assert f" {path.relative_to(ROOT).as_posix()}" in linted
