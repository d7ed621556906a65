"""``toolkit verify``: what it prints of a verdict, and its exit status."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import charkit
from charkit.testing import STAGES, CheckResult, all_checks, verification
from charkit_cli import verify
from charkit_cli.activity import Activity
from cli_support import Install, Toolkit

BROKEN = "from charkit import BackendInfo, hookimpl\n@hookimpl\ndef charkit_backend():\n    raise OSError('no beads')\n"


def test_a_sound_backend_passes_each_stage_that_is_asked_for(toolkit: Toolkit) -> None:
    lines = toolkit.ok("verify", "--stage", "import", "--stage", "build").out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", "import"], ["ok", "build"]]
    assert lines[-1].startswith("numpy: all ")
    assert lines[-1].endswith(" checks passed")


def test_what_is_not_declared_is_said_and_not_counted_as_passed(toolkit: Toolkit) -> None:
    lines = toolkit.ok("verify", "--stage", "forward").out.splitlines()
    of_stage = [check for check in all_checks() if check.stage == "forward"]
    declared = len(of_stage) - 2
    assert f" {declared} of {declared} " in lines[0]
    assert lines[1] == "      2 not declared: bfloat16 is not among the backend's precisions"
    assert lines[2] == f"numpy: all {declared} checks passed (2 not declared)"


@pytest.mark.parametrize(("stages", "printed"), [((), True), (("--stage", "import"), False)])
def test_after_all_checks_it_prints_what_the_author_may_state(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, stages: tuple[str, ...], printed: bool
) -> None:
    passed = CheckResult("import", "plugin_is_found", "passed", "", "", "", 0.1)
    monkeypatch.setattr(verification, "check_results", lambda *arguments, **options: iter([passed]))
    versions = f"charkit {charkit.__version__}, numpy {np.__version__}"
    assert (toolkit.ok("verify", *stages).out.splitlines()[-1] == f"verified with {versions}") is printed
    assert toolkit.json("verify", *stages)["verified_with"] == (versions if printed else "")
    monkeypatch.setattr(
        verification, "check_results", lambda *arguments, **options: iter([replace(passed, status="failed")])
    )
    assert "verified with" not in toolkit("verify", *stages).out


def test_a_stage_is_printed_when_it_has_finished(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    checks = [(check.stage, check.name) for check in all_checks() if check.stage in {"import", "build"}]
    monkeypatch.setattr(
        verify, "_print_stage", lambda console, stage, *results: order.append(f"printed {stage}")
    )
    monkeypatch.setattr(Activity, "set", lambda self, text: order.append(text))
    toolkit.ok("verify", "--stage", "import", "--stage", "build")
    printed = order.index("printed import")
    assert not any(f": import, {name}" in line for _, name in checks for line in order[printed:])
    assert order[printed + 1].startswith("verifying numpy: build, ")
    assert "verifying numpy: build, arrays_in_are_copies (float64)" in order
    assert order[-1] == "printed build"


def test_drawn_cases_are_counted(toolkit: Toolkit) -> None:
    lines = toolkit.ok("verify", "--stage", "import", "--drawn-cases", "12", "--seed", "4").out.splitlines()
    assert [line.split()[:5] for line in lines[1:2]] == [["ok", "drawn", "12", "of", "12"]]
    checks = toolkit.json("verify", "--stage", "import", "--drawn-cases", "2")["checks"]
    assert (checks[-1]["stage"], checks[-1]["status"]) == ("drawn", "passed")
    assert toolkit.error("verify", "--drawn-cases", "-1").startswith("--drawn-cases must be an integer")
    assert toolkit.error("verify", "--seed", "1") == (
        "--seed selects the drawn cases, but there are none; add --drawn-cases"
    )


def test_a_broken_backend_is_a_verdict_and_no_error(toolkit: Toolkit, install: Install) -> None:
    install("odd", BROKEN)
    outcome = toolkit("verify", "--backend", "odd")
    assert outcome.status == 1
    assert "Traceback" not in outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].startswith("FAIL  import ")
    assert any(line.startswith("        got: ") and "OSError: no beads" in line for line in lines)
    not_run = [line for line in lines if line.startswith("-  ")]
    assert [line.split()[1] for line in not_run] == list(STAGES)[1:]
    assert all(line.endswith("  not run: stage import failed first") for line in not_run)
    assert re.fullmatch(rf"odd: \d of {len(all_checks())} checks failed \(\d+ not run\)", lines[-1])
    assert all(line == line.rstrip() for line in lines)
    assert max(map(len, lines)) < 400  # nothing is padded to the width of a pipe


def test_json_of_a_broken_backend(toolkit: Toolkit, install: Install) -> None:
    install("odd", BROKEN)
    outcome = toolkit("verify", "--backend", "odd", "--stage", "import", "--json")
    assert outcome.status == 1
    assert '"status": "failed", "passed": false' in outcome.out
    assert outcome.out.count("\n") == 1


def test_wrong_use_is_an_error_and_no_verdict(toolkit: Toolkit) -> None:
    assert toolkit.error("verify", "--backend", "nmpy").startswith(
        "unknown backend 'nmpy' (did you mean 'numpy'?)"
    )
    assert toolkit.error("verify", "--backend", "Np").startswith(
        "unknown backend 'Np' (did you mean 'numpy'?)"
    )
    message = toolkit.error("verify", "--stage", "imports")
    assert "one or more of import, build, forward, " in message
    assert message.endswith("given imports")
    assert toolkit.error("verify", "--threads", "0") == "--threads must be at least 1; given 0"
    assert "has no device 'abacus:0' here; it has cpu" in toolkit.error("verify", "--device", "abacus:0")
