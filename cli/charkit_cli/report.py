"""``toolkit report``: a page about runs, written once or served while they train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charkit.errors import ConfigurationError
from charkit_cli.completion import run_paths
from charkit_cli.options import DEFAULT, Json
from charkit_cli.terminal_output import print_json, to_user, waiting

EXAMPLES = (
    "toolkit report",
    "toolkit report runs/anna-1 runs/anna-2 --out reports/anna",
    "toolkit report runs/anna-1 --watch",
)
Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN",
        help=f"directories of one or more runs {DEFAULT.format('the one saved last in runs/')}",
        autocompletion=run_paths,
    ),
]


def command(
    runs: Runs = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="directory for report.html; an existing report is replaced "
            + DEFAULT.format("reports/NAME, named after the run"),
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="serve the page to browsers on this machine, and update it while a run trains"
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="INT", help=f"with --watch: port to listen on {DEFAULT.format('any free port')}"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Writes the page and prints its path, or serves it until Ctrl-C."""
    from charkit_reports.api import chosen_runs, report

    if watch:
        if out is not None:
            raise ConfigurationError(
                "`watch` serves the page and writes no file; give either `watch` or `out`"
            )
        _watch(chosen_runs(runs), port or 0, as_json=as_json)
        return
    if port is not None:
        raise ConfigurationError("`port` requires `watch`, which serves the page; give both")
    with waiting("reading") as progress:
        page = report(runs, out=out, progress=progress)
    if as_json:
        print_json({"report": str(page)})
        return
    to_user().print(f"report: {page}", markup=False)


def _watch(paths: list[Path], port: int, *, as_json: bool) -> None:
    from charkit_reports.reading import read_run
    from charkit_reports.server import LivePage, ReportServer

    for path in paths:
        read_run(path)  # a name that is none is an error here, not a page
    with ReportServer(LivePage(paths), port) as server:
        try:  # from here on: Ctrl-C may follow as soon as the address is printed
            if as_json:
                print_json({"url": server.url})
            else:
                to_user().print(f"{server.url}  (press Ctrl-C to stop)", markup=False)
            server.serve_forever()
        except KeyboardInterrupt:
            return
