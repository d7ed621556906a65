"""Which runs a report is about: those that were named, and the newest only where none was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.errors import ConfigurationError
from charkit_reports.api import chosen_runs

Trained = tuple[Path, Path]


@pytest.fixture
def beside_runs(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current directory in which there is a newest run."""
    monkeypatch.chdir(trained[0].parent.parent)


@pytest.mark.usefixtures("beside_runs")
@pytest.mark.parametrize("none", [list, tuple, lambda: np.array([]), lambda: Path("runs").glob("missing-*")])
def test_an_empty_list_is_not_the_newest_run(none: Callable[[], Iterable[Path]], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^`runs` is empty; give one or more paths, or leave `runs` out"
    ):
        charkit.report(none(), out=tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.usefixtures("beside_runs")
def test_without_runs_it_is_the_newest(trained: Trained) -> None:
    assert chosen_runs(None) == [Path("runs", trained[1].name)]


@pytest.mark.parametrize("make", [np.array, iter, tuple, dict.fromkeys])
def test_runs_are_any_iterable_of_paths(
    make: Callable[[list[str]], Iterable[str]], trained: Trained, tmp_path: Path
) -> None:
    page = charkit.report(make([str(run) for run in trained]), out=tmp_path / "page").read_text("utf-8")
    assert all(run.name in page for run in trained)


@pytest.mark.parametrize(("given", "said"), [(b"runs/a", "b'runs/a'"), (5, "5"), ([None], "None")])
def test_what_is_no_path_is_named(given: object, said: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"`runs` must be one or more paths; given {said}; give the paths"
    ):
        charkit.report(given)  # type: ignore[arg-type]


def test_a_path_with_a_null_character_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^`runs` must not contain a null character; given 'a\\x00b'$"
    ):
        charkit.report("a\0b")


@pytest.mark.usefixtures("beside_runs")
@pytest.mark.parametrize("out", [5, b"page", ["page"], "a\0b"])
def test_a_directory_that_is_no_path_is_refused(out: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^`out` must (be a path|not contain a null character); given"
    ):
        charkit.report(out=out)


def test_a_run_with_two_paths_is_one(trained: Trained) -> None:
    first, second = trained
    assert chosen_runs([first, second, first.parent / "elsewhere" / ".." / first.name]) == [first, second]


def test_the_directory_has_no_suffix_of_a_page(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"must be the directory to write report\.html to; given .*page\.html'"
    ):
        charkit.report([trained[0]], out=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
