"""``toolkit compare``: do the backends agree, which is faster here, and what does it cost?"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Annotated, get_args

import typer

from charkit.config import DataConfig, ModelConfig, OptimizerConfig, Precision
from charkit.errors import ConfigurationError, StorageError
from charkit.plugins import installed
from charkit.runs.new_folders import check_new_folder
from charkit.settings import Settings, merge, parse_assignment, read_toml
from charkit.system.command_lines import joined
from charkit.text.locations import without_secrets
from charkit.training.interrupts import StopRequest, catching_signals
from charkit_cli.completion import among, listed_backends, run_paths
from charkit_cli.first_party import missing_plugins
from charkit_cli.options import DEFAULT, Device, Json, Threads, Verbose, with_options
from charkit_cli.terminal_output import print_json, print_notices, to_log, to_user, waiting
from charkit_comparison import ComparisonReport
from charkit_comparison.page import REPORTS_FOLDER, free_report_folder, report_object, write_report
from charkit_comparison.plan import EXAMINED_AT_RANDOM
from charkit_comparison.request import ComparisonRequest

EXAMPLES = (
    "toolkit compare anna.txt",
    "toolkit compare anna.txt --backends numpy,torch --max-steps 1000 --rounds 5",
    "toolkit compare runs/anna-1 --max-steps 200",
    "toolkit compare anna.txt --precision float32 --precision float64",
    "toolkit compare anna.txt --own-layers",
    "toolkit compare anna.txt --python torch-old=/envs/old/bin/python",
)


Source = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT|RUN",
        help="text files, directories or URLs, a prepared text, or one run "
        + DEFAULT.format("Python's language reference"),
        autocompletion=run_paths,
    ),
]
Backends = Annotated[
    str | None,
    typer.Option(
        "--backends",
        metavar="NAMES",
        help=f"backends to compare, as in numpy,torch {DEFAULT.format('all usable ones')}",
        autocompletion=listed_backends,
    ),
]
MaxSteps = Annotated[
    int,
    typer.Option(
        "--max-steps",
        metavar="INT",
        help=f"training steps per backend {DEFAULT.format(300)}",
        show_default=False,
    ),
]
Rounds = Annotated[
    int,
    typer.Option(
        "--rounds",
        metavar="INT",
        help=f"number of rounds that the steps are divided into {DEFAULT.format(3)}",
        show_default=False,
    ),
]
Precisions = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="CHOICE",
        help="floating-point precision: float32, float64, bfloat16; repeatable "
        + DEFAULT.format("float32, or the run's"),
        autocompletion=among(get_args(Precision)),
    ),
]
Bound = Annotated[
    float | None,
    typer.Option(
        "--bound",
        metavar="FLOAT",
        help="fail if the losses at any step differ by more than this many nats, whatever the cause",
    ),
]
Examine = Annotated[
    int,
    typer.Option(
        "--examine",
        metavar="INT",
        help="number of randomly chosen steps to compare with the float64 reference, besides the first, the "
        f"last, and those where the loss curves diverge {DEFAULT.format(EXAMINED_AT_RANDOM)}",
        show_default=False,
    ),
]
OwnLayers = Annotated[
    bool, typer.Option("--own-layers", help="also train with each framework's own LSTM layers")
]
Pythons = Annotated[
    list[str] | None,
    typer.Option(
        "--python",
        metavar="NAME=PATH",
        help="backend in another environment: its name with a hyphen and a suffix, and the Python of that "
        "environment, as in torch-old=/envs/old/bin/python; repeatable",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="new directory for the report "
        + DEFAULT.format("comparisons/NAME-N, named after the text or run"),
    ),
]
TurnLimit = Annotated[
    str,
    typer.Option(
        "--turn-limit",
        metavar="TIME",
        help=f"time limit for each task in a variant's turn, such as training or validation {DEFAULT.format('10m')}",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="INT",
        help="seed for every random number in the comparison; not allowed with a run "
        + DEFAULT.format("0, or the run's"),
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="read settings, grouped by section, from a TOML file"),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="set one setting, as in model.lstm_size=256; overrides --config; repeatable",
    ),
]


@with_options({"model": ModelConfig, "optimizer": OptimizerConfig, "data": DataConfig}, leave_out=("text",))
def command(
    given: Settings,
    source: Source = None,
    backends: Backends = None,
    max_steps: MaxSteps = 300,
    rounds: Rounds = 3,
    precision: Precisions = None,
    bound: Bound = None,
    examine: Examine = EXAMINED_AT_RANDOM,
    own_layers: OwnLayers = False,
    pythons: Pythons = None,
    out: Out = None,
    turn_limit: TurnLimit = "10m",
    seed: Seed = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    device: Device = None,
    threads: Threads = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Compares, writes the report, and returns the exit status."""
    _check_out(out)
    layers = [*([read_toml(config)] if config else []), *map(parse_assignment, assignments or ())]
    names = [name.strip() for name in (backends or "").split(",") if name.strip()]
    if backends is not None and not names:
        raise ConfigurationError("`backends` names no backend; leave it out to compare all usable ones")
    request = ComparisonRequest(
        source,
        merge(*layers, given, {} if seed is None else {"training": {"seed": seed}}),
        backends=names,
        precisions=precision or (),
        pythons=_pythons(pythons or ()),
        own_layers=own_layers,
        max_steps=max_steps,
        rounds=rounds,
        bound=bound,
        examine=examine,
        turn_limit=turn_limit,
        device=device,
        threads=threads,
        notices=() if names else missing_plugins(plugin.name for plugin in installed()),
        verbose=verbose,
        command=joined(["toolkit", *map(without_secrets, sys.argv[1:])]),
    )
    stop_request = StopRequest()
    report = _run(request, stop_request)
    with catching_signals(stop_request):  # one that comes now loses nothing: the report is written first
        _show(report, out, as_json=as_json)
    return _status(report, stop_request)


def _show(report: ComparisonReport, out: Path | None, *, as_json: bool) -> None:
    """Prints the results, and writes the report's files last: should that fail, the results have been printed."""
    from charkit_cli.comparison_table import print_comparison

    if as_json:
        print_json(report_object(report))
    else:
        print_comparison(to_user(), report)
    folder = _write(report, out)
    (to_log() if as_json else to_user()).print(f"report: {folder / 'report.html'}", markup=False)


def _write(report: ComparisonReport, out: Path | None) -> Path:
    """Writes the report's files into a new folder, and returns it: ``out``, or the first that is free."""
    tried: Path | None = None
    while True:
        folder = out or free_report_folder(report)
        try:
            write_report(report, folder)
        except StorageError as error:
            # Another comparison has taken the name since it was free, or removed the folder above, which it had made.
            taken = out is None and folder.exists()
            if folder == tried or not (taken or isinstance(error.__cause__, FileNotFoundError)):
                raise
            tried = folder
        else:
            return folder


def _run(request: ComparisonRequest, stop_request: StopRequest) -> ComparisonReport:
    """Prints notices, then shows the progress of the comparison."""
    with ExitStack() as stack:
        bar = cache(lambda: stack.enter_context(waiting("comparing")))

        def show_progress(stage: str, share: float) -> None:
            bar()(stage, share)  # made on the first call: by then the notices are printed

        return request.run(show_progress, lambda notice: print_notices(to_log(), (notice,)), stop_request)


def _status(report: ComparisonReport, stop_request: StopRequest) -> int:
    if report.partial or stop_request.signal_number:
        return 128 + (stop_request.signal_number or signal.SIGINT)
    failed = any(one.decides and one.status == "failed" for one in report.variants)
    return 0 if report.agree and not failed and any(one.status == "done" for one in report.variants) else 1


def _check_out(out: Path | None) -> None:
    """Raises, before hours of work, where the report could not be written."""
    if out is not None and out.exists():
        raise ConfigurationError(f"{str(out)!r} already exists; choose another --out")
    check_new_folder(out or REPORTS_FOLDER / "new")


def _pythons(given: Iterable[str]) -> dict[str, str]:
    """The interpreters by the names of their variants, from ``torch-old=/envs/old/bin/python``."""
    found: dict[str, str] = {}
    for one in given:
        name, _, python = one.partition("=")
        if not name or not python:
            raise ConfigurationError(
                f"--python {one!r} is not of the form NAME=PATH, as in torch-old=/envs/old/bin/python"
            )
        if name in found:
            raise ConfigurationError(f"two variants are named {name!r}; give each --python a unique name")
        found[name] = python
    return found
