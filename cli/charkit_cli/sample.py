"""``toolkit sample``: text from a run, as it is made."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from charkit.config import SamplingConfig
from charkit.errors import ConfigurationError
from charkit.loaded_run import LoadedRun, Sampling
from charkit.settings import Settings
from charkit.symbol_sampling import fresh_seed
from charkit_cli import streams
from charkit_cli.options import Backend, Device, Json, Threads, with_options
from charkit_cli.printable import printable
from charkit_cli.run_loading import Checkpoint, ComputePrecision, RunArgument, loaded_for
from charkit_cli.terminal_output import print_json, print_notices, to_log, waiting

EXAMPLES = (
    'toolkit sample --prime "Anna " --temperature 0.8',
    "toolkit sample runs/anna-1 --length 2000 --top-p 0.9 --seed 7",
    "toolkit sample runs/anna-1 --count 4 --stop '.' --json",
)


@with_options({"sampling": SamplingConfig})
def command(
    given: Settings,
    run: RunArgument = None,
    prime_file: Annotated[
        Path | None,
        typer.Option("--prime-file", metavar="FILE", help="read the prime text from a UTF-8 file"),
    ] = None,
    checkpoint: Checkpoint = "best",
    backend: Backend = "numpy",
    precision: ComputePrecision = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Draws and prints."""
    options = dict(given.get("sampling", {}))
    if prime_file is not None:
        if "prime" in options:
            raise ConfigurationError("give --prime or --prime-file, not both")
        options["prime"] = _read_prime(prime_file)
    seed_was_given = "seed" in options
    options.setdefault("seed", fresh_seed())
    with loaded_for(
        "sampling",
        run,
        checkpoint,
        backend=backend,
        precision=precision,
        device=device,
        threads=threads,
    ) as loaded:
        _draw(loaded, options, seed_was_given=seed_was_given, as_json=as_json)


def _draw(loaded: LoadedRun, options: dict[str, Any], *, seed_was_given: bool, as_json: bool) -> None:
    """Draws and prints, each piece of a single sample as it is made."""
    plan = loaded.sampling(**options)
    print_notices(to_log(), plan.notices)
    output = streams.results()
    safe = printable if output.isatty() else str  # a pipe gets the text as it was drawn
    if as_json:
        print_json({"samples": _whole(plan), "seed": plan.config.seed})
        return
    if plan.config.count == 1:
        output.write(safe(plan.prime))
        for piece in plan.pieces():
            output.write(safe(piece.text))
            output.flush()
        output.write("\n")
    else:
        for number, text in enumerate(_whole(plan), start=1):
            print(f"--- sample {number} of {plan.config.count} ---\n{safe(text)}", file=output)
    if not seed_was_given:
        to_log().print(f"seed {plan.config.seed}", style="dim")


def _whole(plan: Sampling) -> list[str]:
    """The samples once they are all made; a wait that shows how long it will be."""
    with waiting("sampling") as progress:
        return plan.texts(partial(progress, "sampling"))


def _read_prime(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the prime file {str(path)!r} is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"can't read the prime file {str(path)!r}: {error.strerror}; give the path of a UTF-8 file"
        ) from error
