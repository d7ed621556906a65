"""Runs the checks in the order of the stages, and returns their results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Literal

from charkit.errors import ConfigurationError, UnwrittenError, shown, shown_name
from charkit.plugins.failures import describe_error, is_interruption
from charkit.plugins.supervision import kept_process
from charkit.testing.catalog import all_checks
from charkit.testing.drawn.check import drawn_check
from charkit.testing.error_location import locate_error, sources_of_subject
from charkit.testing.isolated.process import shared_training_processes
from charkit.testing.memory import frozen_objects
from charkit.testing.registry import STAGES, Check, OnPrecision
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch
from charkit.version import version

#: A version among the entries of ``versions()``: "2.4.6", but not "AVX512" or "2".
_VERSION = re.compile(r"\d+\.\d")
#: "not run": a stage that the check needs has failed. "not declared": the backend does not claim what it checks.
Status = Literal["passed", "failed", "not run", "not declared"]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check; its texts are empty if it passed."""

    stage: str
    name: str
    status: Status
    expected: str
    got: str
    look_at: str
    seconds: float
    unwritten: bool = False  # it raised UnwrittenError: ``got`` says what to write next

    @property
    def passed(self) -> bool:
        """Whether the check ran and passed."""
        return self.status == "passed"


#: Called before each check, with the precision if it has one.
OnCheck = Callable[[Check, str], None]


def run_checks(
    subject: Subject | str,
    on_result: Callable[[CheckResult], None] | None = None,
    stages: Iterable[str] | None = None,
) -> list[CheckResult]:
    """Runs every check, or those of some stages, on a backend, and returns the results.

    A check is not run if a stage that it depends on has failed, or after a check that found an unwritten function.
    ``on_result`` is called with each result. Raises ConfigurationError for an unknown stage or an empty list.
    """
    results = []
    for result in check_results(subject, stages):
        results.append(result)
        if on_result is not None:
            on_result(result)
    return results


def check_results(
    subject: Subject | str,
    stages: Iterable[str] | None = None,
    on_check: OnCheck = lambda check, precision: None,
    *,
    drawn_cases: int = 0,
    seed: int = 0,
) -> Iterator[CheckResult]:
    """Yields each result of ``run_checks`` as soon as it is available, and at last that of so many drawn cases.

    Raises ConfigurationError for an unknown stage or an empty list, when called.
    """
    subject = Subject(subject) if isinstance(subject, str) else subject
    wanted = list(STAGES) if stages is None else list(stages)
    known = list(STAGES)  # not by hash: what is given may have none
    unknown = [stage for stage in wanted if stage not in known]
    if unknown or not wanted:
        given = ", ".join(shown_name(stage) if isinstance(stage, str) else shown(stage) for stage in unknown)
        raise ConfigurationError(
            f"`stages` must be one or more of {', '.join(STAGES)}; given {given or 'none'}"
        )
    checks = [check for check in all_checks() if check.stage in wanted]
    return _results(subject, checks + ([drawn_check(drawn_cases, seed)] if drawn_cases else []), on_check)


#: The check that loads the backend's class, and those of its stage that need none.
_LOADS_CLASS = "plugin_is_found"
_WITHOUT_CLASS = ("plugin_module_is_light",)
#: Stages with checks in isolated processes.
_ISOLATED_STAGES = ("import", "training", "sampling")


def _results(subject: Subject, checks: list[Check], on_check: OnCheck) -> Iterator[CheckResult]:
    importing = [check for check in checks if check.stage == "import"]
    others = checks[len(importing) :]
    is_installed = subject.factory is None
    run = _Run(subject, on_check)
    try:
        # These processes import the framework while this one does: later they would slow down parallel checks.
        if is_installed and any(check.stage in _ISOLATED_STAGES for check in checks):
            shared_training_processes(subject)
        yield from run.results(importing)
        with frozen_objects():
            yield from run.results(others)
    finally:
        subject.end()


@dataclass
class _Run:
    """One run of the kit: the checks that it must leave out."""

    subject: Subject
    on_check: OnCheck
    failed: dict[str, str] = field(default_factory=dict)  # by stage, the stage that failed first
    unwritten: str = ""  # the stage that is not finished
    has_class: bool = True

    def results(self, checks: Iterable[Check]) -> Iterator[CheckResult]:
        """Runs each check unless a stage that it needs has failed or is not finished."""
        for check in checks:
            needed = STAGES.get(check.stage, tuple(STAGES))
            first = next((self.failed[stage] for stage in needed if stage in self.failed), None)
            if self.unwritten:
                result = _not_run(check, f"stage {self.unwritten} is not finished")
            elif first is not None:
                result = _not_run(check, f"stage {first} failed first")
            elif not self.has_class and check.name not in _WITHOUT_CLASS:
                result = _not_run(check, "the backend's class can't be loaded")
            else:
                self.on_check(check, "")
                result = run_check(check, self.subject, partial(self.on_check, check))
            if result.status in {"failed", "not run"}:
                self.failed.setdefault(check.stage, first or check.stage)
            self.has_class &= check.name != _LOADS_CLASS or result.passed
            if result.unwritten:
                self.unwritten = check.stage
            yield result


def _not_run(check: Check, why: str) -> CheckResult:
    return CheckResult(check.stage, check.name, "not run", check.promise, f"not run: {why}", "", 0.0)


def run_check(
    check: Check, subject: Subject, on_precision: OnPrecision = lambda precision: None
) -> CheckResult:
    """Runs one check. An exception from the backend is a failure that says where it was raised.

    ``on_precision`` is called before each precision. Processes that the check starts serve other checks too; end
    them with ``subject.end()``.
    """
    started = perf_counter()
    status: Status = "failed"
    expected = got = look_at = ""
    unwritten = False

    def run(on_precision: OnPrecision) -> None:
        with kept_process():  # a process that the backend forks off must not run the other checks as well
            check.run(subject, on_precision)

    repeat = partial(run, lambda precision: None)
    try:
        undeclared = check.not_declared(subject)
        if undeclared:
            status, expected, got = "not declared", check.promise, f"not declared: {undeclared}"
        else:
            run(on_precision)
            status = "passed"
    except Mismatch as mismatch:
        expected, got, look_at = mismatch.expected, mismatch.got, mismatch.look_at
    except UnwrittenError as error:
        unwritten, expected, got, look_at = (
            True,
            check.promise,
            str(error),
            locate_error(error, subject, repeat),
        )
    except BaseException as error:
        if is_interruption(error, sources_of_subject(subject)):
            raise
        expected = check.promise
        got = describe_error(error)
        look_at = locate_error(error, subject, repeat)
    seconds = perf_counter() - started
    return CheckResult(check.stage, check.name, status, expected, got, look_at, seconds, unwritten)


def verdict_passed(results: Iterable[CheckResult]) -> bool:
    """Whether a backend passes: at least one check passed, and none failed or was not run."""
    statuses = {result.status for result in results}
    return "passed" in statuses and not statuses & {"failed", "not run"}


def verified_with(subject: Subject) -> str:
    """Returns the versions of charkit and of the backend's libraries, for ``BackendInfo.verified``."""
    versions = {"charkit": version(), **subject.backend("float32").versions()}
    return ", ".join(f"{name} {version}" for name, version in versions.items() if _VERSION.match(version))


def as_json(backend_name: str, results: Iterable[CheckResult]) -> dict[str, Any]:
    """The verdict as ``toolkit verify --json`` prints it."""
    results = list(results)
    checks = [
        {
            "stage": result.stage,
            "name": result.name,
            "status": result.status,
            "passed": result.passed,
            "expected": result.expected,
            "got": result.got,
            "look_at": result.look_at,
        }
        for result in results
    ]
    return {"backend": backend_name, "passed": verdict_passed(results), "checks": checks}
