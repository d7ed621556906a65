"""``toolkit export``: a run as files that PyTorch or onnxruntime load without charkit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from charkit.system.command_lines import quoted_path
from charkit_cli.options import DEFAULT, Json
from charkit_cli.run_loading import Checkpoint, RunArgument
from charkit_cli.terminal_output import print_json, print_notices, to_log, to_user, waiting

if TYPE_CHECKING:
    from charkit_formats import ExportResult

EXAMPLES = (
    "toolkit export --out anna.safetensors",
    "toolkit export runs/anna-1 --checkpoint latest --out newest.safetensors",
    "toolkit export runs/anna-1 --format onnx --out lstm.onnx",
)


Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        help="file to write, FILE.safetensors or FILE.onnx; an example program (FILE.py) and, for torch, the "
        "vocabulary (FILE.vocabulary.json) are written next to it",
        show_default=False,
    ),
]


def command(
    *,
    run: RunArgument = None,
    out: Out,
    form: Annotated[
        Literal["torch", "onnx"] | None,
        typer.Option(
            "--format",
            metavar="CHOICE",
            help=f"format of the file: torch, onnx {DEFAULT.format('from the suffix of --out')}",
        ),
    ] = None,
    checkpoint: Checkpoint = "best",
    precision: Annotated[
        Literal["float32", "float64"],
        typer.Option(
            "--precision",
            metavar="CHOICE",
            help=f"precision of the weights: float32, or float64 for torch only {DEFAULT.format('float32')}",
            show_default=False,
        ),
    ] = "float32",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="replace existing files with the same names"),
    ] = False,
    as_json: Json = False,
) -> None:
    """Writes the files and prints how they were checked."""
    from charkit_formats import export

    with waiting("exporting") as progress:
        made = export(
            run,
            out,
            format=form,
            checkpoint=checkpoint,
            precision=precision,
            overwrite=overwrite,
            progress=progress,
        )
    print_notices(to_log(), made.notices)
    if as_json:
        print_json(_as_json(made))
        return
    user = to_user()
    user.print(Text(f"{made.run} at step {made.step:,} as {made.format}, {made.precision}"))
    width = max(len(str(file)) for file in made.files)
    for file in made.files:
        user.print(Text(f"  {file!s:<{width}}  {file.stat().st_size:>13,} bytes"))
    for check in made.checks:
        user.print(Text(f"checked: {check}"))
    user.print(Text(f"next: python {quoted_path(made.files[-1])}", style="dim"))


def _as_json(made: ExportResult) -> dict[str, object]:
    return {
        "run": str(made.run),
        "step": made.step,
        "format": made.format,
        "precision": made.precision,
        "files": [str(file) for file in made.files],
        "checks": list(made.checks),
        "largest_difference": made.largest_difference,
    }
