"""``toolkit evaluate``: how well a run predicts a text."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from charkit.text.corpus import Split
from charkit.text.vocabulary import Unknown
from charkit_cli.options import DEFAULT, Backend, Device, Json, Threads
from charkit_cli.run_loading import Checkpoint, ComputePrecision, RunArgument, load
from charkit_cli.terminal_output import print_json, print_notices, to_log, to_user, waiting

EXAMPLES = (
    "toolkit evaluate",
    "toolkit evaluate runs/anna-1 --split test --backend torch",
    "toolkit evaluate runs/anna-1 --text other.txt --unknown skip",
)


def command(
    run: RunArgument = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="PATH", help="score this file or folder instead; may be repeated"),
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(
            "--split",
            metavar="CHOICE",
            help="train, validation, test or all; unset, validation, and all of another text",
        ),
    ] = None,
    unknown: Annotated[
        Unknown,
        typer.Option(
            "--unknown",
            metavar="CHOICE",
            help=f"what to do with symbols the model never saw: error, skip {DEFAULT.format('error')}",
            show_default=False,
        ),
    ] = "error",
    checkpoint: Checkpoint = "best",
    backend: Backend = "numpy",
    precision: ComputePrecision = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Scores and prints."""
    loaded = load(run, checkpoint, backend=backend, precision=precision, device=device, threads=threads)
    notices: list[str] = []
    with waiting("reading") as progress:
        found = loaded.evaluate(
            text or None, split=split, unknown=unknown, progress=progress, on_notice=notices.append
        )
    print_notices(to_log(), notices)
    if as_json:
        print_json(asdict(found))
        return
    what = ", ".join(text) if text else f"the {split or 'validation'} split"
    user = to_user()
    user.print(Text(f"{loaded.path} at step {loaded.step:,} on {what}"))
    table = Table("figure", "value", box=SIMPLE_HEAD, pad_edge=False)
    table.columns[1].justify = "right"
    table.add_row("loss (nats per symbol)", f"{found.loss:.4f}")
    table.add_row("bits per character", f"{found.bits_per_character:.4f}")
    table.add_row("bits per byte", f"{found.bits_per_byte:.4f}")
    table.add_row("perplexity", f"{found.perplexity:.3f}")
    table.add_row("symbols scored", f"{found.symbols:,}")
    table.add_row("streams", f"{found.streams:,}")
    user.print(table)
