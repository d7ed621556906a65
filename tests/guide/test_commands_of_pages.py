"""Every command that a page shows exists with its options, and those of the how-to guides run as they are shown."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import charkit
from cli_support import TINY, Toolkit
from guide.command_reference import commands
from guide.pages import DOCS, blocks
from support import SMALL, SMALL_TEXT

README = DOCS.parent / "README.md"
PAGES = [README, *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
#: Pages whose commands in blocks of ``console`` run, with a tiny model, in a folder with the files below.
RUN = [
    "start.md",
    "settings.md",
    "tutorials/novel.md",
    *(f"howto/{path.name}" for path in DOCS.glob("howto/*.md")),
]
#: A command in a line: after a prompt, alone, or after another in a chain.
_COMMAND = re.compile(r"(?:^|&& )(?:\$ )?(?:\.venv/bin/)?(toolkit(?: .*?)?)(?= && |$)", re.MULTILINE)
#: Options of other commands than train that make them quick.
_QUICK = {"sample": ["--length=20"], "compare": ["--max-steps=2"]}


class Shown(NamedTuple):
    """A command on a page, and what the page shows below it."""

    words: list[str]
    output: str


def shown_commands(text: str) -> Iterator[list[str]]:
    """Each command in the blocks of code that are shown for a terminal."""
    for language in ("", "console", "bash"):
        for block in blocks(text, language):
            for line in _COMMAND.findall(block.replace("\\\n", " ")):
                yield shlex.split(line, comments=True)[1:]


def complaints(words: list[str]) -> list[str]:
    """What is wrong with a command: it or an option of it does not exist."""
    known = commands()
    if not words or words[0].startswith("-") or words[0] == "COMMAND":
        return []
    if words[0] not in known:
        return [f"no command {words[0]}"]
    options = {name for one in known[words[0]].params for name in (*one.opts, *one.secondary_opts)}
    given = {word.partition("=")[0] for word in words[1:] if word.startswith("--")} - {"--help", "--debug"}
    return sorted(f"{words[0]} has no option {option}" for option in given - options)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_the_commands_of_a_page_exist(page: Path) -> None:
    found = [one for words in shown_commands(page.read_text("utf-8")) for one in complaints(words)]
    assert found == []


def test_a_command_that_does_not_exist_is_found() -> None:
    page = "```\ntoolkit trian x\n. .venv/bin/activate && toolkit train --lstm-size 3 --no-such-option 4 # text\n```\n"
    assert [complaints(words) for words in shown_commands(page)] == [
        ["no command trian"],
        ["train has no option --no-such-option"],
    ]


def sessions(text: str) -> Iterator[Shown]:
    """The commands of the blocks of ``console``, each with the output that is shown below it."""
    for block in blocks(text, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            yield Shown(shlex.split(line)[1:], output)


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """Each word with the one before it."""
    return list(zip(["", *words], words, strict=False))


def arguments_of(words: list[str]) -> list[str]:
    """The command with a tiny model in place of the one that it would train."""
    command, *rest = words
    if command != "train":
        return [*words, *_QUICK.get(command, [])]
    if "--resume" in rest:
        return [
            command,
            *("2" if before == "--epochs" else word for before, word in pairs(rest)),
            "--max-steps=8",
        ]
    if "--run" not in rest:
        rest += ["--run", "runs/anna-1"]
    if "--init-from" in rest:
        return [command, *rest, "--max-steps=4", "--batch-size=4", "--num-steps=8", "--overwrite"]
    kept = [word for before, word in pairs(rest) if "--time-limit" not in (before, word)]
    kept = [
        "numpy" if before == "--backend" else word for before, word in pairs(kept)
    ]  # others may be missing
    return [command, *kept, *TINY, "--max-steps=4", "--overwrite"]


@pytest.fixture
def prepared() -> None:
    """A folder with what the pages speak of: texts, and a run of each name that a page takes for granted."""
    Path("anna.txt").write_text("Anna sat there.\n" + SMALL_TEXT * 2, "utf-8")
    for name in ("letters.txt", "held-out.txt", "poems/one.txt", "poems/two.md", "prose/letters.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("Anna sat there.\n" + SMALL_TEXT, "utf-8")
    Path("latin-1.txt").write_bytes("Café au lait\r\n".encode("latin-1") * 100)
    for name, text in (("anna-1", "anna.txt"), ("anna-2", "anna.txt"), ("python-reference-1", "anna.txt")):
        charkit.train(text, run=f"runs/{name}", max_steps=2, threads=1, **SMALL)


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_guide_run(page: str, toolkit: Toolkit) -> None:
    text = (DOCS / page).read_text("utf-8")
    shown = list(sessions(text))
    assert shown or page in ("howto/index.md", "howto/pandas.md")
    for words, output in shown:
        arguments = arguments_of(words)
        outcome = toolkit(*arguments)
        assert outcome.status == (2 if output.startswith("error:") else 0), (arguments, outcome.err)
        said = " ".join((outcome.out + outcome.err).split())
        for line in filter(None, (line.strip() for line in output.splitlines())):
            assert " ".join(line.split()) in said


def test_python_of_the_guide_to_pandas_runs(prepared: None) -> None:
    pytest.importorskip("pandas")
    Path("reviews.csv").write_text("text\n" + "\n".join(SMALL_TEXT.split()), "utf-8")
    tiny = ", ".join(f"{name}={value!r}" for name, value in {**SMALL, "max_steps": 2}.items())
    page = (DOCS / "howto/pandas.md").read_text("utf-8")
    shrunk = page.replace('.join(frame["text"]))', f'.join(frame["text"]), {tiny})')
    assert shrunk != page
    names: dict[str, object] = {}
    for block in blocks(shrunk, "python"):
        exec(block, names)  # noqa: S102 - the examples of the documentation
    assert names["result"].step == 2  # type: ignore[attr-defined]
    assert len(names["table"]) > 0  # type: ignore[arg-type]


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("page", ["start.md", "reference/events.md"])
def test_python_of_a_page_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("runs")
    tiny = ", ".join(f"{name}={value!r}" for name, value in {**SMALL, "max_steps": 20}.items())
    names: dict[str, object] = {}
    for block in blocks((DOCS / page).read_text("utf-8"), "python"):
        shrunk = re.sub(
            r'charkit\.train\("anna\.txt"[^)]*?(, on_event=\w+)?(, max_steps=\d+)?\)',
            rf'charkit.train("anna.txt", {tiny}\1)',
            block,
        )
        assert shrunk != block
        exec(shrunk, names)  # noqa: S102 - the examples of the documentation
    assert capsys.readouterr().out
