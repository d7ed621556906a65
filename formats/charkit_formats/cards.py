"""The model card of an imported run: its README.md."""

from __future__ import annotations

import shlex

from charkit.runs.run import Run
from charkit.weights import parameter_count


def import_card(run: Run, file_name: str, file_sha256: str) -> str:
    """What the model is, where it came from, and how to use it."""
    model, data = run.config.model, run.config.data
    kind = "bytes" if data.vocabulary == "byte" else "characters"
    rows = [
        ("imported from", f"{file_name}, SHA-256 `{file_sha256}`"),
        ("symbols", f"{model.vocabulary_size} distinct {kind}"),
        ("model", f"LSTM, {model.num_layers} x {model.lstm_size}"),
        ("parameters", f"{parameter_count(model):,}"),
        ("precision", run.config.training.precision),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    path = shlex.quote(str(run.path))
    return (
        f"# {run.path.name}\n\nA character-level LSTM language model, trained elsewhere and imported into charkit. "
        "It has no text of its own.\n\n"
        f"| what | value |\n|---|---|\n{table}\n\n"
        f"Sample it, score it, or train a new run from it:\n\n```\n"
        f"toolkit sample {path}\n"
        f"toolkit evaluate {path} --text TEXT\n"
        f"toolkit train TEXT --init-from {path}\n```\n"
    )
