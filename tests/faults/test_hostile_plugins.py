"""R10: a hostile plugin costs one line that names it, and no other backend; each alone, and all at once.

What can run in this process does, since a process of its own costs every test half a second. A comparison never imports
a plugin into the process that compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.plugins import InstalledBackend, InstalledBackends, plugin, supervision
from charkit.plugins.discovery import entry_points_in
from charkit_cli.main import run as run_toolkit
from cli_support import TINY, Outcome
from comparison_support import SHAPE
from faults.hostile_plugins import ENDLESS, EVERY, Hostile, write_metadata
from plugin_support import InstalledSite

SHORT = (*TINY, "--max-steps=6", "--run=r")
VERIFY = ("verify", "--json", "--threads=1", "--backend")
COMPARE = ("compare", *SHAPE, "--max-steps=4", "--rounds=1", "--json")
BY_NAME = {hostile.name: hostile for hostile in EVERY}
#: By whether they would end, close or replace this process.
ALONE = [hostile.name for hostile in EVERY if hostile.alone]
TOGETHER = [hostile.name for hostile in EVERY if not hostile.alone]
#: The status where a plugin ended the process with status 0, which would mean success.
ENDED = 70
#: What is no fault to the conformance kit, and what is none to a comparison, beside what trains.
SOUND = ("forks",)
COMPARED = ("no-threads",)
#: A comparison uses what its ``numpy()`` returned before it comes to the check of it.
OTHERWISE = ("lists",)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> InstalledSite:
    """All of them in one place, beside distributions whose metadata is odd. Not to be changed."""
    folder = tmp_path_factory.mktemp("hostile")
    for hostile in (*EVERY, ENDLESS):
        hostile.write(folder)
    points = "[charkit.backends]\n{} = charkit_prints.plugin\n"
    write_metadata(folder, "charkit-nameless", points.format("nameless"), metadata="Metadata-Version: 2.1\n")
    write_metadata(folder, "charkit-escaping", points.format("esc\x1b[2Japing"))
    odd = "Metadata-Version: 2.1\nName: charkit-wants\nVersion: \x1b[31m1\nRequires-Dist: ???\n"
    write_metadata(folder, "charkit-wants", points.format("wants"), metadata=odd)
    return InstalledSite(folder, patience_seconds=300)


@pytest.fixture
def in_process(site: InstalledSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugins can be found and imported here, until the test ends."""
    monkeypatch.syspath_prepend(str(site.folder))
    monkeypatch.setenv("PYTHONPATH", site.environment()["PYTHONPATH"])  # for the kit's own processes
    monkeypatch.setattr(supervision, "crash_message", lambda _message: nullcontext(lambda _message: None))
    yield
    for module in [name for name in sys.modules if name.startswith("charkit_") and _is_in(name, site.folder)]:
        del sys.modules[module]


def _is_in(module: str, folder: Path) -> bool:
    return str(getattr(sys.modules[module], "__file__", "")).startswith(str(folder))


def _expect(hostile: Hostile, outcome: Outcome) -> None:
    """Requires one line that names the plugin, and the result that ``toolkit train`` has where it works."""
    assert "Traceback" not in outcome.err
    assert "\x1b" not in outcome.err + outcome.out
    if not hostile.says:
        assert outcome.status == 0, outcome.err
        result = json.loads(outcome.out)
        assert (result["step"], result["stopped_because"], outcome.out.count("\n")) == (6, "max_steps", 1)
        return
    assert outcome.out == ""
    if hostile.says.startswith("error: "):  # it ended the process
        assert outcome.status == ENDED
        assert [line for line in outcome.err.splitlines() if line.startswith(hostile.says)], outcome.err
        return
    assert outcome.status == 2
    message = outcome.err.splitlines()[-1].removeprefix("error: ")
    assert message.startswith(f"backend {hostile.name!r}"), message
    assert hostile.says in message
    if "at " in hostile.says[-4:]:
        assert f"charkit_{hostile.name.replace('-', '_')}" in message.partition(hostile.says)[2]


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.usefixtures("in_process")
def test_training_says_one_line(name: str, text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = run_toolkit(["train", str(text_file), *SHORT, "--json", "--backend", name])
    _expect(BY_NAME[name], Outcome(status, *capsys.readouterr()))
    assert charkit.train(text_file, **_SMALLEST).step == 2, "the NumPy backend still trains"


_SMALLEST: dict[str, Any] = {
    "recipe": "classic",
    "lstm_size": 4,
    "batch_size": 2,
    "num_steps": 4,
    "max_steps": 2,
}


@pytest.mark.parametrize("name", ALONE)
def test_training_in_a_process_of_its_own_says_one_line(
    name: str, text_file: Path, site: InstalledSite
) -> None:
    outcome = site("train", text_file, *SHORT, "--json", "--backend", name)
    _expect(BY_NAME[name], outcome)
    if not BY_NAME[name].says:
        saved = [json.loads(line)["step"] for line in Path("r/metrics.jsonl").read_text("utf-8").splitlines()]
        assert saved == [5, 6], "a second process trained the run, too"


@pytest.mark.parametrize(
    ("command", "doing"), [(("evaluate",), "scoring"), (("sample", "--length=5"), "sampling")]
)
@pytest.mark.parametrize("name", ["leaves-when-made", "leaves-when-built"])
def test_using_a_run_says_one_line(
    command: tuple[str, ...], doing: str, name: str, text_file: Path, site: InstalledSite
) -> None:
    assert run_toolkit(["train", str(text_file), *SHORT]) == 0
    outcome = site(command[0], "r", *command[1:], "--backend", name)
    assert (outcome.out, outcome.status) == ("", ENDED)
    (said,) = outcome.err.splitlines()
    if name == "leaves-when-made":
        assert said.startswith(BY_NAME[name].says)
    else:
        assert said == (
            f"error: this process ended while backend {name!r} was {doing} 'r'; the run is unchanged, and any "
            "backend can read it"
        )


def test_all_at_once_are_listed(site: InstalledSite) -> None:
    outcome = site("backends", "--json", "--limit=8")
    assert outcome.status == 0, outcome.err
    rows = {row["name"]: row for row in json.loads(outcome.out)["backends"]}
    for hostile in (*EVERY, ENDLESS):
        row = rows[hostile.name]
        expected = "timed out" if hostile is ENDLESS else "broken" if hostile.reason else "usable"
        assert row["status"] == expected, row
        assert hostile.reason.rpartition(", at ")[0] in row["reason"] or hostile.reason in row["reason"]
        assert row["reason"].isprintable()
    assert rows["numpy"]["status"] == "usable"
    assert rows["nameless"]["distribution"] == "unknown"
    assert "its requirements can't be read" in rows["wants"]["reason"]


def test_the_table_shows_nothing_raw(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = InstalledBackend("esc\x1b[2Japing", "usable", "[red]odd", "1", ["[b]cpu"], ["float32"], [], "")
    monkeypatch.setattr("charkit_cli.backends.backends", lambda **_options: InstalledBackends([row]))
    assert run_toolkit(["backends"]) == 0
    shown = capsys.readouterr().out
    assert "esc\ufffd[2Japing" in shown
    assert "[red]odd 1" in shown
    assert "[b]cpu" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("name", "stage"), [("interrupts", "import"), ("colors", "import"), ("interrupts-early", "gradients")]
)
@pytest.mark.usefixtures("in_process")
def test_verifying_reports_what_the_plugin_did(
    name: str, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run_toolkit(["verify", "--json", "--stage", stage, "--backend", name])
    said = capsys.readouterr()
    assert (status, said.out.count("\n")) == (1, 1), said.err
    failed = [check for check in json.loads(said.out)["checks"] if check["status"] == "failed"]
    assert BY_NAME[name].says.partition(",")[0].removeprefix("is broken: ") in failed[0]["got"]


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.usefixtures("in_process")
def test_verifying_is_a_verdict(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = run_toolkit([*VERIFY, name])
    _expect_verdict(name, Outcome(status, *capsys.readouterr()))


@pytest.mark.parametrize("name", ALONE)
def test_verifying_in_a_process_of_its_own_is_a_verdict(name: str, site: InstalledSite) -> None:
    _expect_verdict(name, site(*VERIFY, name))


def _expect_verdict(name: str, outcome: Outcome) -> None:
    """Requires a verdict, unless the plugin ended the process, which one line then reports."""
    assert "Traceback" not in outcome.err
    assert "\x1b" not in outcome.err + outcome.out
    if BY_NAME[name].says.startswith("error: "):  # it ended the process
        assert (outcome.out, outcome.status) == ("", ENDED)
        ended = [line for line in outcome.err.splitlines() if line.startswith("error: this process ended ")]
        assert len(ended) == 1, outcome.err
        assert name in ended[0]
        return
    verdict = json.loads(outcome.out)
    passed = name in SOUND
    assert (outcome.status, outcome.out.count("\n"), verdict["passed"]) == (not passed, 1, passed)
    failed = [check["name"] for check in verdict["checks"] if check["status"] == "failed"]
    assert bool(failed) != passed, failed


@pytest.mark.parametrize("names", [*([name] for name in BY_NAME), list(BY_NAME)], ids=[*BY_NAME, "all"])
@pytest.mark.usefixtures("in_process")
def test_comparing_reports_each(
    names: list[str], text_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(names) == 1:  # drawing the page takes as long as the rest, and the test of all of them does it
        monkeypatch.setattr("charkit_cli.compare.write_report", lambda _report, _folder: None)
    status = run_toolkit([*COMPARE, f"--backends={','.join(('numpy', *names))}", str(text_file)])
    outcome = Outcome(status, *capsys.readouterr())
    assert "Traceback" not in outcome.err
    assert "\x1b" not in outcome.err + outcome.out
    assert outcome.out.count("\n") == 1, outcome.err
    variants = {variant["backend"]: variant for variant in json.loads(outcome.out)["variants"]}
    assert variants.keys() == {"numpy", *names}
    for name, variant in variants.items():
        works = name == "numpy" or not BY_NAME[name].says or name in COMPARED
        assert variant["status"] == ("done" if works else "failed"), variant
        assert bool(variant["reason"]) != works
        assert variant["reason"].isprintable()
        if not works and name not in OTHERWISE and not BY_NAME[name].says.startswith("error: "):
            says = BY_NAME[name].says.removeprefix("failed while running: ")
            assert says in variant["reason"]


@pytest.mark.parametrize("group", ["charkit.backends", "charkit.engines", "charkit.observers"])
def test_metadata_that_cannot_be_read_is_reported_and_hides_nothing(
    group: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_metadata(Path("odd"), "charkit-malformed", f"[{group}]\nmalformed\n")
    write_metadata(Path("odd"), "other-malformed", "[console_scripts]\nmalformed\n")
    write_metadata(Path("odd"), "charkit-sound", f"[{group}]\nsound = sound.plugin\n")
    monkeypatch.syspath_prepend("odd")
    assert "sound" in [found.name for found in entry_points_in(group)]
    (message,) = caplog.messages
    assert message.startswith("the metadata of a plugin in odd can't be read: TypeError: ")
    assert message.endswith("; reinstall or remove the plugin")


@pytest.mark.usefixtures("in_process")
def test_a_plugin_that_is_not_supervised_is_found(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the translation of what plugins raise, the harness fails."""
    monkeypatch.setattr(plugin, "is_interruption", lambda _error, _sources: True)
    with pytest.raises(AssertionError, match=r"^assert 130 == 2\b"):
        test_training_says_one_line("interrupts", text_file, capsys)
