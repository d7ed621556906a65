"""Fault harnesses: what charkit promises when disks, processes, files, plugins and inputs misbehave.

One file per promise of ``docs/reliability.md``, ``test_<what>.py``; code that several share is in modules named for
what they hold, imported as ``from faults.rounds import Rounds``. Every harness

- takes its number of rounds from the fixture ``rounds``: the short column by default, as many as ``--rounds N`` says
  otherwise (``tox -e faults -- --rounds 200``);
- draws everything from the fixture ``seed``, which ``--seed N`` sets. A failure prints the command that repeats it;
- is shown, by a test beside it, to find a fault that was planted.

    def test_runs_survive_kills(rounds: Rounds, seed: int) -> None:
        random = Random(seed)
        for number in range(rounds(short=10)):
            ...
"""

from __future__ import annotations

import shlex
from collections.abc import Generator

import pytest

from faults.rounds import Rounds


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> Rounds:
    """How many rounds to run: ``rounds(short=10)`` is 10 unless ``--rounds`` says otherwise."""
    asked: int | None = pytestconfig.getoption("rounds")

    def number(*, short: int) -> int:
        return short if asked is None else asked

    return number


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
        report.sections.append(("To repeat", shlex.join(["pytest", item.nodeid, *options])))
    return report
