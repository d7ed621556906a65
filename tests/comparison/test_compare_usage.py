"""Options that are wrong, reports that can't be written, and notices about what takes no part."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from charkit.errors import StorageError
from charkit.plugins import InstalledBackend, Plugin, find, installed, listing, probe
from charkit_cli import compare
from charkit_comparison.page import report_files
from cli_support import Toolkit
from comparison_support import QUICK, SHAPE
from plugin_support import InstalledSite


def test_backends_that_are_missing_are_named(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = [row for row in listing.backends() if row.name == "numpy"]
    monkeypatch.setattr(listing, "backends", lambda: only)
    monkeypatch.setattr(compare, "installed", lambda: (find("numpy"),))
    outcome = toolkit.ok("compare", text_file, *QUICK)
    assert (
        "note: not installed: torch, tensorflow, jax; in charkit's source directory, run: "
        "pip install . ./backends/torch ./backends/tensorflow ./backends/jax" in outcome.err.splitlines()
    )


def test_a_bound_for_one_backend_is_noted(toolkit: Toolkit, text_file: Path) -> None:
    outcome = toolkit.ok("compare", text_file, *QUICK, "--backends=numpy", "--bound=0.1")
    expected = "note: --bound has no effect: no two backends are compared in the same precision"
    assert expected in outcome.err.splitlines()


def test_only_the_backends_that_are_named_are_tried(
    toolkit: Toolkit, text_file: Path, faulty: InstalledSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(faulty.folder))
    assert len(installed()) > 10
    tried: list[str] = []
    really = probe.probe

    def note(plugin: Plugin, **options: Any) -> InstalledBackend:
        tried.append(plugin.name)
        return really(plugin, **options)

    monkeypatch.setattr(probe, "probe", note)
    toolkit.ok("compare", text_file, *QUICK, "--backends=numpy")
    assert tried == ["numpy"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backends=numpi",), "unknown backend 'numpi'"),
        (("--python", "torch-old"), "--python 'torch-old' is not of the form NAME=PATH"),
        (
            ("--python", "torch=/bin/python"),
            "--python names a variant 'torch'; the name must be a backend's",
        ),
        (
            ("--python", "torch-[/red]=/bin/python"),
            "as in torch-old, and may contain only letters, digits, _, . and -",
        ),
        (("--python", "torch-old=/no/such/python"), "no program '/no/such/python' was found for torch-old"),
        (("--bound=0",), "--bound must be above 0; given 0.0"),
        (("--bound=inf",), "--bound must be a finite number above 0; given inf"),
        (("--examine=-1",), "--examine must be at least 0; given -1"),
        (("--precision=float16",), "unknown precision 'float16' (did you mean 'bfloat16'?)"),
        (("--threads=0",), "--threads must be at least 1; given 0"),
        (("--turn-limit=5",), "--turn-limit '5': a duration must be a number above 0 followed by a unit"),
        (("--max-steps=0",), "--max-steps must be at least 1; given 0"),
        (("--rounds=no",), "--rounds must be an integer; given 'no'; see toolkit compare --help"),
        (("--batch-size=100000",), "--batch-size of at most"),
    ],
)
def test_wrong_use_is_one_line(
    toolkit: Toolkit, text_file: Path, options: tuple[str, ...], message: str
) -> None:
    assert message in toolkit.error("compare", text_file, *options)


def test_an_out_that_exists_is_left_alone(toolkit: Toolkit, text_file: Path) -> None:
    Path("taken").mkdir()
    message = toolkit.error("compare", text_file, "--backends=numpy", "--out", "taken")
    assert message == "'taken' already exists; choose another --out"


def test_a_run_is_compared_as_it_is(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok(
        "train", text_file, "--recipe=classic", *SHAPE, "--max-steps=2", "--sample-length=0", "--run", "r"
    )
    message = toolkit.error("compare", "r", "--lstm-size=16")
    assert (
        "uses the run's own settings; given --lstm-size; leave it out, or give a text instead of the run"
        in message
    )
    message = toolkit.error("compare", "r", text_file)
    assert "compare takes either a single run, or one or more texts" in message


def test_training_settings_that_are_not_used_are_told(toolkit: Toolkit, text_file: Path) -> None:
    Path("long.toml").write_text('[training]\nmax_steps = 4\ntime_limit = "1s"\nwarmup_steps = 2\n')
    options = ("--config", "long.toml", "--set", "training.log_every=1", "--backends=numpy")
    outcome = toolkit.ok("compare", text_file, *QUICK, *options, "--json")
    assert outcome.err.splitlines()[0] == (
        "note: a comparison ignores these settings: training.max_steps, training.time_limit, training.log_every; "
        "--max-steps sets its length"
    )
    report = json.loads(outcome.out)
    training = report["config"]["training"]
    assert (report["steps"], len(report["variants"][0]["losses"])) == (12, 12)
    assert (training["max_steps"], training["epochs"], training["time_limit"]) == (12, None, None)


def test_a_full_disk_takes_the_page_and_not_the_answer(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(report_files, "write_file", lambda *_: (_ for _ in ()).throw(full))
    outcome = toolkit("compare", text_file, *QUICK, "--backends=numpy", "--out", "page")
    assert outcome.status == 2
    assert "numpy is correct" in outcome.out
    assert outcome.err.splitlines()[-1] == "error: can't write 'page': the disk is full; free some space"
    assert list(Path.cwd().iterdir()) == []


def test_an_out_that_can_not_be_written_is_refused_before_the_work(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_run", lambda *_: pytest.fail("it worked for nothing"))
    Path("file").write_text("")
    message = toolkit.error("compare", text_file, "--backends=numpy", "--out", "file/page")
    assert message == "can't write 'file/page': a file is in the way; choose another directory"


def test_an_out_of_any_bytes(faulty: InstalledSite, text_file: Path) -> None:
    """A path need not be Unicode; what can't be shown is replaced, and nothing is lost."""
    name = os.fsdecode(b"caf\xe9")
    outcome = faulty("compare", text_file, *QUICK, "--backends=numpy", "--out", name)
    assert outcome.status == 0, outcome.err
    assert "caf\ufffd" in Path(name, "report.md").read_text("utf-8")


def test_the_default_text_is_each_pythons_own(toolkit: Toolkit) -> None:
    message = toolkit.error("compare", "--backends=numpy", "--python", f"numpy-x={sys.executable}")
    assert message.startswith("with --python, give a text as well; ")


def test_of_two_comparisons_that_get_one_name_at_once_both_have_their_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = []

    def write(_report: object, folder: Path) -> None:
        folder.mkdir(parents=True)  # the first time by another comparison
        written.append(folder)
        if len(written) == 1:
            raise StorageError(f"can't write '{folder}': another process has created it")
        if len(written) == 2:
            folder.rmdir()
            raise StorageError(f"can't write '{folder}'") from FileNotFoundError()

    report = SimpleNamespace(name="small")
    monkeypatch.setattr(compare, "write_report", write)
    assert compare._write(cast(Any, report), None) == Path("comparisons/small-2")
    monkeypatch.setattr(compare, "free_report_folder", lambda _: Path("nowhere"))
    monkeypatch.setattr(compare, "write_report", Mock(side_effect=StorageError("the disk is full")))
    with pytest.raises(StorageError, match="the disk is full"):
        compare._write(cast(Any, report), None)
