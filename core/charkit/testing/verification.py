"""Verifies an installed backend with the conformance kit, and returns the results as one object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, get_args

from charkit.errors import BackendError, ConfigurationError, shown
from charkit.html_tables import TEXTS, table_of_rows
from charkit.keyword_suggestions import suggesting_keywords
from charkit.plugins import find
from charkit.plugins.backend_creation import check_options
from charkit.plugins.supervision import stdout_to_stderr
from charkit.testing.registry import Check
from charkit.testing.runner import CheckResult, Status, as_json, check_results, verdict_passed, verified_with
from charkit.testing.subject import Subject

#: Cases and seeds are below this number.
_LIMIT = 2**63


@dataclass(frozen=True)
class Verification:
    """The results of the conformance kit for a backend; notebooks show the failures as a table.

    ``verified_with`` is the value for ``BackendInfo.verified``: charkit and the backend's libraries, with their
    versions. It is empty unless every stage was checked and passed.
    """

    backend: str
    checks: tuple[CheckResult, ...]
    verified_with: str

    @property
    def passed(self) -> bool:
        """Whether at least one check passed, and none failed or was not run."""
        return verdict_passed(self.checks)

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The failed checks, each with what was expected, what was found instead, and where to look."""
        return tuple(check for check in self.checks if check.status == "failed")

    def as_json(self) -> dict[str, Any]:
        """The verdict as ``toolkit verify --json`` prints it."""
        return {**as_json(self.backend, self.checks), "verified_with": self.verified_with}

    def _repr_html_(self) -> str:
        counts = Counter(check.status for check in self.checks)
        caption = ", ".join(f"{counts[status]} {status}" for status in get_args(Status) if counts[status])
        rows = [
            (check.stage, check.name, check.expected, check.got, check.look_at) for check in self.failures
        ]
        return table_of_rows(
            ("stage", "failed check", "expected", "got", "look at") if rows else (),
            rows,
            f"{self.backend}: {caption or 'nothing was checked'}",
            style=TEXTS,
        )


@suggesting_keywords
def verify(
    backend: str,
    *,
    stages: str | Iterable[str] | None = None,
    device: str | None = None,
    threads: int | None = None,
    drawn_cases: int = 0,
    seed: int | None = None,
    on_check: Callable[[Check, str], None] | None = None,
    on_result: Callable[[CheckResult], None] | None = None,
) -> Verification:
    """Runs the conformance kit on an installed backend, stage by stage.

        for failure in charkit.verify("mine").failures:
            print(failure.name, failure.expected, failure.got, failure.look_at)

    ``stages`` is one of ``charkit.testing.STAGES`` or several, by default all. ``device`` defaults to the backend's
    first, ``threads`` to the framework's own choice. After the checks, ``drawn_cases`` networks with sizes, settings
    and calls drawn from ``seed`` (by default 0) are compared with the oracle; a failing one is reduced to a simple one.

    ``on_check`` is called with each check before it runs, and again with each precision that it runs in (otherwise
    ``""``); ``on_result`` with each result. Output that a framework prints meanwhile goes to standard error.

    A broken backend is a verdict, not an error. Raises BackendError for an unknown name, and for an unavailable device
    or number of threads; ConfigurationError for an unknown stage, or a number of cases or a seed that is not allowed.
    """
    _check_drawn(drawn_cases, seed)
    subject = Subject(backend, device=check_request(backend, device, threads), threads=threads)
    checked = None if stages is None else _named(stages)
    results = check_results(
        subject,
        checked,
        on_check or (lambda _check, _precision: None),
        drawn_cases=drawn_cases,
        seed=seed or 0,
    )
    found: list[CheckResult] = []
    try:
        while True:
            with stdout_to_stderr():  # a framework may print in any check
                result = next(results, None)
            if result is None:
                break
            found.append(result)
            if on_result is not None:
                on_result(result)
    finally:
        subject.end()
    complete = checked is None and verdict_passed(found)
    return Verification(backend, tuple(found), verified_with(subject) if complete else "")


def _check_drawn(drawn_cases: int, seed: int | None) -> None:
    """Raises ConfigurationError for a number of cases or a seed that is not allowed."""
    if seed is not None and not drawn_cases:
        raise ConfigurationError("`seed` selects the drawn cases, but there are none; add `drawn_cases`")
    for name, number in (("drawn_cases", drawn_cases), ("seed", 0 if seed is None else seed)):
        if type(number) is not int or not 0 <= number < _LIMIT:
            raise ConfigurationError(
                f"`{name}` must be an integer from 0 to {_LIMIT - 1}; given {shown(number)}"
            )


def _named(stages: str | Iterable[str]) -> list[str]:
    """The stages that were asked for, which need not exist. Raises ConfigurationError for what holds no names."""
    if not isinstance(stages, Iterable):
        raise ConfigurationError(f"`stages` takes names of stages, such as 'import'; given {shown(stages)}")
    return [stages] if isinstance(stages, str) else list(stages)


def check_request(backend: str, device: str | None, threads: int | None) -> str | None:
    """The device as the backend names it, None for None.

    Raises BackendError for an unknown name, and for a device or a number of threads that can't be had.
    """
    plugin = find(backend)
    if device is None and threads is None:
        return None  # the first check imports the framework, while other processes start
    try:
        _ = plugin.backend_class
    except BackendError:
        return device  # a finding of the checks
    return check_options(plugin, device=device, threads=threads)
