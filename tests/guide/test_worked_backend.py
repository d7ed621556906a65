"""The complete backend on NumPy, as its page shows it: small, correct, and usable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charkit.testing import all_checks
from cli_support import TINY
from plugin_support import InstalledSite

MOST_LINES = 170


def test_it_is_whole_and_small(worked: dict[str, str]) -> None:
    package = {f"charkit_plain/{name}.py" for name in ("__init__", "backend", "framework", "plugin")}
    assert set(worked) == package | {"pyproject.toml"}
    lines = sum(len(worked[path].splitlines()) for path in package)
    assert 0 < lines <= MOST_LINES
    assert max(len(line) for path in package for line in worked[path].splitlines()) <= 110


def test_the_kit_is_green(site: InstalledSite) -> None:
    verdict = site.json("verify", "--backend", "plain")
    assert verdict["passed"]
    assert [check["name"] for check in verdict["checks"]] == [check.name for check in all_checks()]


def test_it_is_listed(site: InstalledSite) -> None:
    (row,) = [row for row in site.json("backends")["backends"] if row["name"] == "plain"]
    assert (row["status"], row["distribution"]) == ("usable", "charkit-plain")
    assert row["precisions"] == ["float32", "float64"]


#: In a process of its own: what BLAS may use before, while and after the backend computes, and what it reports.
_THREADS = """
import json, sys
import numpy
from threadpoolctl import threadpool_info
from charkit import CharRNN
from charkit import plugins

def blas():
    return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")

before, during = blas(), []
backend = plugins.create("plain", threads=int(sys.argv[1]))
backend.compile(lambda: during.append(blas()))()
CharRNN(7, 2, 3, lstm_size=4, backend=backend).gradients(*numpy.zeros((2, 2, 3), numpy.int32))
print(json.dumps([before, during[0], blas(), backend.threads]))
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_it_limits_threads_only_while_it_computes(site: InstalledSite, threads: int) -> None:
    outcome = site.python("-c", _THREADS, str(threads))
    assert outcome.status == 0, outcome.err
    before, during, after, reported = json.loads(outcome.out)
    assert (during, after, reported) == (threads, before, threads)


def test_without_a_request_it_reports_what_blas_chose(site: InstalledSite) -> None:
    program = _THREADS.replace("int(sys.argv[1])", "None")
    before, during, after, reported = json.loads(site.python("-c", program).out)
    assert before == during == after == reported


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("float64", 1e-12)])
def test_it_trains_as_numpy_does(site: InstalledSite, text_file: Path, precision: str, bound: float) -> None:
    options = (text_file, *TINY, "--dropout", "0.3", "--max-steps", "8", "--precision", precision)
    losses = {
        backend: site.json("train", *options, "--backend", backend, "--run", backend)
        for backend in ("plain", "numpy")
    }
    for loss in ("loss", "validation_loss"):
        assert losses["plain"][loss] == pytest.approx(losses["numpy"][loss], abs=bound)
    texts = [
        site.json("sample", "plain", "--backend", backend, "--seed", "1", "--length", "40")["samples"]
        for backend in ("plain", "numpy")
    ]
    assert texts[0] == texts[1]
    records = [json.loads(line) for line in (Path("plain") / "sessions.jsonl").read_text().splitlines()]
    assert "numpy" in records[0]["versions"]
