"""Fault harnesses: what charkit promises when disks, processes, files, plugins and inputs misbehave.

One file per promise of ``docs/reliability.md``, ``test_<what>.py``; code that several share is in modules named for
what they hold, imported as ``from faults.rounds import Rounds``. Every harness

- takes its number of rounds from the fixture ``rounds``: that of the short column by default, its own number of the
  long column with ``--long`` (``tox -e faults -- --long``), or as many as ``--rounds N`` says;
- draws everything from the fixture ``seed``, which ``--seed N`` sets. A failure prints the command that repeats it;
- is shown, by a test beside it, to find a fault that was planted.

    def test_runs_survive_kills(rounds: Rounds, seed: int) -> None:
        random = Random(seed)
        for number in range(rounds(short=10, long=200)):
            ...
"""

from __future__ import annotations

import shlex
from collections.abc import Generator

import pytest

from faults.rounds import Rounds, rounds_of


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> Rounds:
    """How many rounds to run: ``rounds(short=10, long=200)`` is 10, 200 with ``--long``, and N with ``--rounds N``."""
    return rounds_of(pytestconfig)


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """What all random choices of a harness are drawn from."""
    return int(pytestconfig.getoption("seed"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to the report of a failure the command that repeats it."""
    report = yield
    if report.failed:
        options = ["--seed", str(item.config.getoption("seed"))]
        asked = item.config.getoption("rounds")
        options += [] if asked is None else ["--rounds", str(asked)]
        options += ["--long"] if item.config.getoption("long") else []
        report.sections.append(("To repeat", shlex.join(["pytest", item.nodeid, *options])))
    return report
