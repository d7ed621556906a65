"""``toolkit new-backend``: what it writes, written function by function until the kit is green; and bad input."""

from __future__ import annotations

import ast
import errno
import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import InvalidRequirement, Requirement

from charkit.runs import files_by_path
from charkit.testing import STAGES, all_checks
from cli_support import TINY, Toolkit
from plugin_support import InstalledSite

FILES = [
    ".github/workflows/conformance.yml",
    "README.md",
    "pyproject.toml",
    "tests/test_conformance.py",
    *(f"charkit_mine/{name}.py" for name in ("__init__", "backend", "loss", "lstm", "optimizer", "output", "plugin")),
    "charkit_mine/py.typed",
]  # fmt: skip
#: In the order in which the kit asks for them: the stage, the function to write, its file, what the test writes.
TO_WRITE = (
    ("build", "versions", "backend.py", "by_hand.versions()"),
    ("build", "tensor", "backend.py", "by_hand.tensor(self.dtype, array)"),
    ("build", "numpy", "backend.py", "by_hand.numpy(tensor)"),
    ("forward", "MineLstm.__call__", "lstm.py", "by_hand.lstm(self.model, weights, symbols, state, masks)"),
    ("forward", "MineOutput.__call__", "output.py", "by_hand.output(weights, features)"),
    ("loss", "MineLoss.__call__", "loss.py", "by_hand.loss(logits, targets)"),
    ("gradients", "backward", "backend.py", "by_hand.backward(forward, weights, symbols, targets, state, masks)"),
    ("optimizer", "MineOptimizer.__call__", "optimizer.py",
     "by_hand.update(self.optimizer, weights, moments, gradients, rates)"),
)  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, toolkit: Toolkit) -> InstalledSite:
    """The skeleton of a backend ``mine``, installed, and not to be looked for by tests of what was not made."""
    toolkit.ok("new-backend", "mine", "--out", tmp_path / "source")
    return InstalledSite(tmp_path / "site").install(tmp_path / "source")


def write(package: Path, file: str, function: str, answer: str) -> None:
    """Replaces the statement that raises UnwrittenError in a function by ``return ANSWER``."""
    path = package / file
    lines = path.read_text("utf-8").splitlines()
    found = [
        raised
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef) and node.name == function.rpartition(".")[2]
        for raised in node.body
        if isinstance(raised, ast.Raise)
    ]
    assert len(found) == 1
    (statement,) = found
    assert statement.end_lineno is not None
    lines[statement.lineno - 1 : statement.end_lineno] = [" " * statement.col_offset + f"return {answer}"]
    lines.insert(lines.index("from __future__ import annotations") + 1, "from charkit_mine import by_hand")
    path.write_text("\n".join(lines), "utf-8")


def settle_threads(package: Path) -> None:
    """Sets the framework's threads at the comment in the constructor."""
    path = package / "backend.py"
    lines = path.read_text("utf-8").splitlines()
    (line_number,) = (
        number for number, line in enumerate(lines) if "# Set the framework's threads here" in line
    )
    lines[line_number] = "        self.threads = by_hand.set_threads(threads)"
    path.write_text("\n".join(lines), "utf-8")


def failures(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    return [check for check in verdict["checks"] if check["status"] in {"failed", "not run"}]


def up_to(stage: str) -> list[str]:
    """The options for the stages up to this one: those after it would not be run, but prepared."""
    stages = list(STAGES)
    return [f"--stage={name}" for name in stages[: stages.index(stage) + 1]]


def verify(site: InstalledSite, *arguments: str) -> dict[str, Any]:
    """The kit's verdict, whatever it is."""
    outcome = site("verify", "--backend", "mine", *arguments, "--json")
    assert outcome.status in {0, 1}, outcome.err
    verdict: dict[str, Any] = json.loads(outcome.out)
    assert outcome.status == (0 if verdict["passed"] else 1)
    return verdict


def test_written_function_by_function_it_goes_green(site: InstalledSite, text_file: Path) -> None:
    package = site.folder / "charkit_mine"
    shutil.copy(Path(__file__).with_name("by_hand.py"), package)
    met = []
    for stage, function, file, answer in TO_WRITE:
        first, *others = failures(verify(site, *up_to(stage)))
        assert first["stage"] == stage
        assert first["got"].startswith(f"this backend is not finished; next, write {function}()"), first
        assert f" in charkit_mine/{file}: " in first["got"]
        assert {check["got"] for check in others} == {f"not run: stage {stage} is not finished"}
        met.append(stage)
        write(package, file, function, answer)
    settle_threads(package)
    assert list(dict.fromkeys(met)) == ["build", "forward", "loss", "gradients", "optimizer"]
    assert "UnwrittenError(" not in "".join(path.read_text("utf-8") for path in package.glob("*.py"))
    verdict = verify(site)
    assert failures(verdict) == []
    assert len(verdict["checks"]) == len(all_checks())
    assert verdict["verified_with"].startswith("charkit ")
    rows = {row["name"]: row for row in site.json("backends")["backends"]}
    assert rows["mine"]["precisions"] == ["float32", "float64"]
    for precision in ("float32", "float64"):
        site.ok("train", text_file, *TINY, "--max-steps", "3", "--backend", "mine", "--precision", precision)
    in_pytest = ("-m", "pytest", "-q", site.folder.parent / "source" / "tests", "-p", "no:cacheprovider")
    assert f"{len(all_checks())} tests collected" in site.python(*in_pytest, "--collect-only").out
    some = [check for check in verdict["checks"] if check["stage"] in {"build", "optimizer"}]
    child = site.python(*in_pytest, "-k", " or ".join(f"test_{check['name']}" for check in some))
    assert child.status == 0, child.out
    undeclared = sum(check["status"] == "not declared" for check in some)
    assert f"{len(some) - undeclared} passed, {undeclared} skipped" in child.out


def test_unfinished_it_is_listed_and_one_line_says_what_to_write(
    site: InstalledSite, text_file: Path
) -> None:
    rows = {row["name"]: row for row in site.json("backends")["backends"]}
    assert rows["mine"]["status"] == "usable"
    assert (rows["mine"]["distribution"], rows["mine"]["version"]) == ("charkit-mine", "0.1.0")
    assert rows["numpy"]["status"] == "usable"
    message = site.error("train", text_file, *TINY, "--backend", "mine")
    assert message.startswith("this backend is not finished; next, write ")
    assert " in charkit_mine/backend.py: " in message


def test_a_stage_can_be_written_before_the_others(site: InstalledSite) -> None:
    shutil.copy(Path(__file__).with_name("by_hand.py"), site.folder / "charkit_mine")
    for stage, function, file, answer in TO_WRITE:
        if stage in {"build", "optimizer"}:
            write(site.folder / "charkit_mine", file, function, answer)
    assert failures(verify(site, "--stage", "build", "--stage", "optimizer")) == []
    first, *others = failures(verify(site))
    assert first["stage"] == "forward"
    assert {check["got"] for check in others} == {"not run: stage forward is not finished"}


# ---- what is written ---------------------------------------------------------------------------------------


def test_files_and_what_to_do_next(toolkit: Toolkit) -> None:
    printed = toolkit.ok("new-backend", "mine").out
    made = {
        str(path.relative_to("charkit-mine")) for path in Path("charkit-mine").rglob("*") if path.is_file()
    }
    assert made == set(FILES)
    for line in (*FILES, "pip install -e ./charkit-mine", "toolkit verify --backend mine"):
        assert f"    {line}\n" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_json_and_out(toolkit: Toolkit) -> None:
    Path("plugins").mkdir()
    answer = toolkit.json("new-backend", "my_own2", "--out", "plugins/own")
    assert list(answer) == ["folder", "files"]
    assert answer["folder"] == "plugins/own"
    assert answer["files"] == [file.replace("charkit_mine", "charkit_my_own2") for file in FILES]
    metadata = (Path("plugins/own") / "pyproject.toml").read_text("utf-8")
    assert 'name = "charkit-my-own2"' in metadata
    assert 'my_own2 = "charkit_my_own2.plugin"' in metadata
    assert "class MyOwn2Backend(" in (Path("plugins/own") / "charkit_my_own2" / "backend.py").read_text(
        "utf-8"
    )


def test_nothing_of_the_template_is_left_and_lines_are_short(toolkit: Toolkit) -> None:
    toolkit.ok("new-backend", "mine")
    for path in [path for path in Path("charkit-mine").rglob("*") if path.is_file()]:
        text = path.read_text("utf-8")
        if path.suffix == ".yml":  # where these are the workflow's own
            text = text.replace("${{ matrix.", "").replace('"$CHARKIT" "$FRAMEWORK"', "")
        assert "$" not in text
        assert path.name == "README.md" or max(map(len, text.splitlines()), default=0) <= 110
        if path.suffix == ".py":
            compile(text, path.name, "exec")


def test_the_workflow_runs_the_kit_on_what_the_metadata_admits(toolkit: Toolkit) -> None:
    toolkit.ok("new-backend", "my_own2")
    folder = Path("charkit-my-own2")
    workflow = (folder / ".github" / "workflows" / "conformance.yml").read_text("utf-8")
    commands = [line.partition("run: ")[2] for line in workflow.splitlines() if " run: " in line]
    assert commands[0] == 'python -m pip install "$CHARKIT" "$FRAMEWORK" ".[testing]"'
    assert commands[1:] == ["toolkit backends", "toolkit verify --backend my_own2", "python -m pytest tests"]
    (listed,) = [line.partition("python: ")[2] for line in workflow.splitlines() if " python: [" in line]
    metadata = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "Programming Language :: Python :: "
    stated = [name.removeprefix(prefix) for name in metadata["classifiers"] if name.startswith(prefix)]
    assert json.loads(listed) == stated == ["3.11", "3.12", "3.13"]
    assert metadata["requires-python"] == ">=3.11"
    with pytest.raises(InvalidRequirement):  # so that pip refuses it until it has been filled in
        Requirement("<framework>==<oldest release>")
    assert workflow.count('"<framework>==<oldest release>"') == 2
    assert f"Once it is on an index: {metadata['dependencies'][0]}\n" in workflow


def test_the_readme_names_every_function_and_the_stages_that_ask_for_them(toolkit: Toolkit) -> None:
    toolkit.ok("new-backend", "mine")
    readme = (Path("charkit-mine") / "README.md").read_text("utf-8")
    for stage, function, file, _ in TO_WRITE:
        row = next(line for line in readme.splitlines() if line.startswith(f"| {stage} |"))
        assert f"`{file}`" in row
        assert f"`{function.removesuffix('.__call__')}" in row.replace("differentiate", "backward")
    assert set(STAGES) - {stage for stage, *_ in TO_WRITE} == {"import", "training", "sampling"}


# ---- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["1st", "class", "Mine", "größe", "my-backend", "my backend", "", "../mine", "mine_", "_mine", "a__b", "a\n"],
)  # fmt: skip
def test_a_name_that_is_no_identifier(toolkit: Toolkit, name: str) -> None:
    message = toolkit.error("new-backend", name)
    assert "a Python identifier made up of lowercase letters a to z" in message
    assert message.endswith(f"given {name!r}")


def test_a_name_that_is_taken(toolkit: Toolkit) -> None:
    from importlib.metadata import version

    message = toolkit.error("new-backend", "numpy")
    assert (
        message
        == f"the name 'numpy' is taken by the backend of charkit {version('charkit')}; choose another name"
    )
    assert "the package charkit_cli is already installed" in toolkit.error("new-backend", "cli")


def test_a_folder_that_exists(toolkit: Toolkit) -> None:
    Path("charkit-mine").mkdir()
    Path("file").write_text("mine")
    Path("link").symlink_to("nowhere")
    assert toolkit.error("new-backend", "mine") == (
        "'charkit-mine' already exists; choose another directory with --out"
    )
    for taken in ("file", "link", "."):
        assert "already exists" in toolkit.error("new-backend", "mine", "--out", taken)


def test_a_parent_that_is_none(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("mine")
    assert toolkit.error("new-backend", "mine", "--out", "file/b") == (
        "can't create 'file/b': 'file' is a file; choose another directory with --out"
    )
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert "in '.': permission denied" in toolkit.error("new-backend", "mine")


def test_missing_parents_are_made(toolkit: Toolkit) -> None:
    toolkit.ok("new-backend", "mine", "--out", "a/b")
    assert Path("a/b/pyproject.toml").is_file()


def test_a_disk_that_fills_up_leaves_nothing(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def write_file(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(content)

    monkeypatch.setattr(files_by_path, "write_file", write_file)
    message = toolkit.error("new-backend", "mine")
    assert message.startswith("can't write 'charkit-mine': No space left on device")
    assert len(written) == 5


def test_no_name(toolkit: Toolkit) -> None:
    assert "NAME" in toolkit.error("new-backend")
