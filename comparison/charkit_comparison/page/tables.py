"""The report's tables, once for the page and for Markdown: who renders them escapes what is in the cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from charkit_comparison.formatting import counted
from charkit_comparison.page import formatting
from charkit_comparison.page.facts import Facts, Gap
from charkit_comparison.page.speeds import Pace
from charkit_comparison.page.variant import Variant
from charkit_comparison.report import Pair

Told = tuple["Cell | str", ...]
Tone = Literal["", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Cell:
    """Plain text; ``tone`` is told by the text too, so it may be left out."""

    text: str
    tone: Tone = ""
    variants: tuple[Variant, ...] = ()  # whose name this is, or whose names


@dataclass(frozen=True)
class Table:
    """A caption, the columns' names, and rows. The columns named in ``numbers`` are set to the right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[str]

    def is_number(self, place: int) -> bool:
        """Whether a column holds numbers."""
        return self.columns[place] in self.numbers


def _table(caption: str, columns: Sequence[str], rows: Iterable[Told], words_in: Sequence[str] = ()) -> Table:
    """A table whose columns hold numbers, but the first and those of ``words_in``."""
    return Table(
        caption,
        tuple(columns),
        tuple(tuple(cell if isinstance(cell, Cell) else _cell(cell) for cell in row) for row in rows),
        frozenset(columns[1:]) - frozenset(words_in),
    )


def _cell(text: str) -> Cell:
    return Cell(text, "quiet" if text == formatting.NOTHING else "")


def _name(*variants: Variant) -> Cell:
    return Cell(", ".join(one.marked for one in variants), variants=variants)


def participants(facts: Facts) -> Table:
    """Who took part, and what came of each."""
    planned = facts.report.planned_rounds
    rows: list[Told] = []
    for one in facts.variants:
        outcome = one.outcome
        if outcome.status == "failed":
            came = Cell(f"failed: {formatting.one_line(outcome.reason)}", "bad")
        elif outcome.status == "partial":
            came = Cell(f"partial: {len(outcome.rounds)} of {counted(planned, 'round')}", "bad")
        else:
            came = Cell("done", "good")
        rows.append(
            (
                _name(one),
                Cell(_kind(one)),
                formatting.one_line(outcome.precision),
                Cell("decides") if outcome.decides else Cell("decides nothing", "quiet"),
                f"{len(outcome.losses):,}",
                came,
            )
        )
    columns = ("variant", "what it is", "precision", "in the verdict", "steps made", "outcome")
    return _table("Who took part", columns, rows, ("what it is", "precision", "in the verdict", "outcome"))


def _kind(variant: Variant) -> str:
    outcome = variant.outcome
    backend = formatting.one_line(outcome.backend)
    return f"{'own layers' if outcome.kind == 'own layers' else 'backend'}, {backend}"


def losses(facts: Facts) -> Table:
    """Each variant's losses, and how far they are from the reference's."""
    gaps = {gap.variant.look.place: gap for gap in facts.gaps}
    rows: list[Told] = []
    for one in facts.variants:
        made = one.outcome.losses
        ends = (
            (formatting.loss(made[0]), formatting.loss(made[-1]))
            if made
            else (formatting.NOTHING, formatting.NOTHING)
        )
        rows.append((_name(one), *ends, *_beside(facts, one, gaps.get(one.look.place))))
    columns = ("variant", "first loss", "last loss", "measured against", "largest difference", "at step")
    return _table(
        "Training loss in nats per symbol",
        (*columns, "mean difference", "times the control", "beyond the limit"),
        rows,
        ("measured against", "beyond the limit"),
    )


def _beside(facts: Facts, variant: Variant, gap: Gap | None) -> Told:
    if gap is None:
        told = "is the reference" if facts.reference_of(variant) is variant else formatting.NOTHING
        return (Cell(told, "quiet"), *[formatting.NOTHING] * 5)
    if gap.times_the_control is None:
        beyond = Cell("not judged", "quiet")
        times = formatting.NOTHING
    else:
        left, times = gap.left_band_at, formatting.tiny(gap.times_the_control)
        beyond = Cell("never", "good") if left is None else Cell(f"from step {left:,}", "bad")
        if facts.agree_all_the_same(variant, gap.reference):
            beyond = Cell(f"from step {left:,}, examined steps right", "good")
    at = f"{gap.step_of_largest:,}"
    return gap.reference.label, formatting.tiny(gap.largest), at, formatting.tiny(gap.mean), times, beyond


def examinations(facts: Facts) -> Table:
    """Which steps of each variant were compared with the float64 reference, and how many of them match."""
    rows: list[Told] = []
    for one in facts.report.examinations:
        if one.reason:
            result = Cell(f"not completed: {formatting.one_line(one.reason)}", "bad")
        else:
            right = one.matching == len(one.steps)
            result = Cell(f"{one.matching} of {len(one.steps)} match", "good" if right else "bad")
        share = formatting.share(one.largest_share_of_bound)
        steps = ", ".join(f"{step:,}" for step in one.steps) or formatting.NOTHING
        rows.append((_name(facts.variant(one.variant)), result, share, steps))
    columns = ("variant", "result", "largest error, share of its bound", "steps")
    return _table("Examined steps", columns, rows, ("result", "steps"))


def controls(facts: Facts) -> Table:
    """What rounding alone does in each precision, and how that was measured."""
    rows: list[Told] = [
        (
            Cell(formatting.one_line(control.precision)),
            _name(facts.variant(control.variant)),
            f"{control.trained:,}",
            formatting.tiny(control.rounding_unit),
            formatting.tiny(control.largest_loss_difference),
            formatting.tiny(control.factor * control.band[-1] if control.band else None),
        )
        for control in facts.report.controls
    ]
    columns = ("precision", "trained by", "trainings", "weights changed by")
    return _table(
        "Controls: what rounding alone does",
        (*columns, "largest difference of a loss", "limit at the end"),
        rows,
        ("trained by",),
    )


def validation_steps(facts: Facts) -> list[int]:
    """The steps after which anyone was validated."""
    return sorted({point.step for one in facts.variants for point in one.outcome.validations})


def validations(facts: Facts) -> Table:
    """The validation loss of each, after each round."""
    steps = validation_steps(facts)
    rows: list[Told] = []
    for one in facts.variants:
        found = {point.step: formatting.loss(point.loss) for point in one.outcome.validations}
        rows.append((_name(one), *(found.get(step, formatting.NOTHING) for step in steps)))
    return _table(
        "Validation loss in nats per symbol", ("variant", *(f"step {step:,}" for step in steps)), rows
    )


def pairs(facts: Facts) -> Table:
    """Every pair."""
    columns = (
        *("pair", "steps", "loss: largest", "loss: mean", "gradient norm: largest"),
        *("weights at the end", "equal characters", "times the control", "judgment"),
    )
    rows = [_pair(facts, pair) for pair in facts.report.pairs]
    return _table("Differences of every pair of one precision", columns, rows, ("judgment",))


def _pair(facts: Facts, pair: Pair) -> Told:
    first, second = facts.variant(pair.first), facts.variant(pair.second)
    judgment = facts.judgment(pair)
    tones: dict[str, Tone] = {"agree": "good", "differ": "bad"}
    equal = formatting.NOTHING
    if pair.equal_characters is not None:
        of = min(len(first.outcome.sample), len(second.outcome.sample))
        equal = f"{pair.equal_characters:,} of {of:,}"
    differences = (
        pair.largest_loss_difference,
        pair.mean_loss_difference,
        pair.largest_norm_difference,
        pair.weights_difference,
    )
    told = (
        f"{pair.steps:,}",
        *map(formatting.tiny, differences),
        equal,
        formatting.tiny(pair.times_the_control),
    )
    return _name(first, second), *told, Cell(judgment, tones.get(judgment, "quiet"))


def speeds(paces: Sequence[Pace], caption: str) -> Table:
    """Median, time beside the fastest, its spread, and each round."""
    rows = []
    for pace in paces:
        spread = formatting.NOTHING
        if pace.spread is not None:
            spread = " to ".join(map(formatting.ratio, pace.spread))
        rows.append(
            (
                _name(pace.variant),
                formatting.speed(pace.median),
                formatting.ratio(pace.times_as_long),
                spread,
                " · ".join(map(formatting.speed, pace.values)) or formatting.NOTHING,
            )
        )
    columns = ("variant", "median", "times as long as the fastest", "over the rounds", "each round")
    return _table(f"{caption}, characters per second", columns, rows)


def gains(facts: Facts) -> Table:
    """What charkit's backends cost or gain against what users of the same framework would have written."""
    rows: list[Told] = [
        (
            _name(gain.own),
            _name(gain.backend),
            formatting.ratio(gain.times_as_fast),
            " to ".join(map(formatting.ratio, gain.spread)),
        )
        for gain in facts.speeds.gains
    ]
    columns = ("own layers", "charkit's backend", "trains times as fast", "over the rounds")
    return _table(
        "charkit beside what its framework's users would write", columns, rows, ("charkit's backend",)
    )


def startup(facts: Facts) -> Table:
    """Import and first step."""
    rows = [
        (
            _name(one),
            formatting.seconds(one.outcome.import_seconds),
            formatting.seconds(one.outcome.first_step_seconds),
        )
        for one in facts.variants
    ]
    columns = ("variant", "import, until there is a model", "first step, compiling included")
    return _table("Before training is at its speed, seconds", columns, rows)


def memory(facts: Facts) -> Table:
    """Peaks."""
    rows = [
        (
            _name(one),
            formatting.megabytes(one.outcome.peak_memory_bytes),
            formatting.megabytes(one.outcome.device_memory_bytes),
        )
        for one in facts.variants
    ]
    return _table("Peak memory, MB", ("variant", "resident, whole process", "on the device"), rows)


def learning(facts: Facts) -> Table:
    """When each was where."""
    steps = validation_steps(facts)
    rows: list[Told] = []
    for one in facts.variants:
        found = {
            point.step: f"{formatting.loss(point.loss)} at {formatting.seconds(point.elapsed_seconds)} s"
            for point in one.outcome.validations
        }
        rows.append((_name(one), *(found.get(step, formatting.NOTHING) for step in steps)))
    columns = ("variant", *(f"after step {step:,}" for step in steps))
    return _table("Validation loss, and when it was reached", columns, rows)


def versions(facts: Facts) -> Table:
    """What each ran on."""
    rows: list[Told] = []
    for one in facts.variants:
        outcome = one.outcome
        found = ", ".join(f"{name} {version}" for name, version in outcome.versions.items())
        threads = formatting.NOTHING if outcome.threads is None else str(outcome.threads)
        rows.append(
            (
                _name(one),
                formatting.one_line(outcome.device) or formatting.NOTHING,
                threads,
                formatting.one_line(found) or formatting.NOTHING,
                formatting.one_line(outcome.python) or "this one",
            )
        )
    columns = ("variant", "device", "threads", "versions", "interpreter")
    return _table("Devices and versions", columns, rows, ("device", "versions", "interpreter"))
