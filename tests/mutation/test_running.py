"""The harness can fail: it finds mutants, ends those that hang, and lets one survive where a check is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mutation.mutant_process import VERDICT
from mutation.processes import Ended
from mutation.records import read
from mutation.reviewed import equivalents
from mutation.running import _verdict

_TESTS = Path(__file__).parents[1]
#: Six mutants of the NumPy backend; ``tox -e mutants`` runs many more, of other backends too.
_SAMPLE = ("--backend", "numpy", "--count", "6", "--seed", "3")
#: Runs one changed file on the kit, of which some checks have been taken out.
_SCRIPT = """
import json, sys
from charkit.testing import all_checks, registry
from mutation.mutants import Mutant
from mutation.processes import Limits
from mutation.running import run_mutants, run_unchanged
from mutation.targets import TARGETS

backend, file, before, after, kept, limit = json.loads(sys.argv[1])
target = TARGETS[backend]
target.prepare()
for check in all_checks():
    if check.name not in kept and kept != ["all"]:
        del registry._checks[check.name]
source = target.files()[file]
assert source.count(before) == 1, source.count(before)
mutant = Mutant(backend, file, "", "", before, after, 1, source.replace(before, after))
limits = Limits(seconds=limit, memory_bytes=1 << 29)
run_mutants(target, [mutant], lambda record: print(record.verdict.outcome, record.verdict.check), limits)
"""
_ABSENT = "out[:, self._present] = np.matmul(deltas.T, self._rows)"


def python(*arguments: str) -> str:
    """Runs Python where ``mutation`` can be imported; what it printed."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    path = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))
    child = subprocess.run(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env={**ours, "PYTHONPATH": path},
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


def outcome(backend: str, file: str, before: str, after: str, *kept: str, limit: float = 60.0) -> str:
    """What comes of a file in which a text is replaced, with these checks alone or with all of them."""
    values = [backend, file, before, after, list(kept) or ["all"], limit]
    return python("-c", _SCRIPT, json.dumps(values)).strip()


def test_a_sample_is_caught(tmp_path: Path) -> None:
    python("-m", "mutation", "run", *_SAMPLE, "--out", str(tmp_path / "sample.jsonl"))
    draw, records = read(tmp_path / "sample.jsonl")
    assert (draw.backend, draw.seed, len(records)) == ("numpy", 3, 6)
    survivors = [record.identity for record in records if record.verdict.outcome == "survived"]
    assert [one for one in survivors if one not in equivalents()] == []


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [
        ("gradients_of_a_large_vocabulary", "caught gradients_of_a_large_vocabulary"),
        ("gradients_with_state", "survived"),
    ],
)
def test_a_mutant_survives_where_its_check_is_missing(kept: str, wanted: str) -> None:
    assert outcome("numpy", "layer_inputs.py", _ABSENT, "pass", kept) == wanted


def test_the_kit_stops_at_the_first_finding_in_the_order_of_the_stages() -> None:
    right = "dropped *= 1.0 / (1.0 - self._model.dropout)"
    assert outcome(
        "numpy",
        "lstm.py",
        right,
        right.replace("1.0 /", "2.0 /"),
        "masks_drop_every_layer",
        "nats_with_masks",
    ) == ("caught masks_drop_every_layer")


@pytest.mark.parametrize(
    ("change", "limit", "wanted"),
    [
        ("while True: pass", 6.0, "timeout nats_of_each_symbol"),
        ("__import__('os')._exit(3)", 60.0, "crash nats_of_each_symbol"),
        ("__import__('os').abort()", 60.0, "crash nats_of_each_symbol"),
        ("held = np.ones(1 << 27)\n        while True: pass", 60.0, "memory nats_of_each_symbol"),
        ("raise SystemExit(0)", 60.0, "caught nats_of_each_symbol"),
    ],
)
def test_what_a_mutant_may_do(change: str, limit: float, wanted: str) -> None:
    line = "rows = logits.reshape(-1, vocabulary)"
    kept = ("one_layer", "nats_of_each_symbol", "nats_with_masks")
    assert outcome("numpy", "loss.py", line, f"{line}\n        {change}", *kept, limit=limit) == wanted


def test_the_example_of_the_guide_is_found_where_it_is_not_installed() -> None:
    gates = "i, f, g, o = (z.columns"
    assert outcome("plain", "backend.py", gates, "i, g, f, o = (z.columns", "one_layer") == "caught one_layer"


def test_a_backend_that_does_not_pass_as_it_is_stops_the_run() -> None:
    script = _SCRIPT.replace(
        "mutant = ",
        "target.files()[file] = source.replace(before, after)\nrun_unchanged(target, Limits(limit))\nmutant = ",
    )
    values = ["numpy", "loss.py", "np.log(totals)", "np.exp(totals)", ["nats_of_each_symbol"], 60.0]
    with pytest.raises(AssertionError, match="the kit does not pass on numpy as it is"):
        python("-c", script, json.dumps(values))


def test_records_do_not_say_where_packages_are_installed(tmp_path: Path) -> None:
    message = f"OSError: /some/where/site-packages/lib.so, {tmp_path}/lstm.py"
    finding = dict.fromkeys(("expected", "got", "look_at"), message)
    (tmp_path / VERDICT).write_text(json.dumps({"stage": "build", "name": "a check", **finding}), "utf-8")
    verdict = _verdict(tmp_path, Ended("done", 1.0))
    assert verdict.got == "OSError: site-packages/lib.so, /lstm.py"
