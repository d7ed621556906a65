"""``toolkit import``: a PyTorch state dict as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from charkit.system.command_lines import quoted_path
from charkit.weights import parameter_count
from charkit_cli.options import DEFAULT, Json
from charkit_cli.terminal_output import print_json, print_notices, to_log, to_user, waiting

EXAMPLES = (
    "toolkit import model.safetensors --out runs/model",
    "toolkit import model.safetensors --out runs/model --vocabulary chars.json",
)


def command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="safetensors file with the weights of a torch.nn.LSTM and a torch.nn.Linear, under any names",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="directory for the new run", show_default=False)
    ],
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary",
            metavar="FILE",
            help=r'JSON file with the vocabulary, such as \["a", "b"] or {"a": 0, "b": 1} '
            + DEFAULT.format(
                "NAME.vocabulary.json next to NAME.safetensors, or the vocabulary in its metadata"
            ),
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an existing run at --out")] = False,
    as_json: Json = False,
) -> None:
    """Makes the run."""
    from charkit_formats import import_model

    with waiting("reading") as progress:
        made = import_model(file, out, vocabulary=vocabulary, overwrite=overwrite, progress=progress)
    print_notices(to_log(), made.notices)
    model = made.config.model
    if as_json:
        print_json(
            {
                "run": str(made.run),
                "vocabulary_size": model.vocabulary_size,
                "lstm_size": model.lstm_size,
                "num_layers": model.num_layers,
                "parameters": parameter_count(model),
                "precision": made.precision,
            }
        )
        return
    user = to_user()
    user.print(
        Text(
            f"{made.run}: {model.num_layers} x {model.lstm_size}, {model.vocabulary_size:,} symbols, "
            f"{parameter_count(model):,} parameters, {made.precision}"
        )
    )
    user.print(Text(f"next: toolkit sample {quoted_path(made.run)}", style="dim"))
