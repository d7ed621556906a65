"""The tables about agreement: outcomes, losses, examined steps, controls, validation and pairs."""

from __future__ import annotations

from charkit_comparison.page.variant_view import VariantView
from charkit_comparison.page.view import LossGap, ReportView
from charkit_comparison.report_parts import Pair
from charkit_pages import formatting
from charkit_pages.formatting import counted
from charkit_pages.table import Cell, Cells, Table, Tone, make_table, name_cell


def participants(view: ReportView) -> Table:
    """The variants, and the outcome of each."""
    planned = view.report.planned_rounds
    rows: list[Cells] = []
    for one in view.variants:
        outcome = one.outcome
        if outcome.status == "failed":
            result = Cell(f"failed: {formatting.one_line(outcome.reason)}", "bad")
        elif outcome.status == "partial":
            result = Cell(f"partial: {len(outcome.rounds)} of {counted(planned, 'round')}", "bad")
        else:
            result = Cell("done", "good")
        rows.append(
            (
                name_cell(one),
                Cell(_kind(one)),
                formatting.one_line(outcome.precision),
                Cell("yes") if outcome.decides else Cell("no", "quiet"),
                f"{len(outcome.losses):,}",
                result,
            )
        )
    columns = ("variant", "kind", "precision", "in the verdict", "steps completed", "outcome")
    return make_table("Variants", columns, rows, ("kind", "precision", "in the verdict", "outcome"))


def _kind(variant: VariantView) -> str:
    outcome = variant.outcome
    backend = formatting.one_line(outcome.backend)
    return f"{'own layers' if outcome.kind == 'own layers' else 'backend'}, {backend}"


def losses(view: ReportView) -> Table:
    """Each variant's losses, and how far they are from the reference's."""
    gaps = {gap.variant.style.index: gap for gap in view.gaps}
    rows: list[Cells] = []
    for one in view.variants:
        made = one.outcome.losses
        ends = (
            (formatting.loss(made[0]), formatting.loss(made[-1]))
            if made
            else (formatting.NOTHING, formatting.NOTHING)
        )
        rows.append((name_cell(one), *ends, *_against_reference(view, one, gaps.get(one.style.index))))
    columns = ("variant", "first loss", "last loss", "measured against", "largest difference", "at step")
    return make_table(
        "Training loss in nats per symbol",
        (*columns, "mean difference", "times the control", "beyond the limit"),
        rows,
        ("measured against", "beyond the limit"),
    )


def _against_reference(view: ReportView, variant: VariantView, gap: LossGap | None) -> Cells:
    if gap is None:
        role = "is the reference" if view.reference_of(variant) is variant else formatting.NOTHING
        return (Cell(role, "quiet"), *[formatting.NOTHING] * 5)
    if gap.times_the_control is None:
        beyond = Cell("not judged", "quiet")
        times = formatting.NOTHING
    else:
        left, times = gap.left_band_at, formatting.tiny(gap.times_the_control)
        beyond = Cell("never", "good") if left is None else Cell(f"first at step {left:,}", "bad")
        if view.agree_despite_distance(variant, gap.reference):
            beyond = Cell(f"first at step {left:,}, examined steps correct", "good")
    at = f"{gap.step_of_largest:,}"
    return gap.reference.label, formatting.tiny(gap.largest), at, formatting.tiny(gap.mean), times, beyond


def examinations(view: ReportView) -> Table:
    """Which steps of each variant were compared with the float64 reference, and how many of them match."""
    rows: list[Cells] = []
    for one in view.report.examinations:
        if one.reason:
            result = Cell(f"not completed: {formatting.one_line(one.reason)}", "bad")
        else:
            right = one.matching == len(one.steps)
            result = Cell(f"{one.matching} of {len(one.steps)} matching", "good" if right else "bad")
        share = formatting.share(one.largest_share_of_bound)
        steps = ", ".join(f"{step:,}" for step in one.steps) or formatting.NOTHING
        rows.append((name_cell(view.variant(one.variant)), result, share, steps))
    columns = ("variant", "result", "largest error as a share of its bound", "steps")
    return make_table("Examined steps", columns, rows, ("result", "steps"))


def controls(view: ReportView) -> Table:
    """What rounding alone does in each precision, and how that was measured."""
    rows: list[Cells] = [
        (
            Cell(formatting.one_line(control.precision)),
            name_cell(view.variant(control.variant)),
            f"{control.trained:,}",
            formatting.tiny(control.rounding_unit),
            formatting.tiny(control.largest_loss_difference),
            formatting.tiny(control.factor * control.band[-1] if control.band else None),
        )
        for control in view.report.controls
    ]
    columns = ("precision", "trained by", "training runs", "weights changed by")
    return make_table(
        "Controls: what rounding alone does",
        (*columns, "largest difference in loss", "limit at the end"),
        rows,
        ("trained by",),
    )


def validation_steps(view: ReportView) -> list[int]:
    """The steps after which any variant was validated."""
    return sorted({point.step for one in view.variants for point in one.outcome.validations})


def validations(view: ReportView) -> Table:
    """The validation loss of each, after each round."""
    steps = validation_steps(view)
    rows: list[Cells] = []
    for one in view.variants:
        found = {point.step: formatting.loss(point.loss) for point in one.outcome.validations}
        rows.append((name_cell(one), *(found.get(step, formatting.NOTHING) for step in steps)))
    return make_table(
        "Validation loss in nats per symbol", ("variant", *(f"step {step:,}" for step in steps)), rows
    )


def pairs(view: ReportView) -> Table:
    """Every pair."""
    columns = (
        *("pair", "steps", "loss: largest", "loss: mean", "gradient norm: largest"),
        *("weights at the end", "matching characters", "times the control", "judgment"),
    )
    rows = [_pair(view, pair) for pair in view.report.pairs]
    return make_table(
        "Differences between each pair of variants of the same precision", columns, rows, ("judgment",)
    )


def _pair(view: ReportView, pair: Pair) -> Cells:
    first, second = view.variant(pair.first), view.variant(pair.second)
    judgment = view.judgment(pair)
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
    numbers = (
        f"{pair.steps:,}",
        *map(formatting.tiny, differences),
        equal,
        formatting.tiny(pair.times_the_control),
    )
    return name_cell(first, second), *numbers, Cell(judgment, tones.get(judgment, "quiet"))
