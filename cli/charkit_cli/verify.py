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


def _tell(console: Console, backend: str, results: list[CheckResult]) -> None:
    for stage in STAGES:
        of_stage = [result for result in results if result.stage == stage]
        if not of_stage:
            continue
        passed = sum(result.passed for result in of_stage)
        good = passed == len(of_stage)
        console.print(
            Text.assemble(
                ("ok    " if good else "FAIL  ", "bold green" if good else "bold red"),
                f"{stage:<11}{passed:>3} of {len(of_stage):>2}  ",
                (duration(sum(result.seconds for result in of_stage)), "dim"),
            )
        )
        for result in of_stage:
            if not result.passed and not result.got.startswith("not run"):
                _tell_failure(console, result)
        for why, count in Counter(_not_run(of_stage)).items():
            console.print(Padding(Text(f"{count} {why}", style="dim"), (0, 0, 0, 6), expand=False))
    failed = sum(not result.passed for result in results)
    todo = next((result.got for result in results if result.unwritten), None)
    if todo:
        console.print(Text(f"{backend}: {todo}", style="bold yellow"))
    elif failed:
        console.print(f"{backend}: {failed} of {len(results)} checks failed", style="bold red")
    else:
        console.print(f"{backend}: all {len(results)} checks passed", style="bold green")


def _not_run(results: list[CheckResult]) -> list[str]:
    """Why checks were not run."""
    return [result.got for result in results if result.got.startswith("not run")]


def _tell_failure(console: Console, result: CheckResult) -> None:
    console.print(Padding(Text(result.name, style="bold"), (0, 0, 0, 6), expand=False))
    for label, text in (("expected", result.expected), ("got", result.got), ("look at", result.look_at)):
        if text:
            console.print(Padding(Text.assemble((f"{label}: ", "dim"), text), (0, 0, 0, 8), expand=False))
