"""The site has a place for every page, and its generated reference has everything that there is."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

import charkit
from charkit import events
from charkit_cli.main import COMMANDS
from guide import command_reference, python_reference, settings_reference, site
from guide.pages import DOCS, read, table_rows
from support import SMALL

_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def listed() -> set[Path]:
    """The pages and notebooks that are an entry of a table of contents."""
    found = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for block in _TOCTREE.findall(page.read_text("utf-8")):
            for entry in filter(None, (line for line in block.splitlines() if not line.startswith(":"))):
                path = (page.parent / entry).resolve()
                found |= set(path.parent.glob(f"{path.name}.md")) | set(
                    path.parent.glob(f"{path.name}.ipynb")
                )
    return found


def test_every_page_has_its_place() -> None:
    pages = {path for kind in ("*.md", "*.ipynb") for path in DOCS.rglob(kind) if "_build" not in path.parts}
    assert {str(path.relative_to(DOCS)) for path in pages - listed()} == set()


def test_an_unknown_part_is_an_error() -> None:
    filled = site.with_generated(
        "one\n<!-- generated: events -->\ntwo\n<!-- end of generated -->\nthree\n", "page"
    )
    assert filled.count("| `StepMetrics` |") == 1
    assert "two" not in filled
    assert filled.endswith("three\n")
    with pytest.raises(KeyError):
        site.with_generated("<!-- generated: no_such_part -->\n<!-- end of generated -->\n", "page")


def test_every_generated_part_says_in_the_file_where_else_to_look() -> None:
    pages = {path.name: path.read_text("utf-8") for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    marked = {name for name, text in pages.items() if "<!-- generated: " in text}
    assert marked == {f"{name}.md" for name in site.PARTS}
    for name in marked:
        file_only = pages[name].partition("<!-- generated: ")[2].partition("<!-- end of generated -->")[0]
        assert "tox -e docs" in file_only, name
        assert "tox -e docs" not in site.with_generated(pages[name], name), name


def test_a_diagram_becomes_a_table() -> None:
    text = '```mermaid\ngraph TD\n  a["one"]\n  b["two"]\n  b --> a\n  a -.-> b\n```\n'
    assert table_rows(site.with_generated(text, "page"))[2:] == [["one", "", "two"], ["two", "one", ""]]
    assert "mermaid" not in site.with_generated(read("architecture"), "architecture")
    with pytest.raises(ValueError, match="no nodes and arrows"):
        site.with_generated("```mermaid\npie\n```\n", "page")


def test_the_reference_has_every_command_and_option() -> None:
    text = command_reference.part()
    assert re.findall(r"^## toolkit (.*)$", text, re.MULTILINE) == list(COMMANDS)
    for name, command in command_reference.commands().items():
        section = text.partition(f"## toolkit {name}\n")[2].partition("\n## toolkit ")[0]
        options = {one for parameter in command.params if not parameter.hidden for one in parameter.opts}
        assert options
        assert all(
            re.search(rf"`(\S+, )*{re.escape(option)}[,`\s]", section) or option.isupper() or option[0] != "-"
            for option in options
        )
        assert "```console\n$ toolkit" in section, "its examples"


def test_the_reference_has_every_setting() -> None:
    names = {cells[0].strip("`") for cells in table_rows(settings_reference.part())}
    for fields in settings_reference.sections().values():
        assert fields.keys() <= names
    assert {"lstm_size", "learning_rate", "epochs", "encoding", "temperature"} <= names


def test_the_reference_has_every_public_name_once() -> None:
    given = [name for names in python_reference.SECTIONS.values() for name in names]
    assert len(set(given)) == len(given)
    public = set(charkit.__all__) - {"events", "__version__"}
    assert set(given) <= public
    assert all(f":: charkit.{name}\n" in python_reference.part() for name in public)


def test_the_reference_has_every_event() -> None:
    rows = {cells[0].strip("`"): cells[2] for cells in table_rows(python_reference.events())[2:]}
    kinds = {name: kind for name, kind in vars(events).items() if dataclasses.is_dataclass(kind)}
    assert rows.keys() == kinds.keys()
    assert all(
        f"`{field.name}`" in rows[name] for name, kind in kinds.items() for field in dataclasses.fields(kind)
    )


def keys_in(page: str, title: str) -> set[str]:
    """The keys in the tables of a section: what stands in backquotes in the first column."""
    section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return {key for cells in table_rows(section) for key in re.findall(r"`([^`]+)`", cells[0])}


def test_the_files_of_a_run_are_those_of_the_page(text_file: Path) -> None:
    page = read("reference/files")
    charkit.train(text_file, run="r", max_steps=12, eval_every=6, threads=1, **SMALL)
    charkit.train(string=text_file.read_text("utf-8"), run="s", max_steps=2, threads=1, **SMALL)
    files = {path.name for path in (*Path("r").iterdir(), *Path("s").iterdir()) if path.is_file()}
    named = keys_in(page, "A run")
    assert files <= named
    assert named - files == {"schedule.jsonl", "checkpoints/STEP/", "tracking/"}
    for name in ("metrics.jsonl", "samples.jsonl", "sessions.jsonl"):
        lines = (Path("r") / name).read_text("utf-8").splitlines()
        assert set(json.loads(lines[-1])) == keys_in(page, name), name
    for name in ("config.json", "vocabulary.json"):
        assert set(json.loads((Path("r") / name).read_text("utf-8"))) == keys_in(page, name), name
    checkpoint = next(Path("r/checkpoints").iterdir())
    assert {path.name for path in checkpoint.iterdir()} == keys_in(page, "Checkpoints")
