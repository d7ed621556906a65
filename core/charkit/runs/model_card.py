"""The model card of a run: its README.md, for whoever finds the folder later."""

from __future__ import annotations

import shlex

from charkit.runs.checkpoint import TrainingProgress
from charkit.runs.run import Run
from charkit.weights import parameter_count


def model_card(run: Run, progress: TrainingProgress, text_name: str) -> str:
    """What the model is, what it was trained on, how good it is, and how to sample it."""
    model, data = run.config.model, run.config.data
    kind = "bytes" if data.vocabulary == "byte" else "characters"
    rows = [
        ("text", f"{text_name}, SHA-256 `{run.text_sha256}`"),
        ("symbols", f"{model.vocabulary_size} distinct {kind}"),
        ("model", f"LSTM, {model.num_layers} x {model.lstm_size}, dropout {model.dropout:g}"),
        ("parameters", f"{parameter_count(model):,}"),
        ("batch", f"{data.batch_size} sequences of {data.num_steps} characters"),
        ("precision", progress.training.precision),
        ("steps", f"{progress.step:,}"),
        ("training time", f"{progress.elapsed_seconds:,.0f} s"),
        ("validation loss", _loss(progress.validation_loss)),
        ("best validation loss", _loss(progress.best_validation_loss, progress.best_step)),
    ]
    path = shlex.quote(str(run.path))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# {run.path.name}\n\nA character-level LSTM language model, trained with charkit.\n\n"
        f"| what | value |\n|---|---|\n{table}\n\n"
        f"Sample it, score it, or train it further:\n\n```\n"
        f"toolkit sample {path}\n"
        f"toolkit evaluate {path}\n"
        f"toolkit train --resume {path}\n```\n"
    )


def _loss(nats: float | None, step: int | None = None) -> str:
    if nats is None:
        return "not measured"
    return f"{nats:.4f} nats per symbol" + (f", at step {step:,}" if step is not None else "")
