"""``toolkit verify``: checks a backend against the conformance kit, or measures its speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from charkit.errors import BackendError, ConfigurationError
from charkit.plugins.supervision import crash_message
from charkit.testing import STAGES, Check, CheckResult, Status, Verification, all_checks, verify
from charkit.testing.registry import DRAWN
from charkit.testing.verification import check_request
from charkit_cli.activity import Activity
from charkit_cli.completion import among, installed_backends
from charkit_cli.options import DEFAULT, Device, Json, Threads
from charkit_cli.terminal_output import duration, print_json, to_log, to_user

EXAMPLES = (
    "toolkit verify --backend torch",
    "toolkit verify --backend mine --stage import --stage build --stage forward",
    "toolkit verify --backend mine --drawn-cases 200",
    "toolkit verify --backend torch --speed",
)

DrawnCases = Annotated[
    int,
    typer.Option(
        "--drawn-cases",
        metavar="INT",
        help="after the checks, compare this many networks with the reference; their sizes and settings, and the "
        f"calls made to them, are drawn at random {DEFAULT.format('0')}",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="INT",
        help=f"random seed for the drawn cases {DEFAULT.format('0')}",
        show_default=False,
    ),
]


def command(
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="NAME",
            help=f"backend to check {DEFAULT.format('numpy')}",
            show_default=False,
            autocompletion=installed_backends,
        ),
    ] = "numpy",
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            metavar="STAGE",
            help=f"run only the checks of this stage: {', '.join(STAGES)}; repeatable {DEFAULT.format('all')}",
            autocompletion=among(STAGES),
        ),
    ] = None,
    drawn_cases: DrawnCases = 0,
    seed: Seed = None,
    speed: Annotated[
        bool,
        typer.Option(
            "--speed",
            help="instead of checking, compare speed and memory with NumPy's, and point out slow patterns",
        ),
    ] = False,
    device: Device = None,
    threads: Threads = None,
    json_output: Json = False,
) -> int:
    """Runs the checks stage by stage; the exit status is 1 if any fails."""
    check_request(backend, device, threads)  # an error leaves nothing else on the terminal
    if speed:
        unused = {"--stage": stage, "--drawn-cases": drawn_cases, "--seed": seed is not None}
        option = next((option for option, is_given in unused.items() if is_given), None)
        if option:
            raise ConfigurationError(
                f"{option} is for checks, and --speed runs none; leave out one of the two options"
            )
        return _measure(backend, device, threads, json_output)
    run = partial(
        verify,
        backend,
        stages=stage,
        device=device,
        threads=threads,
        drawn_cases=drawn_cases,
        seed=seed,
    )
    verification = _verify(backend, run, drawn_cases, print_stages=not json_output)
    if json_output:
        print_json(verification.as_json())
    else:
        _print_verdict(to_user(), verification)
    return 0 if verification.passed else 1


def _verify(
    backend: str, run: Callable[..., Verification], drawn_cases: int, *, print_stages: bool
) -> Verification:
    """Runs the checks, shows which one is running, and prints each stage when it has finished."""
    sizes = Counter([*(check.stage for check in all_checks()), DRAWN])
    of_stage: list[CheckResult] = []
    with (
        Activity() as activity,
        crash_message(
            "error: this process ended before the first check; to find out why, run toolkit backends, which tries each "
            "backend in its own process"
        ) as on_crash,
    ):

        def on_check(check: Check, precision: str) -> None:
            where = f" ({precision})" if precision else ""
            on_crash(
                f"error: this process ended in stage {check.stage}, check {check.name}{where}, without an exception: "
                f"{backend} or its framework crashed or exited, or the system killed the process, as it does when "
                "memory runs out"
            )
            activity.set(f"verifying {backend}: {check.stage}, {check.name}{where}")

        def on_result(result: CheckResult) -> None:
            of_stage.append(result)
            if len(of_stage) < sizes[result.stage]:
                return
            if print_stages:
                with activity.hidden():
                    _print_stage(to_user(), result.stage, of_stage, drawn_cases)
                    to_user().file.flush()  # a pipe, too, shows each stage as it ends
            of_stage.clear()

        return run(on_check=on_check, on_result=on_result)


def _measure(backend: str, device: str | None, threads: int | None, json_output: bool) -> int:
    """Measures speed in place of checking; the exit status is 1 if the backend can't be measured."""
    from charkit.testing.speed import measure_speed
    from charkit_cli.speed_table import print_speed

    try:
        with Activity() as activity:
            report = measure_speed(backend, device=device, threads=threads, on_activity=activity.set)
    except BackendError as error:
        if json_output:
            print_json({"backend": backend, "error": str(error)})
        text = (
            f"error: the speed could not be measured: {error}; to check the backend, run toolkit verify --backend "
            f"{backend}"
        )
        to_log().print(Text(text, style="bold red"))
        return 1
    if json_output:
        print_json(report.as_json())
    else:
        print_speed(to_user(), report)
    return 0


def _print_stage(console: Console, stage: str, results: list[CheckResult], drawn_cases: int) -> None:
    passed, failed = _count(results, "passed"), _count(results, "failed")
    declared = len(results) - _count(results, "not declared")
    reasons = Counter(result.got for result in results if result.status in {"not run", "not declared"})
    if not passed and not failed:
        console.print(Text(f"-     {stage:<11}{', '.join(reasons)}", style="dim"))
        return
    label, style = ("FAIL  ", "bold red") if failed else ("ok    ", "bold green")
    took = duration(sum(result.seconds for result in results))
    counts = f"{passed:>3} of {declared:>2} passed"
    if stage == DRAWN and passed:
        counts = f"{drawn_cases:>3} of {drawn_cases:>2} cases passed"
    console.print(Text.assemble((label, style), f"{stage:<11}{counts}  ", (took, "dim")))
    for result in results:
        if result.status == "failed":
            _print_failure(console, result)
    for reason, count in reasons.items():
        console.print(Padding(Text(f"{count} {reason}", style="dim"), (0, 0, 0, 6), expand=False))


def _print_verdict(console: Console, verification: Verification) -> None:
    backend, results = verification.backend, verification.checks
    passed, failed = _count(results, "passed"), _count(results, "failed")
    counts = {status: _count(results, status) for status in ("not run", "not declared")}
    others = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    more = f" ({others})" if others else ""
    unwritten = next((result.got for result in results if result.unwritten), None)
    if unwritten:
        console.print(Text(f"{backend}: {unwritten}", style="bold yellow"))
    elif failed:
        declared = len(results) - counts["not declared"]
        console.print(Text(f"{backend}: {failed} of {declared} checks failed{more}", style="bold red"))
    else:
        console.print(Text(f"{backend}: all {passed} checks passed{more}", style="bold green"))
    if verification.verified_with:
        console.print(f"verified with {verification.verified_with}", style="dim", markup=False)


def _count(results: Sequence[CheckResult], status: Status) -> int:
    return sum(result.status == status for result in results)


def _print_failure(console: Console, result: CheckResult) -> None:
    console.print(Padding(Text(result.name, style="bold"), (0, 0, 0, 6), expand=False))
    for label, text in (("expected", result.expected), ("got", result.got), ("look at", result.look_at)):
        if text:
            console.print(Padding(Text.assemble((f"{label}: ", "dim"), text), (0, 0, 0, 8), expand=False))
