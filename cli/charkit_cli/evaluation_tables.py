"""What ``toolkit evaluate`` prints of an evaluation, and its JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from charkit.errors import counted
from charkit.evaluation import Evaluation
from charkit.quality.baselines import Baseline
from charkit.quality.copied import CopiedText
from charkit.quality.dynamic import DynamicEvaluation


@dataclass(frozen=True)
class Scores:
    """All that was asked for of one text; what was not is None."""

    evaluation: Evaluation
    dynamic: DynamicEvaluation | None = None
    baselines: Sequence[Baseline] | None = None
    copied: CopiedText | None = None
    #: The file with the surprisal of each character.
    per_character: str | None = None


def as_json(scores: Scores) -> dict[str, Any]:
    """The figures of the whole, then what was asked for besides."""
    answer: dict[str, Any] = _figures(scores.evaluation)
    if scores.dynamic is not None:
        answer["dynamic"] = _figures(scores.dynamic)
        answer["dynamic_settings"] = scores.dynamic.config.model_dump()
    if scores.baselines is not None:
        answer["baselines"] = [asdict(each) for each in scores.baselines]
    if scores.copied is not None:
        answer["copied"] = asdict(scores.copied)
    if scores.per_character is not None:
        answer["per_character"] = scores.per_character
    return answer


def print_scores(user: Console, scores: Scores) -> None:
    """Prints a table of the figures, and one for each that was asked for besides."""
    user.print(_figures_table(scores.evaluation, scores.dynamic))
    if scores.dynamic is not None:
        settings = scores.dynamic.config
        user.print(
            Text(
                f"dynamic: updates after every {counted(settings.segment_length, 'symbol')}, "
                f"learning rate {settings.learning_rate:g}, decay {settings.decay:g}",
                style="dim",
            )
        )
    if scores.baselines is not None:
        user.print(_baselines_table(scores.evaluation, scores.dynamic, scores.baselines))
    if scores.copied is not None:
        user.print(_copied_table(scores.copied))
        user.print(
            Text(
                f"sampled: {counted(scores.copied.samples, 'sample')} of "
                f"{counted(scores.copied.sample_length, 'symbol')}, "
                f"temperature {scores.copied.temperature:g}, seed {scores.copied.seed}",
                style="dim",
            )
        )
    if scores.per_character is not None:
        user.print(Text(f"surprisal of each character: {scores.per_character}"))


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    """The figures that every evaluation has."""
    return {field.name: getattr(evaluation, field.name) for field in fields(Evaluation)}


def _figures_table(found: Evaluation, dynamic: DynamicEvaluation | None) -> Table:
    columns = (found,) if dynamic is None else (found, dynamic)
    names = ("value",) if dynamic is None else ("model", "dynamic")
    table = Table("figure", *names, box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("loss (nats per symbol)", *(f"{each.loss:.4f}" for each in columns))
    table.add_row("bits per character", *(f"{each.bits_per_character:.4f}" for each in columns))
    table.add_row("bits per byte", *(f"{each.bits_per_byte:.4f}" for each in columns))
    table.add_row("perplexity", *(f"{each.perplexity:.3f}" for each in columns))
    table.add_row("symbols scored", *(f"{each.symbols:,}" for each in columns))
    table.add_row("streams read in parallel", *(f"{each.streams:,}" for each in columns))
    return table


def _baselines_table(
    found: Evaluation, dynamic: DynamicEvaluation | None, others: Sequence[Baseline]
) -> Table:
    """The model among the baselines, best first; the best n-gram is marked."""
    rows = [(each.name, each.bits_per_character, "") for each in others]
    rows.append(("this model", found.bits_per_character, "bold"))
    if dynamic is not None:
        rows.append(("this model, dynamic", dynamic.bits_per_character, "bold"))
    best_ngram = min(
        (each for each in others if each.name.endswith("-gram")), key=lambda each: each.bits_per_character
    )
    table = Table("predictor", "bits per character", "difference", box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, bits, style in sorted(rows, key=lambda row: row[1]):
        shown = f"{name} (best n-gram)" if name == best_ngram.name else name
        share = bits / found.bits_per_character - 1
        table.add_row(shown, f"{bits:.4f}", "" if name == "this model" else f"{share:+.1%}", style=style)
    return table


def _copied_table(found: CopiedText) -> Table:
    table = Table("copied from the training text", "sampled", "held out", box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for span in found.spans:
        table.add_row(f"in spans of {span.length} symbols", f"{span.sampled:.2%}", f"{span.held_out:.2%}")
    return table
