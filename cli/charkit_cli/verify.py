"""``toolkit verify``: is a backend right, and what is wrong if it is not?"""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from charkit import plugins
from charkit.errors import BackendError
from charkit.supervision import clean_output
from charkit.testing import STAGES, CheckResult, Subject, all_checks, as_json, run_checks
from charkit_cli.options import DEFAULT, Device, Json, Threads
from charkit_cli.output import duration, print_json, to_user, waiting

EXAMPLES = (
    "toolkit verify --backend torch",
    "toolkit verify --backend mine --stage import --stage build --stage forward",
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
    device: Device = None,
    threads: Threads = None,
    json_output: Json = False,
) -> int:
    """Runs the checks stage by stage; the exit status is 1 if any fails."""
    _refuse_wrong_use(backend, device, threads)
    subject = Subject(backend, device=device, threads=threads)
    total = sum(stage is None or check.stage in stage for check in all_checks())
    seen: list[CheckResult] = []
    with waiting(f"verifying {backend}") as progress:

        def heard(result: CheckResult) -> None:
            seen.append(result)
            progress(f"verifying {backend}: {result.stage}", len(seen) / max(1, total))

        with clean_output():  # a framework may print at any check
            run_checks(subject, heard, stage)
    verdict = as_json(backend, seen)
    if json_output:
        print_json(verdict)
    else:
        _tell(to_user(), backend, seen)
    return 0 if verdict["passed"] else 1


def _refuse_wrong_use(backend: str, device: str | None, threads: int | None) -> None:
    """Raises BackendError for what says nothing of the backend: an unknown name, a device that isn't here."""
    plugins.find(backend)
    try:
        factory = plugins.backend_class(backend)
    except BackendError:
        return  # that is for the checks to judge
    if device is not None or threads is not None:
        plugins.check_asked(backend, factory, device=device, threads=threads)


#: How each status of a stage is printed.
_LABELS = {
    "passed": ("ok    ", "bold green"),
    "failed": ("FAIL  ", "bold red"),
    "not run": ("-     ", "dim"),
    "not declared": ("-     ", "dim"),
}


def _tell(console: Console, backend: str, results: list[CheckResult]) -> None:
    for stage in STAGES:
        of_stage = [result for result in results if result.stage == stage]
        if of_stage:
            _print_stage(console, stage, of_stage)
    failed = sum(result.status == "failed" for result in results)
    todo = next((result.got for result in results if result.unwritten), None)
    if todo:
        console.print(Text(f"{backend}: {todo}", style="bold yellow"))
    elif failed:
        counts = _counted(results, "failed", "not run", "not declared")
        console.print(Text(f"{backend}: {counts}, of {len(results)} checks", style="bold red"))
    else:
        passed = sum(result.passed for result in results)
        undeclared = _counted(results, "not declared")
        more = f" ({undeclared})" if undeclared else ""
        console.print(Text(f"{backend}: all {passed} checks passed{more}", style="bold green"))


def _print_stage(console: Console, stage: str, results: list[CheckResult]) -> None:
    passed = sum(result.passed for result in results)
    declared = sum(result.status != "not declared" for result in results)
    status = next((name for name in ("failed", "not run", "passed") if _count(results, name)), "not declared")
    label, style = _LABELS[status]
    count = f"{passed:>3} of {declared:>2}" if passed or status == "failed" else f"{status:<9}"
    console.print(
        Text.assemble(
            (label, style),
            (f"{stage:<11}{count}  ", "dim" if style == "dim" else ""),
            (duration(sum(result.seconds for result in results)), "dim"),
        )
    )
    for result in results:
        if result.status == "failed":
            _tell_failure(console, result)
    reasons = Counter(result.got for result in results if result.status in {"not run", "not declared"})
    for why, count_of in reasons.items():
        console.print(Padding(Text(f"{count_of} {why}", style="dim"), (0, 0, 0, 6), expand=False))


def _count(results: list[CheckResult], status: str) -> int:
    return sum(result.status == status for result in results)


def _counted(results: list[CheckResult], *statuses: str) -> str:
    """How many results have each of the statuses, without those that none has: ``2 failed, 5 not run``."""
    counts = {status: _count(results, status) for status in statuses}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _tell_failure(console: Console, result: CheckResult) -> None:
    console.print(Padding(Text(result.name, style="bold"), (0, 0, 0, 6), expand=False))
    for label, text in (("expected", result.expected), ("got", result.got), ("look at", result.look_at)):
        if text:
            console.print(Padding(Text.assemble((f"{label}: ", "dim"), text), (0, 0, 0, 8), expand=False))
