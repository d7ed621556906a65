"""The model card of a run: its README.md."""

from __future__ import annotations

from collections.abc import Sequence

from charkit.errors import counted
from charkit.runs.checkpoint_content import TrainingProgress
from charkit.runs.run import Run
from charkit.system.command_lines import quoted_path
from charkit.weights import parameter_count


def trained_card(run: Run, progress: TrainingProgress, text_name: str) -> str:
    """What the model is, what it was trained on, how good it is, and how to use it."""
    model, data = run.config.model, run.config.data
    path = quoted_path(run.path)
    return _card(
        run,
        "A character-level LSTM language model, trained with charkit.",
        [
            ("text", f"{text_name}, SHA-256 `{run.text_sha256}`"),
            _symbols(run),
            *([("recipe", run.config.recipe)] if run.config.recipe else []),
            ("model", f"LSTM, {model.num_layers} x {model.lstm_size}, dropout {model.dropout:g}"),
            ("parameters", f"{parameter_count(model):,}"),
            ("batch", f"{counted(data.batch_size, 'sequence')} of {counted(data.num_steps, 'symbol')}"),
            ("precision", progress.training.precision),
            ("steps", f"{progress.step:,}"),
            ("training time", f"{progress.elapsed_seconds:,.0f} s"),
            ("validation loss", _loss(progress.validation_loss)),
            ("best validation loss", _loss(progress.best_validation_loss, progress.best_step)),
        ],
        "Sample from it, evaluate it, or train it further (once training is complete, with a larger `--epochs` or "
        "`--max-steps`):",
        [f"toolkit sample {path}", f"toolkit evaluate {path}", f"toolkit train --resume {path}"],
    )


def imported_card(run: Run, file_name: str, file_sha256: str) -> str:
    """What an imported model is, where it came from, and how to use it."""
    model = run.config.model
    path = quoted_path(run.path)
    return _card(
        run,
        "A character-level LSTM language model, trained elsewhere and imported into charkit "
        "without its text.",
        [
            ("imported from", f"{file_name}, SHA-256 `{file_sha256}`"),
            _symbols(run),
            ("model", f"LSTM, {model.num_layers} x {model.lstm_size}"),
            ("parameters", f"{parameter_count(model):,}"),
            ("precision", run.config.training.precision),
        ],
        "Sample from it, evaluate it, or train a new run from it:",
        [
            f"toolkit sample {path}",
            f"toolkit evaluate {path} --text TEXT",
            f"toolkit train TEXT --init-from {path}",
        ],
    )


def _card(
    run: Run, summary: str, rows: Sequence[tuple[str, str]], invitation: str, commands: Sequence[str]
) -> str:
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# {run.path.name}\n\n{summary}\n\n| property | value |\n|---|---|\n{table}\n\n"
        f"{invitation}\n\n```\n" + "\n".join(commands) + "\n```\n"
    )


def _symbols(run: Run) -> tuple[str, str]:
    kind = "bytes" if run.config.data.vocabulary == "byte" else "characters"
    return ("symbols", f"{run.config.model.vocabulary_size} distinct {kind}")


def _loss(nats: float | None, step: int | None = None) -> str:
    if nats is None:
        return "not measured"
    return f"{nats:.4f} nats per symbol" + (f", at step {step:,}" if step is not None else "")
