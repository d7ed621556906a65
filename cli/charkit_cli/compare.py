"""``toolkit compare``: do the backends agree, which is faster here, and what does it cost?"""

from __future__ import annotations

import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from charkit.backend import available_threads
from charkit.capabilities import required
from charkit.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    Settings,
    check_choice,
    duration_seconds,
    merge,
    parse_assignment,
    read_toml,
)
from charkit.errors import ConfigurationError
from charkit.plugins import installed
from charkit.runs.storage import check_new_folder
from charkit.training.interrupts import StopRequest, terminating_as_interrupting
from charkit_cli.first_party import missing_plugins
from charkit_cli.options import DEFAULT, NO_VALUE, Device, Json, Threads, with_options
from charkit_cli.output import print_json, print_notices, to_log, to_user, waiting
from charkit_comparison import Plan, compare
from charkit_comparison.plan import EXAMINED_AT_RANDOM, Variant
from charkit_comparison.setup import Subject, from_run, from_text, is_run, variants_of

EXAMPLES = (
    "toolkit compare anna.txt",
    "toolkit compare anna.txt --backends numpy,torch --max-steps 1000 --rounds 5",
    "toolkit compare runs/anna-1 --max-steps 200",
    "toolkit compare anna.txt --precision float32 --precision float64",
    "toolkit compare anna.txt --own-layers",
    "toolkit compare anna.txt --python torch-old=/envs/old/bin/python",
)
REPORTS_FOLDER = Path("comparisons")


@with_options({"model": ModelConfig, "optimizer": OptimizerConfig, "data": DataConfig}, leave_out=("text",))
def command(
    given: Settings,
    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|RUN", help="text files or folders, or one run; unset, Python's language reference"
        ),
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option("--backends", metavar="NAMES", help="such as numpy,torch; unset, every usable one"),
    ] = None,
    max_steps: Annotated[
        int,
        typer.Option(
            "--max-steps",
            metavar="INT",
            help=f"training steps of each {DEFAULT.format(300)}",
            show_default=False,
        ),
    ] = 300,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            metavar="INT",
            help=f"turns that the steps are divided into {DEFAULT.format(3)}",
            show_default=False,
        ),
    ] = 3,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            metavar="CHOICE",
            help=f"float32, float64, bfloat16; may be repeated {DEFAULT.format('float32')}",
        ),
    ] = None,
    bound: Annotated[
        float | None,
        typer.Option(
            "--bound",
            metavar="FLOAT",
            help="fail if two losses of a step differ by more nats than this, whatever the cause; unset, no bound",
        ),
    ] = None,
    examine: Annotated[
        int,
        typer.Option(
            "--examine",
            metavar="INT",
            help="steps to compare with the float64 reference, drawn at random, in addition to the first, the "
            f"last and those where curves part {DEFAULT.format(EXAMINED_AT_RANDOM)}",
            show_default=False,
        ),
    ] = EXAMINED_AT_RANDOM,
    own_layers: Annotated[
        bool,
        typer.Option("--own-layers", metavar=NO_VALUE, help="and each framework's own usual way"),
    ] = False,
    pythons: Annotated[
        list[str] | None,
        typer.Option(
            "--python",
            metavar="NAME=PATH",
            help="a backend in another environment, as in torch-old=/envs/old/bin/python; may be repeated",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="folder of the report; unset, comparisons/NAME-N"),
    ] = None,
    turn_limit: Annotated[
        str,
        typer.Option(
            "--turn-limit",
            metavar="TEXT",
            help=f"most time that each task of a turn may take {DEFAULT.format('10m')}",
            show_default=False,
        ),
    ] = "10m",
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="INT", help="seed of weights, masks and draws")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="settings from a TOML file, by section")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="one setting, as in model.lstm_size=256; may be repeated"
        ),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> int:
    """Compares, writes the report, and returns the exit status."""
    from charkit_cli.comparison_table import tell
    from charkit_comparison.page import report_object, write_report

    precisions = list(dict.fromkeys(precision or ["float32"]))
    for one in precisions:
        check_choice("precision", one, ("float32", "float64", "bfloat16"))
    layers = [read_toml(config)] if config else []
    layers += [parse_assignment(assignment) for assignment in assignments or ()]
    chosen = merge(*layers, given, {} if seed is None else {"training": {"seed": seed}})
    subject = _subject(source or [], chosen)
    folder = _free(out, subject.name)
    check_new_folder(folder)
    _check_bound(bound)
    limit = _limit(turn_limit)
    if examine < 0:
        raise ConfigurationError(f"--examine must be at least 0; given {examine}")
    for option, number in (("--max-steps", max_steps), ("--rounds", rounds), ("--threads", threads)):
        _at_least_1(option, number)
    variants, told = _who(backends, precisions, pythons or (), device, own_layers, subject)
    wish = StopRequest()
    with terminating_as_interrupting(wish), tempfile.TemporaryDirectory(prefix="charkit-compare-") as scratch:
        plan = Plan(
            subject.job.config,
            steps=max_steps,
            rounds=min(rounds, max_steps),
            threads=available_threads() if threads is None else threads,
            folder=Path(scratch),
            bound=bound,
            examined_at_random=examine,
            turn_limit_seconds=limit,
            sample_seed=subject.job.config.training.seed,
            command=shlex.join(["toolkit", *sys.argv[1:]]),
        )
        print_notices(to_log(), (*subject.notes, *told))
        with waiting("comparing") as progress:
            report = compare(
                plan,
                variants,
                subject.job,
                subject.text,
                progress,
                start=subject.start,
                notes=(*subject.notes, *told),
            )
    if as_json:
        print_json(report_object(report))
    else:
        tell(to_user(), report)
    folder = _free(out, subject.name)  # another comparison may have taken the name meanwhile
    write_report(report, folder)  # last: should it fail, what was found has been told
    (to_log() if as_json else to_user()).print(f"report: {folder / 'report.html'}", markup=False)
    if report.partial:
        return 128 + (signal.SIGTERM if wish.reason == "terminated" else signal.SIGINT)
    return 0 if report.agree and any(one.status == "done" for one in report.variants) else 1


def _who(
    backends: str | None,
    precisions: Sequence[str],
    pythons: Sequence[str],
    device: str | None,
    own_layers: bool,
    subject: Subject,
) -> tuple[list[Variant], list[str]]:
    """Who takes part, and notes about that."""
    if pythons and not subject.job.config.data.text:
        raise ConfigurationError(
            "without a text, each Python reads the reference of its own version; with --python, name a text"
        )
    asked = [name.strip() for name in (backends or "").split(",") if name.strip()]
    settings = subject.job.config
    needs = required(model=settings.model, optimizer=settings.optimizer)
    variants, told = variants_of(asked, precisions, pythons, device, needs)
    if not asked:
        told += missing_plugins(plugin.name for plugin in installed())
    if own_layers:
        from charkit_comparison.own_layers.registry import own_variants

        own, left_out = own_variants(device, needs.values())
        variants, told = [*variants, *own], [*told, *left_out]
        if own and subject.start:
            told.append(
                "own layers start from the run's weights, without its optimiser's moments and its state"
            )
    return variants, told


def _subject(source: Sequence[str], settings: Settings) -> Subject:
    """What everyone trains: a run's model if the source is one, else a new model on a text."""
    if any(is_run(path) for path in source):
        if len(source) > 1:
            raise ConfigurationError(
                f"compare takes one run or texts; given {', '.join(source)}; name the run alone"
            )
        return from_run(Path(source[0]), settings)
    return from_text(merge(settings, {"data": {"text": tuple(source)}}) if source else settings)


def _free(out: Path | None, name: str) -> Path:
    """The folder of the report, which must not exist."""
    if out is None:
        pattern = re.compile(re.escape(name) + r"-(\d+)")
        entries = REPORTS_FOLDER.iterdir() if REPORTS_FOLDER.is_dir() else ()
        taken = [int(match[1]) for entry in entries if (match := pattern.fullmatch(entry.name))]
        return REPORTS_FOLDER / f"{name}-{max(taken, default=0) + 1}"
    if out.exists():
        raise ConfigurationError(f"{str(out)!r} exists; choose another --out")
    return out


def _at_least_1(option: str, given: int | None) -> None:
    if given is not None and given < 1:
        raise ConfigurationError(f"{option} must be at least 1; given {given}")


def _check_bound(bound: float | None) -> None:
    if bound is not None and not bound > 0:
        raise ConfigurationError(f"--bound must be above 0; given {bound}")


def _limit(text: str) -> float:
    try:
        return duration_seconds(text)
    except ValueError as error:
        raise ConfigurationError(f"--turn-limit {text!r}: {error}") from error
