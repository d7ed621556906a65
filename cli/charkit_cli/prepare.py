"""``toolkit prepare``: encodes a text once, so that it can be trained on from any machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from charkit.config import DataConfig
from charkit.errors import ConfigurationError, counted
from charkit.settings import Settings
from charkit.system.command_lines import quoted_path
from charkit.text.preparation import Preparation, check_prepared, prepare
from charkit.training.interrupts import StopRequest, catching_signals, stopping_at_once
from charkit_cli import standard_input
from charkit_cli.options import Json, Verbose, with_options
from charkit_cli.terminal_output import print_files, print_json, print_notices, to_log, to_user, waiting

EXAMPLES = (
    "toolkit prepare books/ --glob '*.txt' --glob '*.md' --out books-prepared",
    "toolkit prepare s3://bucket/corpus.txt --out corpus",
    "toolkit prepare - --out dump < dump.txt",
    "toolkit prepare --check books-prepared",
)
#: The settings that say how a text is read; the others say what training makes of it.
_READING = ("glob", "vocabulary", "max_vocabulary", "encoding", "newlines")


@with_options({"data": DataConfig}, leave_out=[key for key in DataConfig.model_fields if key not in _READING])
def command(
    given: Settings,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="text files, directories or URLs, or - for standard input; required unless --check is given",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="new directory for the prepared text; required unless --check is given",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="DIR", help="read a prepared text in full and compare it with its checksums"
        ),
    ] = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Prepares or checks, and prints what there is now."""
    if check is not None:
        if text or out or given:
            raise ConfigurationError(
                "`check` only reads a prepared text; leave out TEXT, `out` and the options for reading a text"
            )
        with waiting("checking") as progress:
            made = check_prepared(check, progress)
    elif not text or out is None:
        missing = "a TEXT" if not text else "`out=DIR`, the directory to create"
        raise ConfigurationError(
            f"prepare needs {missing}; to check an existing prepared text, give `check=DIR`"
        )
    else:
        stream = standard_input.stream(to_log()) if standard_input.is_meant(text) else None
        # A signal leaves nothing behind, as an error does.
        with catching_signals(StopRequest()), stopping_at_once(), waiting("reading") as progress:
            made = prepare(
                None if stream else text, out, stream=stream, settings=given.get("data"), progress=progress
            )
    if verbose:
        print_files(to_log(), made.files)
    print_notices(to_log(), made.notices)
    if as_json:
        print_json(_as_json(made))
        return
    _print(made, is_new=check is None)


def _print(made: Preparation, *, is_new: bool) -> None:
    user = to_user()
    files = f"{counted(made.file_count, 'file')}, " if made.file_count else ""
    user.print(
        Text(
            f"{made.path}: {'prepared' if is_new else 'intact; no symbol has changed since the text was prepared'}"
        )
    )
    user.print(
        Text(
            f"{counted(made.symbols, 'symbol')}, vocabulary of {made.vocabulary_size:,}, in "
            f"{counted(made.symbols_bytes, 'byte')}"
        )
    )
    user.print(Text(f"source: {files}{counted(made.source_bytes, 'byte')}, SHA-256 {made.sha256[:12]}..."))
    if is_new:
        user.print(Text(f"next: toolkit train {quoted_path(made.path)}", style="dim"))


def _as_json(made: Preparation) -> dict[str, object]:
    return {
        "path": str(made.path),
        "symbols": made.symbols,
        "vocabulary_size": made.vocabulary_size,
        "symbols_bytes": made.symbols_bytes,
        "sha256": made.sha256,
        "source_bytes": made.source_bytes,
        "files": made.file_count,
    }
