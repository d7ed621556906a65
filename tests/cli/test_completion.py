"""Shell completion: what Tab offers in bash, zsh and fish, by Typer's protocol and in the shells themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charkit.plugins import installed
from charkit.recipe import built_in_recipes
from charkit_cli.completion import run_paths
from charkit_cli.main import COMMANDS, run
from cli_support import Toolkit

SHELLS = ("bash", "zsh", "fish")


def completions(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, *words: str, shell: str = "bash"
) -> list[str]:
    """What a shell is offered for the last of the words."""
    monkeypatch.setenv("_TOOLKIT_COMPLETE", f"complete_{shell}")
    typed = " ".join(["toolkit", *words])
    if shell == "bash":
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
    else:
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", typed)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    outcome = toolkit()
    assert (outcome.status, outcome.err) == (0, "")
    return read_as(shell, outcome.out)


def read_as(shell: str, answer: str) -> list[str]:
    """The words in an answer in a shell's own form, without their descriptions."""
    if shell == "bash":
        return answer.split()
    if shell == "fish":
        return [line.partition("\t")[0] for line in answer.splitlines() if line]
    if answer == "_files\n":
        return []
    listed = re.fullmatch(r"_arguments '\*: :\(\((.*)\)\)'\n", answer, re.DOTALL)
    assert listed is not None, answer
    return re.findall(r'^"([^"]+)"', listed[1], re.MULTILINE)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("",), list(COMMANDS)),
        (("rec",), ["recipes"]),
        (("train", "--backend", ""), sorted({plugin.name for plugin in installed()})),
        (("train", "--backend", "num"), ["numpy"]),
        (("compare", "--backends", "num"), ["numpy"]),
        (("train", "--recipe", ""), sorted(recipe.name for recipe in built_in_recipes())),
        (("reproduce", "shakespeare-2"), ["shakespeare-2-minutes"]),
        (("train", "--schedule", "co"), ["constant", "cosine", "cooldown"]),
        (("train", "--lstm"), ["--lstm-size"]),
        (("sample", "--checkpoint", ""), ["best", "latest"]),
        (("sample", ""), ["runs/small-1"]),
        (("sample", "runs/s"), ["runs/small-1"]),
        (("train", "--resume", ""), ["runs/small-1"]),
        (("sample", "elsewhere/"), []),
        (("verify", "--stage", "b"), ["build"]),
        (("sample", "--nonsense"), []),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("run")
def test_what_is_offered(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], offered: list[str], shell: str
) -> None:
    assert completions(toolkit, monkeypatch, *words, shell=shell) == offered


@pytest.mark.parametrize(("word", "status"), [("rec", 0), ("nonsense", 1)])
def test_fish_is_told_by_the_status_whether_anything_is_offered(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, word: str, status: int
) -> None:
    monkeypatch.setenv("_TOOLKIT_COMPLETE", "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "is-args")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"toolkit {word}")
    outcome = toolkit()
    assert (outcome.status, outcome.out, outcome.err) == (status, "", "")


def test_the_last_of_several_backends_is_completed(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = completions(toolkit, monkeypatch, "compare", "--backends", "other,nu")
    assert offered == ["other,numpy"]
    assert completions(toolkit, monkeypatch, "compare", "--backends", "numpy,nu") == []
    assert completions(toolkit, monkeypatch, "verify", "--backend", "other,nu") == []
    assert completions(toolkit, monkeypatch, "verify", "--backend", "nu") == ["numpy"]
    assert completions(toolkit, monkeypatch, "compare", "--precision", "b") == ["bfloat16"]


def test_a_folder_whose_name_a_shell_would_evaluate_is_not_offered() -> None:
    for name in ("good-1", "$(touch x)", "two words", "back`tick`", "quote'"):
        folder = Path("runs") / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    assert run_paths("") == ["runs/good-1"]
    assert run_paths("runs/") == ["runs/good-1"]
    assert run_paths("./runs/g") == ["./runs/good-1"]
    assert run_paths(f"{Path.cwd()}/runs/") == [f"{Path.cwd()}/runs/good-1"]
    assert run_paths("/absent/") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_is_shown(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("_TOOLKIT_COMPLETE", f"source_{shell}")
    assert f"_TOOLKIT_COMPLETE=complete_{shell}" in toolkit.ok().out


@pytest.mark.parametrize("given", [("--show-completion", "{}"), ("--show-completion={}",)])
@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_that_is_named_is_shown(
    capsys: pytest.CaptureFixture[str], shell: str, given: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run([each.format(shell) for each in given])
    assert ended.value.code == 0
    assert f"_TOOLKIT_COMPLETE=complete_{shell}" in capsys.readouterr().out


def test_the_script_of_a_shell_that_is_named_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit):
        run(["--install-completion", "fish"])
    script = tmp_path / ".config" / "fish" / "completions" / "toolkit.fish"
    assert "_TOOLKIT_COMPLETE=complete_fish" in script.read_text("utf-8")


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_a_shell_without_completion_is_refused(toolkit: Toolkit, option: str) -> None:
    assert toolkit.error(option, "zhs") == (
        f"unknown shell 'zhs' for {option} (did you mean 'zsh'?); choose from bash, zsh, fish, powershell, pwsh, or "
        "leave it out for the current shell"
    )
    assert toolkit.error(option, "zsh", "now").startswith("unknown shell 'zsh now'")


@pytest.mark.parametrize(
    ("shell", "asks"),
    [
        (
            "bash",
            'COMP_WORDS=(toolkit rec); COMP_CWORD=1; _toolkit_completion toolkit; echo "${COMPREPLY[@]}"',
        ),
        ("fish", "complete -C 'toolkit rec'"),
    ],
)
def test_in_the_shell_itself(tmp_path: Path, shell: str, asks: str) -> None:
    """The shell reads its script, calls it, and gets the commands; zsh has no way to ask without a terminal."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "toolkit"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m charkit_cli "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = subprocess.run(
        [str(program)], env=environment | {"_TOOLKIT_COMPLETE": f"source_{shell}"}, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    said = subprocess.run(
        [shell, "-c", f"{script}\n{asks}"], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[0] == "recipes"


def test_completion_imports_no_framework_and_for_a_command_no_numpy() -> None:
    runner = "import sys\nfrom charkit_cli.main import run\nrun([])\nprint(*sys.modules, file=sys.stderr)"
    for words, heavy in (
        ("toolkit ", {"numpy", "charkit_cli.train"}),
        ("toolkit train --backend ", set[str]()),
    ):
        environment = {"_TOOLKIT_COMPLETE": "complete_bash", "COMP_WORDS": words}
        environment["COMP_CWORD"] = str(words.count(" "))
        said = subprocess.run(
            [sys.executable, "-c", runner], env={**os.environ, **environment}, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert said.stdout
        loaded = set(said.stderr.split())
        assert not loaded & (heavy | {"torch", "tensorflow", "jax", "keras"})
