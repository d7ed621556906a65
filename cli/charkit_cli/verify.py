"""``toolkit verify``: is a backend right, and what is wrong if it is not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from charkit.errors import BackendError, ConfigurationError
from charkit.plugins import discovery, loading
from charkit.plugins.supervision import clean_output, last_words
from charkit.testing import (
    STAGES,
    Check,
    CheckResult,
    Status,
    Subject,
    all_checks,
    as_json,
    check_results,
    verdict_passed,
    verified_with,
)
from charkit_cli.activity import Activity
from charkit_cli.options import DEFAULT, Device, Json, Threads
from charkit_cli.output import duration, print_json, to_log, to_user

EXAMPLES = (
    "toolkit verify --backend torch",
    "toolkit verify --backend mine --stage import --stage build --stage forward",
    "toolkit verify --backend torch --speed",
)


def command(
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="NAME",
            help=f"the backend to check {DEFAULT.format('numpy')}",
            show_default=False,
        ),
    ] = "numpy",
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage", metavar="STAGE", help=f"check this stage only; may be repeated: {', '.join(STAGES)}"
        ),
    ] = None,
    speed: Annotated[
        bool,
        typer.Option(
            "--speed", help="measure speed and memory beside NumPy instead, and advise on slow patterns"
        ),
    ] = False,
    device: Device = None,
    threads: Threads = None,
    json_output: Json = False,
) -> int:
    """Runs the checks stage by stage; the exit status is 1 if any fails."""
    _refuse_wrong_use(backend, device, threads)
    if speed:
        return _measure(backend, stage, device, threads, json_output)
    subject = Subject(backend, device=device, threads=threads)
    results: list[CheckResult] = []
    for stage_name, of_stage in _by_stage(subject, stage):
        results += of_stage
        if not json_output:
            _print_stage(to_user(), stage_name, of_stage)
            to_user().file.flush()  # a pipe, too, shows each stage as it ends
    passed = verdict_passed(results)
    versions = verified_with(subject) if passed and not stage else ""
    if json_output:
        print_json({**as_json(backend, results), "verified_with": versions})
    else:
        _print_verdict(to_user(), backend, results)
        if versions:
            to_user().print(f"verified with {versions}", style="dim", markup=False)
    return 0 if passed else 1


def _measure(
    backend: str, stages: list[str] | None, device: str | None, threads: int | None, json_output: bool
) -> int:
    """Measures speed in place of checking; the exit status is 1 if the backend can't be measured."""
    from charkit.testing.speed import measure_speed
    from charkit_cli.speed_table import print_speed

    if stages:
        raise ConfigurationError(
            "--speed runs no checks, and --stage chooses among them; leave one of them out"
        )
    try:
        with Activity() as activity:
            report = measure_speed(backend, device=device, threads=threads, on_activity=activity.set)
    except BackendError as error:
        if json_output:
            print_json({"backend": backend, "error": str(error)})
        text = f"could not be measured: {error}; toolkit verify --backend {backend} says what is wrong"
        to_log().print(Text(text, style="bold red"))
        return 1
    if json_output:
        print_json(report.as_json())
    else:
        print_speed(to_user(), report)
    return 0


def _by_stage(subject: Subject, stages: list[str] | None) -> Iterator[tuple[str, list[CheckResult]]]:
    """Runs the checks, and yields the results of each stage when it has finished; shows what is running."""
    with Activity() as activity, last_words("error: this process ended before the first check") as on_death:

        def on_check(check: Check, precision: str) -> None:
            where = f" ({precision})" if precision else ""
            on_death(
                f"error: this process ended in stage {check.stage}, check {check.name}{where}, without an exception: "
                f"something in {subject.name} or its framework crashes or exits there"
            )
            activity.set(f"verifying {subject.name}: {check.stage}, {check.name}{where}")

        sizes = Counter(check.stage for check in all_checks())
        checks = check_results(subject, stages, on_check)
        of_stage: list[CheckResult] = []
        while True:
            with clean_output():  # a framework may print at any check
                result = next(checks, None)
            if result is not None:
                of_stage.append(result)
            if of_stage and (result is None or len(of_stage) == sizes[result.stage]):
                with activity.hidden():
                    yield of_stage[0].stage, of_stage
                of_stage = []
            if result is None:
                return


def _refuse_wrong_use(backend: str, device: str | None, threads: int | None) -> None:
    """Raises BackendError for what says nothing of the backend: an unknown name, a device that isn't here."""
    discovery.find(backend)
    if device is None and threads is None:
        return  # and the framework is imported by the first check, while other processes begin
    try:
        factory = loading.backend_class(backend)
    except BackendError:
        return  # that is for the checks to judge
    loading.check_asked(backend, factory, device=device, threads=threads)


def _print_stage(console: Console, stage: str, results: list[CheckResult]) -> None:
    passed, failed = _count(results, "passed"), _count(results, "failed")
    declared = len(results) - _count(results, "not declared")
    reasons = Counter(result.got for result in results if result.status in {"not run", "not declared"})
    if not passed and not failed:
        console.print(Text(f"-     {stage:<11}{', '.join(reasons)}", style="dim"))
        return
    label, style = ("FAIL  ", "bold red") if failed else ("ok    ", "bold green")
    took = duration(sum(result.seconds for result in results))
    console.print(
        Text.assemble((label, style), f"{stage:<11}{passed:>3} of {declared:>2} passed  ", (took, "dim"))
    )
    for result in results:
        if result.status == "failed":
            _print_failure(console, result)
    for reason, count in reasons.items():
        console.print(Padding(Text(f"{count} {reason}", style="dim"), (0, 0, 0, 6), expand=False))


def _print_verdict(console: Console, backend: str, results: list[CheckResult]) -> None:
    passed, failed = _count(results, "passed"), _count(results, "failed")
    counts = {status: _count(results, status) for status in ("not run", "not declared")}
    others = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    more = f" ({others})" if others else ""
    unwritten = next((result.got for result in results if result.unwritten), None)
    if unwritten:
        console.print(Text(f"{backend}: {unwritten}", style="bold yellow"))
    elif failed:
        console.print(Text(f"{backend}: {failed} of {len(results)} checks failed{more}", style="bold red"))
    else:
        console.print(Text(f"{backend}: all {passed} checks passed{more}", style="bold green"))


def _count(results: list[CheckResult], status: Status) -> int:
    return sum(result.status == status for result in results)


def _print_failure(console: Console, result: CheckResult) -> None:
    console.print(Padding(Text(result.name, style="bold"), (0, 0, 0, 6), expand=False))
    for label, text in (("expected", result.expected), ("got", result.got), ("look at", result.look_at)):
        if text:
            console.print(Padding(Text.assemble((f"{label}: ", "dim"), text), (0, 0, 0, 8), expand=False))
