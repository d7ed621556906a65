"""The verdict of a comparison in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isinf

from charkit_comparison.agreement.findings import PrecisionFindings
from charkit_comparison.agreement.rounding_control import DIVERGED_NATS
from charkit_comparison.report_parts import Control, Examination, Finding, Outcome, Pair
from charkit_pages.formatting import counted, names, tiny

NOTHING_TO_JUDGE = (
    "There is nothing to judge: a verdict needs a float32 or float64 backend that completed steps."
)


def verdict_text(
    outcomes: Sequence[Outcome],
    pairs: Sequence[Pair],
    findings: Sequence[PrecisionFindings],
    *,
    bound: float | None,
    partial: bool,
    clips: bool = True,
) -> str:
    """Which backends agree, which don't and why, and which did not finish."""
    sentences = ["Interrupted: these are the results so far."] if partial else []
    if not any(one.decides and one.losses for one in outcomes):
        sentences.append(NOTHING_TO_JUDGE)
    for group in findings:
        sentences += _precision_sentences(group, pairs, bound, partial)
    times = {(pair.first, pair.second): pair.times_the_control for pair in pairs}
    sentences += [_finding_text(finding, times, group) for group in findings for finding in group.findings]
    if bound is not None:
        sentences += [_bound_text(pair, bound) for pair in pairs if _is_beyond(pair, bound)]
    sentences += [f"{one.label} did not finish: {one.reason}." for one in outcomes if one.status == "failed"]
    if _settings_diverge(outcomes) or any(group.diverged for group in findings):
        clipping = "`grad_clip`" if clips else "clipping (`grad_clip`), which is off"
        sentences.append(f"Try a lower `learning_rate` or {clipping}.")
    return " ".join(sentences)


def _precision_sentences(
    group: PrecisionFindings, pairs: Sequence[Pair], bound: float | None, partial: bool
) -> list[str]:
    """The sentences about one precision, without its findings."""
    if group.control is None:
        why = "; ".join(group.notices) or (
            "the comparison ended too early" if partial else "no control was trained"
        )
        return [f"No step in {group.precision} could be examined: {why}."]
    sentences = []
    labels = [one.variant for one in group.examinations]
    apart = [finding for finding in group.findings if finding.step is None]
    excluded = group.wrong | {finding.variant for finding in apart}
    if len(labels) == 2 and apart:
        return []  # there is no other backend, and the findings name both
    agreeing = [one for one in group.examinations if one.variant not in excluded]
    if len(agreeing) > 1:
        sentences.append(_agreement_text(agreeing, group.control, pairs, bound))
    elif len(agreeing) == 1 and len(labels) == 1:
        sentences.append(
            f"{labels[0]} is correct: {_count_text(agreeing)}; there was no second backend to compare it with."
        )
    elif len(agreeing) == 1:
        sentences.append(f"{agreeing[0].variant} is correct: {_count_text(agreeing)}.")
    sentences += [
        f"{one.variant} could not be examined: {one.reason}." for one in group.examinations if one.reason
    ]
    if group.diverged:
        steps = counted(len(group.control.losses), "step")
        sentences.append(
            f"At {group.diverged:,} of {steps}, the loss is more than {counted(round(DIVERGED_NATS), 'nat')} above "
            "that of uniform guessing; rounding determines the results there, so they were not judged."
        )
    return sentences


def _count_text(examinations: Sequence[Examination]) -> str:
    matching, count = (
        sum(one.matching for one in examinations),
        sum(len(one.steps) for one in examinations),
    )
    noun = ("step" if count == 1 else "steps") + (" matches" if 1 in (count, matching) else " match")
    return f"{matching} of {count} examined {noun} the float64 reference"


def _agreement_text(
    agreeing: Sequence[Examination], control: Control, pairs: Sequence[Pair], bound: float | None
) -> str:
    labels = {one.variant for one in agreeing}
    among = [pair for pair in pairs if {pair.first, pair.second} <= labels]
    largest = max((pair.largest_loss_difference for pair in among), default=0.0)
    exceeded = bound is not None and any(_is_beyond(pair, bound) for pair in among)
    left = any(pair.agrees and pair.left_band_at is not None for pair in among)
    labels_text = names([one.variant for one in agreeing])
    curves = _curves_text(largest, control, is_beyond_band=left)
    return f"{labels_text} {'are correct' if exceeded else 'agree'}: {_count_text(agreeing)}; {curves}."


def _curves_text(largest: float, control: Control, *, is_beyond_band: bool = False) -> str:
    """How far apart curves are that rounding alone separates, beside the control."""
    if largest == 0:
        return "the curves are identical down to the last bit"
    judged = "no more than rounding explains"
    if is_beyond_band:
        judged = (
            "at some steps by more than rounding alone, but every examined step where they diverge is correct"
        )
    measured = f"(rounding alone: {tiny(control.largest_loss_difference)})"
    return f"the curves differ by up to {tiny(largest)} nats, {judged} {measured}"


def _finding_text(
    finding: Finding, times: Mapping[tuple[str, str], float | None], group: PrecisionFindings
) -> str:
    if finding.step is None:
        pair = (finding.variant, finding.reference)
        factor = times.get(pair) or times.get(pair[::-1])
        beyond = (
            ""
            if factor is None or isinf(factor)
            else f" (up to {tiny(factor)} times as much as rounding alone)"
        )
        both = [one for one in group.examinations if one.variant in pair]
        return (
            f"{names(sorted(pair))} do not agree: {_count_text(both)}, but their losses differ by more than "
            f"rounding explains, first at step {finding.differs_from_step:,}{beyond}; {finding.look_at}."
        )
    named = f" ({finding.look_at})" if finding.look_at else ""
    sentence = (
        f"{finding.variant} is wrong: its step {finding.step:,} differs from the float64 reference, "
        f"first in {finding.array}{named}"
    )
    if not finding.reference or finding.by_nats == 0:
        return f"{sentence}."
    if isinf(finding.by_nats):
        return f"{sentence}; its final loss is not finite, but {finding.reference}'s is."
    return f"{sentence}; its loss differs from {finding.reference}'s by up to {tiny(finding.by_nats)} nats."


def _is_beyond(pair: Pair, bound: float) -> bool:
    return pair.agrees is False and not pair.largest_loss_difference <= bound


def _bound_text(pair: Pair, bound: float) -> str:
    return (
        f"{pair.first} and {pair.second} differ by up to {tiny(pair.largest_loss_difference)} nats over "
        f"{counted(pair.steps, 'step')}, more than the bound of {tiny(bound)}."
    )


def _settings_diverge(outcomes: Sequence[Outcome]) -> bool:
    """Whether losses stopped being finite, and none went on where another of its precision stopped."""
    lost = [one for one in outcomes if one.decides and one.not_finite_at is not None]
    return bool(lost) and not any(
        other.decides and other.precision == one.precision and len(other.losses) > len(one.losses)
        for one in lost
        for other in outcomes
    )
