"""``toolkit check``: which checkpoints of a run are whole, what its files of lines hold, and the text it stores."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from charkit.errors import counted
from charkit.runs.check import RecordsCheck, RunCheck, check
from charkit.runs.config_file import TEXT
from charkit.system.command_lines import quoted
from charkit_cli.options import Json
from charkit_cli.run_loading import RunArgument
from charkit_cli.terminal_output import print_json, to_user

EXAMPLES = (
    "toolkit check",
    "toolkit check runs/anna-1 --repair",
    "toolkit check runs/anna-1 --json",
)


def command(
    run: RunArgument = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="point latest and best at intact checkpoints, and remove partially written files left by a killed "
            "process",
        ),
    ] = False,
    as_json: Json = False,
) -> int:
    """Checks the run and prints what was found; the exit status is 0 for a whole run and 1 for a damaged one."""
    found = check(run, repair=repair)
    status = 0 if found.whole else 1
    if as_json:
        print_json(_as_json(found))
        return status
    user = to_user()
    user.print(_table(found))
    for line in _lines(found, can_be_repaired=not repair and _has_repairs(found)):
        user.print(line, markup=False)
    return status


def _has_repairs(found: RunCheck) -> bool:
    return bool(found.debris) or any(pointer.problem for pointer in found.pointers)


def _table(found: RunCheck) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("checkpoint", no_wrap=True)
    table.add_column("state", overflow="fold")
    for checkpoint in found.checkpoints:
        state = (
            Text("intact", style="green") if checkpoint.whole else Text(checkpoint.problem or "", style="red")
        )
        table.add_row(f"{checkpoint.step:,}", checkpoint.name, state)
    return table


def _lines(found: RunCheck, *, can_be_repaired: bool) -> list[str]:
    """What was found besides the checkpoints, and the verdict at the end."""
    lines = [
        f"{pointer.name}: {pointer.problem or pointer.named}"
        for pointer in found.pointers
        if pointer.problem or pointer.named
    ]
    lines += [_described(records) for records in found.records if records.lines or _is_odd(records)]
    lines += [f"{TEXT}: {found.text_problem}"] if found.text_problem else []
    lines += [f"partially written: {name}" for name in found.debris]
    lines += [f"not written by charkit, left alone: {name}" for name in found.others]
    lines += [f"repaired: {line}" for line in found.repaired]
    return [*lines, _verdict(found, can_be_repaired=can_be_repaired)]


def _is_odd(records: RecordsCheck) -> bool:
    return bool(records.problem or records.cut_short)


def _described(records: RecordsCheck) -> str:
    steps = "" if records.first_step is None else f", steps {records.first_step:,} to {records.last_step:,}"
    if records.first_step is not None and records.first_step == records.last_step:
        steps = f", step {records.first_step:,}"
    short = f", {counted(records.cut_short, 'truncated line')} skipped" if records.cut_short else ""
    problem = f"; {records.problem}" if records.problem else ""
    return f"{records.name}: {counted(records.lines, 'line')}{steps}{short}{problem}"


def _verdict(found: RunCheck, *, can_be_repaired: bool) -> str:
    repair = f"toolkit check {quoted(str(found.run))} --repair"
    if found.whole:
        removal = (
            f"; to remove the partially written files: {repair}" if found.debris and can_be_repaired else ""
        )
        return f"{found.run} is intact{removal}"
    if not found.usable:
        return (
            f"{found.run} is damaged: none of its checkpoints is intact, so it can't be used; restore it from a "
            "backup, or train it again"
        )
    if found.text_problem is not None:
        return f"{found.run} is damaged; it can be sampled from, but not resumed until its text is restored"
    is_repairable = can_be_repaired and any(pointer.problem for pointer in found.pointers)
    advice = f"; to point latest and best at intact checkpoints: {repair}" if is_repairable else ""
    return f"{found.run} is damaged; its newest intact checkpoint is at step {found.usable[0].step:,}{advice}"


def _as_json(found: RunCheck) -> dict[str, Any]:
    return {
        **asdict(found),
        "run": str(found.run),
        "whole": found.whole,
        "usable_steps": [checkpoint.step for checkpoint in found.usable],
    }
