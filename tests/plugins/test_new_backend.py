"""``charkit.new_backend()``: what it returns and writes, and bad input; the command's tests install what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import BackendError, ConfigurationError, StorageError


def test_it_returns_what_it_wrote() -> None:
    made = charkit.new_backend("my_own2")
    assert made.folder == Path("charkit-my-own2")
    assert {str(path.relative_to(made.folder)) for path in made.folder.rglob("*") if path.is_file()} == set(
        made.files
    )
    assert "charkit_my_own2/backend.py" in made.files
    assert made.as_json() == {"folder": "charkit-my-own2", "files": list(made.files)}
    assert ">charkit-my-own2<" in made._repr_html_()
    assert 'my_own2 = "charkit_my_own2.plugin"' in (made.folder / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("folder", ["plugins/mine", Path("plugins/mine")])
def test_the_folder_can_be_chosen(folder: str | Path) -> None:
    assert charkit.new_backend("mine", folder).folder == Path("plugins/mine")
    assert Path("plugins/mine/pyproject.toml").is_file()


@pytest.mark.parametrize("name", ["My", "class", "", "../mine", 5, None])
def test_a_name_that_is_no_identifier(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a Python identifier") as error:
        charkit.new_backend(name)
    assert str(error.value).endswith(f"given {name!r}")
    assert list(Path().iterdir()) == []


def test_a_name_that_is_taken() -> None:
    with pytest.raises(BackendError, match="the name 'numpy' is taken by the backend of charkit "):
        charkit.new_backend("numpy")


def test_a_folder_that_exists_or_is_no_path() -> None:
    Path("taken").mkdir()
    with pytest.raises(StorageError, match="'taken' already exists; choose another directory with `folder`"):
        charkit.new_backend("mine", "taken")
    with pytest.raises(ConfigurationError, match="`folder` must not contain a null character"):
        charkit.new_backend("mine", "a\0b")
    with pytest.raises(ConfigurationError, match="`folder` must be a path; given b'mine'"):
        charkit.new_backend("mine", b"mine")  # type: ignore[arg-type]
    assert list(Path("taken").iterdir()) == []


def test_a_name_that_no_file_can_have_and_a_folder_that_pip_can_not_install() -> None:
    with pytest.raises(ConfigurationError, match="must have at most 100 characters; given 300"):
        charkit.new_backend("a" * 300, "short")
    with pytest.raises(StorageError, match=r"'x\[y\]' contains '\[', which pip reads as the start of extras"):
        charkit.new_backend("mine", "x[y]")
    assert not list(Path().iterdir())
