"""``toolkit verify``: how the verdict is told, and what it does to the exit status."""

from __future__ import annotations

from charkit.testing import all_checks
from cli_support import Install, Toolkit

BROKEN = "from charkit import BackendInfo, hookimpl\n@hookimpl\ndef charkit_backend():\n    raise OSError('no beads')\n"


def test_a_sound_backend_passes_each_stage_that_is_asked_for(toolkit: Toolkit) -> None:
    said = toolkit.ok("verify", "--stage", "import", "--stage", "build").out.splitlines()
    assert [line.split()[:2] for line in said[:-1]] == [["ok", "import"], ["ok", "build"]]
    assert said[-1].startswith("numpy: all ")
    assert said[-1].endswith(" checks passed")


def test_a_broken_backend_is_a_verdict_and_no_error(toolkit: Toolkit, install: Install) -> None:
    install("odd", BROKEN)
    outcome = toolkit("verify", "--backend", "odd")
    assert outcome.status == 1
    assert "Traceback" not in outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].startswith("FAIL  import ")
    assert any(line.startswith("        got: ") and "OSError: no beads" in line for line in lines)
    assert any(line.endswith(" not run: stage import failed first") for line in lines)
    assert sum(" not run: " in line for line in lines) == 7  # a line per stage, with their number
    assert lines[-1].startswith("odd: ")
    assert " failed, " in lines[-1]
    assert lines[-1].endswith(f", of {len(all_checks())} checks")
    assert [line.split()[:1] for line in lines if " not run " in line] == 7 * [["-"]]
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
    message = toolkit.error("verify", "--stage", "imports")
    assert "given imports; stages are import, build, forward" in message
    assert toolkit.error("verify", "--threads", "0").startswith("threads must be at least 1")
    assert "has no device 'abacus:0' here; it has cpu" in toolkit.error("verify", "--device", "abacus:0")
