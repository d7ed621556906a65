"""``toolkit sample``: text from a run, as it is made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from charkit.config import SamplingConfig
from charkit.errors import ConfigurationError, RunError
from charkit.loaded_run import LoadedRun, Sampling
from charkit.path_hints import hint_for_missing
from charkit.settings import Settings
from charkit.symbol_sampling import fresh_seed
from charkit.text.files import BYTE_ORDER_MARK
from charkit_cli import streams
from charkit_cli.options import Backend, Device, Json, Threads, with_options
from charkit_cli.printable import printable
from charkit_cli.run_loading import Checkpoint, ComputePrecision, RunArgument, loaded_for
from charkit_cli.terminal_output import print_json, print_notices, to_log, waiting

EXAMPLES = (
    'toolkit sample --prime "Anna " --temperature 0.8',
    "toolkit sample runs/anna-1 --length 2000 --top-p 0.9 --seed 7",
    "toolkit sample runs/anna-1 --count 4 --stop '.' --json",
    r"toolkit sample runs/names-1 --count 20 --stop '\n' --plain",
)
_GREEDY_WITHOUT_PRIME = (
    "at temperature 0, each character is the most likely one, which without a prime text often yields only "
    "whitespace; give one with `prime`"
)
_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_MAY_BE_ESCAPED = r"the escapes \n, \t, \0 and \\ are recognized"


@with_options({"sampling": SamplingConfig}, notes={"stop": _MAY_BE_ESCAPED})
def command(
    given: Settings,
    run: RunArgument = None,
    prime_file: Annotated[
        Path | None,
        typer.Option("--prime-file", metavar="FILE", help="read the prime text from a UTF-8 file"),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="print only the samples, without headers; each begins on a new line"),
    ] = False,
    separator: Annotated[
        str | None,
        typer.Option(
            "--separator",
            metavar="TEXT",
            help=f"print exactly this between samples (implies --plain); {_MAY_BE_ESCAPED}",
        ),
    ] = None,
    checkpoint: Checkpoint = "best",
    backend: Backend = "numpy",
    precision: ComputePrecision = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Draws and prints."""
    _refuse_text(run)
    options = dict(given.get("sampling", {}))
    if "stop" in options:
        options["stop"] = _unescaped(options["stop"])
    if as_json and (plain or separator is not None):
        raise ConfigurationError("`json=True` prints the samples as JSON; leave out `plain` and `separator`")
    between = None if separator is None else _unescaped(separator)
    is_plain = plain or between is not None
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
        print_samples = partial(_print_plain, separator=between) if is_plain else _print_numbered
        ends_once = plain and between is None
        _draw(
            loaded,
            options,
            print_samples,
            seed_was_given=seed_was_given,
            as_json=as_json,
            ends_once=ends_once,
        )


def _refuse_text(run: Path | None) -> None:
    """Raises RunError for a text in the place of a run, as other programs take it."""
    if run is None or run.parent != Path() or " " not in str(run):
        return
    if not os.path.lexists(run) and "did you mean" not in hint_for_missing(run):
        raise RunError(f"there is no run {str(run)!r}; if this is a text to continue, give it with `prime`")


def _draw(
    loaded: LoadedRun,
    options: dict[str, Any],
    print_samples: Callable[[TextIO, list[str]], None],
    *,
    seed_was_given: bool,
    as_json: bool,
    ends_once: bool,
) -> None:
    """Draws and prints, each piece of a single sample as it is made."""
    plan = loaded.sampling(**options)
    print_notices(to_log(), plan.notices)
    if plan.config.temperature == 0 and not plan.prime:
        print_notices(to_log(), [_GREEDY_WITHOUT_PRIME])
    output = streams.results()
    safe = printable if output.isatty() else str  # a pipe gets the text as it was drawn
    if as_json:
        samples = _whole(plan)
        print_json(
            {"samples": samples, "seed": plan.config.seed, "run": str(loaded.path), "step": loaded.step}
        )
        return
    if plan.config.count == 1:
        _stream(output, plan, safe, ends_once=ends_once)
    else:
        print_samples(output, list(map(safe, _whole(plan))))
    if not seed_was_given and plan.config.temperature > 0:
        to_log().print(f"seed {plan.config.seed}", style="dim")


def _stream(output: TextIO, plan: Sampling, safe: Callable[[str], str], *, ends_once: bool) -> None:
    """Prints the one sample as it is drawn, and a line break: with ``ends_once``, only where it has none at its end."""
    last = plan.prime
    output.write(safe(last))
    for piece in plan.pieces():
        last = piece.text or last
        output.write(safe(piece.text))
        output.flush()
    if not (ends_once and last.endswith("\n")):
        output.write("\n")
    output.flush()  # before the seed, which goes to another stream


def _print_numbered(output: TextIO, samples: list[str]) -> None:
    for number, text in enumerate(samples, start=1):
        print(f"--- sample {number} of {len(samples)} ---\n{text}", file=output)


def _print_plain(output: TextIO, samples: list[str], separator: str | None) -> None:
    """Prints samples with the separator between them, or each ended by one line break, its own or another."""
    if separator is None:
        output.writelines(text if text.endswith("\n") else f"{text}\n" for text in samples)
    else:
        output.write(f"{separator.join(samples)}\n")


def _unescaped(text: str) -> str:
    """The text with its escapes replaced by what they stand for."""
    return re.sub(r"\\([nt0\\])", lambda found: _ESCAPES[found[1]], text)


def _whole(plan: Sampling) -> list[str]:
    """The samples once they are all made; a wait that shows how long it will be."""
    with waiting("sampling") as progress:
        return plan.texts(partial(progress, "sampling"))


def _read_prime(path: Path) -> str:
    """The prime as it is in the file, its line endings too, but without a byte-order mark."""
    try:
        return path.read_bytes().decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the prime file {str(path)!r} is not UTF-8 (invalid byte at offset {error.start:,}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"can't read the prime file {str(path)!r}: {error.strerror}; give the path of a UTF-8 file"
        ) from error
