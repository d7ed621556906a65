"""The four files: all or none, and what the two for machines hold."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from charkit.errors import StorageError
from charkit_comparison import ComparisonReport
from charkit_comparison.page import report_json, write_report
from charkit_comparison.page.schema import main, report_schema
from charkit_comparison.report_parts import Outcome

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]

NAMES = ["report.html", "report.md", "report.json", "curves.csv"]
SCHEMA = Path(__file__).parents[3] / "docs" / "report-schema.json"


def test_four_files_in_a_new_folder(report: ComparisonReport, tmp_path: Path) -> None:
    folder = tmp_path / "comparisons" / "anna-1"
    assert write_report(report, folder) == [folder / name for name in NAMES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    assert all((folder / name).stat().st_size for name in NAMES)


def test_the_same_report_gives_the_same_files(report: ComparisonReport, tmp_path: Path) -> None:
    first, second = write_report(report, tmp_path / "a"), write_report(report, tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_json_is_read_back_to_the_bit(report: ComparisonReport, tmp_path: Path) -> None:
    write_report(report, tmp_path / "out")
    assert ComparisonReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes()) == report


def test_json_spells_out_what_is_no_number(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    losses = (2.0, math.nan, math.inf, -math.inf)
    content = report_json(make_report([make_outcome("lost", losses=losses)]))
    written = json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert written["variants"][0]["losses"] == [2.0, "NaN", "Infinity", "-Infinity"]
    read = ComparisonReport.model_validate_json(content).variants[0].losses
    assert repr(read) == repr(losses)


def test_the_committed_schema_is_that_of_the_model(tmp_path: Path) -> None:
    main([str(tmp_path / "schema.json")])
    assert (tmp_path / "schema.json").read_bytes() == report_schema()
    assert SCHEMA.read_bytes() == report_schema(), (
        "the report has changed; run python -m charkit_comparison.page.schema docs/report-schema.json"
    )


def test_the_schema_knows_every_key_that_is_written(report: ComparisonReport) -> None:
    """Walks the written report along the schema, so that neither has a key that the other lacks."""
    schema = json.loads(report_schema())

    def walk(value: object, rule: dict[str, object], path: str) -> None:
        while "$ref" in rule:
            rule = schema["$defs"][str(rule["$ref"]).rpartition("/")[2]]
        properties = rule.get("properties")
        if isinstance(value, dict) and isinstance(properties, dict):
            assert set(value) == set(properties) == set(rule["required"]), path  # type: ignore[call-overload]
            for key, inner in value.items():
                walk(inner, properties[key], f"{path}.{key}")
        if isinstance(value, list) and isinstance(rule.get("items"), dict):
            for place, inner in enumerate(value):
                walk(inner, rule["items"], f"{path}[{place}]")  # type: ignore[arg-type]

    walk(json.loads(report_json(report)), schema, "report")


def test_curves_hold_every_loss_and_norm_by_label(
    make_outcome: MakeOutcome, make_report: MakeReport, tmp_path: Path
) -> None:
    outcomes = [
        make_outcome("numpy", losses=(4.1, 0.1 + 0.2, 3.0), gradient_norms=(1.0, 2.0, 3.0)),
        make_outcome('a, "b"\nc', 1, losses=(4.0, 3.5), gradient_norms=(), kind="own layers"),
        make_outcome("failed", 2, steps=0, status="failed", reason="it crashed"),
    ]
    report = make_report(outcomes, first_step=7)
    (control,) = report.controls
    assert len(set(control.losses)) == 3
    write_report(report, tmp_path / "out")
    with (tmp_path / "out" / "curves.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        [
            *("step", "numpy loss", "numpy gradient norm", 'a, "b" c loss', 'a, "b" c gradient norm'),
            "control float32 loss",
        ],
        ["7", "4.1", "1.0", "4.0", "", repr(control.losses[0])],
        ["8", "0.30000000000000004", "2.0", "3.5", "", repr(control.losses[1])],
        ["9", "3.0", "3.0", "", "", repr(control.losses[2])],
    ]


@pytest.mark.parametrize("fails_at", range(1, 7))
def test_a_full_disk_leaves_nothing(
    make_outcome: MakeOutcome,
    make_report: MakeReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails_at: int,
) -> None:
    """Four files and two folders are made durable; the disk is full at each of these moments, the last included."""
    calls = 0

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    report = make_report([make_outcome("numpy", validations=())])
    monkeypatch.setattr(os, "fsync", fsync)
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(StorageError, match=r"anna-1.*the disk is full"):
        write_report(report, home / "anna-1")
    assert list(home.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(report: ComparisonReport, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(StorageError):
        write_report(report, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_importing_it_loads_neither_matplotlib_nor_jinja() -> None:
    code = (
        "import sys, charkit_comparison.page, charkit_comparison.page.html_page, charkit_comparison.page.charts\n"
        "sys.exit(', '.join({'matplotlib', 'jinja2'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_notebook_shows_the_verdict_and_a_row_for_each_variant(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    outcomes = [
        make_outcome("numpy"),
        make_outcome("<b>two</b>\n&", 1),
        make_outcome("none", 2, steps=0, rounds=0),
    ]
    report = make_report(outcomes, verdict="1 < 2")
    html = report._repr_html_()
    assert html.startswith("<p>1 &lt; 2</p><table>")
    assert html.count("<tr>") == 4
    assert "<td>&lt;b&gt;two&lt;/b&gt; &amp;</td><td>done</td>" in html
    assert "<a" not in html
