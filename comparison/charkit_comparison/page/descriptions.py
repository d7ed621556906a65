"""The texts of the page and the Markdown: the answer in figures, the findings, and the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from charkit_comparison.agreement.curve_differences import common_prefix_length
from charkit_comparison.page.variant_view import VariantView
from charkit_comparison.page.view import ReportView
from charkit_comparison.report_parts import Finding, Pair
from charkit_comparison.speeds import VariantSpeed
from charkit_pages import formatting
from charkit_pages.formatting import counted, names

NO_STEPS = "No step was completed, so there is no curve."
NO_GAPS = "There is no second variant to compare with."
NO_VALIDATION = "Nothing was validated: the text has no validation split, or no variant got that far."
NO_PAIRS = (
    "There is no pair to compare: a comparison needs two backends that completed steps in the same precision."
)
NO_ROUNDS = "No round was timed."
NO_SAMPLES = "No sample was drawn."
NO_COMMAND = "The comparison was started from Python, not from the command line."
NO_EXAMINATION = "No training step was examined."
ABOUT_EXAMINATIONS = (
    "At each examined step, every backend starts from the same arrays. A step matches if its logits, losses, state, "
    "gradients, gradient norm, moments and weight changes equal those of the float64 reference, within the bounds of "
    "the conformance kit. The largest error is that of the worst array, as a share of its bound."
)
ABOUT_PAIRS = (
    'Losses are in nats per symbol. "Times the control" is the largest ratio, at any step, of the loss difference to '
    "the difference that rounding alone has caused by that step. The difference in gradient norm is relative to the "
    "larger norm; the difference in weights is relative to the largest weight of the array. Matching characters are "
    "counted from the beginning of the sample."
)


def samples_caption(view: ReportView) -> str:
    """How the samples were drawn."""
    return (
        f"All samples were drawn with seed {view.report.sample_seed}, each after its variant's last round. A control "
        "character is shown as \N{REPLACEMENT CHARACTER}."
    )


def contention_notice(view: ReportView) -> str:
    """Which rounds other programs disturbed, and what follows; empty where none was."""
    speeds = view.speeds
    if not speeds.contended_rounds:
        return ""
    numbers = names([str(number) for number in speeds.contended_rounds])
    rounds = f"{'round' if len(speeds.contended_rounds) == 1 else 'rounds'} {numbers}"
    follows = (
        "medians and ratios are those of the other rounds."
        if speeds.skips_contended
        else "too few rounds were quiet, so all rounds count: treat the speeds with caution."
    )
    cores = counted(view.report.machine.cores, "processor")
    return f"In {rounds}, other programs kept up to {speeds.most_contention:.1f} of {cores} busy; {follows}"


@dataclass(frozen=True)
class KeyFigure:
    """One of the few numbers that most readers look for."""

    name: str
    value: str
    more: str


@dataclass(frozen=True)
class FindingDescription:
    """A finding: a heading, names and values, and the diagnosis."""

    title: str
    named: tuple[tuple[str, str], ...]
    diagnosis: str


@dataclass(frozen=True)
class Sample:
    """A variant's sample: the beginning that it shares with its reference's, and the rest."""

    variant: VariantView
    comparison: str
    same: str
    rest: str

    @property
    def text(self) -> str:
        """The whole sample."""
        return self.same + self.rest


def key_figures(view: ReportView) -> list[KeyFigure]:
    """The largest difference, the fastest variants, and the one that takes least memory."""
    found = []
    pair = view.widest
    if pair is not None:
        labels = names([formatting.one_line(pair.first), formatting.one_line(pair.second)])
        difference = _nats_text(pair.largest_loss_difference)
        found.append(KeyFigure("Largest difference", difference, f"{labels}; {_control_text(view, pair)}"))
    if view.report.examinations:
        matching = sum(one.matching for one in view.report.examinations)
        count = sum(len(one.steps) for one in view.report.examinations)
        found.append(KeyFigure("Examined steps", f"{matching} of {count}", "matching the float64 reference"))
    for name, speeds in (
        ("Trains fastest", view.speeds.training),
        ("Samples fastest", view.speeds.sampling),
    ):
        found += _fastest(
            name, [speed for speed in speeds if view.variant(speed.variant.label) in view.sound]
        )
    sized = [one for one in view.sound if one.outcome.peak_memory_bytes is not None]
    if sized:
        least = min(sized, key=lambda one: one.outcome.peak_memory_bytes or 0)
        size = f"{formatting.megabytes(least.outcome.peak_memory_bytes)} MB at its peak"
        found.append(KeyFigure("Uses the least memory" if len(sized) > 1 else "Memory", least.label, size))
    return found


def _control_text(view: ReportView, pair: Pair) -> str:
    """What rounding alone does in the pair's precision."""
    control = view.controls.get(view.variant(pair.first).outcome.precision)
    if control is None:
        return "no control was trained"
    return f"rounding alone: {formatting.tiny(control.largest_loss_difference)}"


def _nats_text(value: float) -> str:
    text = formatting.tiny(value)
    return f"{text} nats" if text[-1].isdigit() else text


def _fastest(name: str, speeds: Sequence[VariantSpeed]) -> list[KeyFigure]:
    measured = [speed for speed in speeds if speed.median is not None]
    if not measured:
        return []
    best = max(measured, key=lambda speed: speed.median or 0.0)
    title = name if len(measured) > 1 else {"Trains fastest": "Training", "Samples fastest": "Sampling"}[name]
    return [
        KeyFigure(
            title,
            formatting.one_line(best.variant.label),
            f"{formatting.speed(best.median)} characters per second",
        )
    ]


def finding_descriptions(view: ReportView) -> list[FindingDescription]:
    """Each finding in words."""
    return [_finding_description(finding) for finding in view.report.findings]


def _finding_description(finding: Finding) -> FindingDescription:
    variant, reference = formatting.one_line(finding.variant), formatting.one_line(finding.reference)
    look_at = formatting.one_line(finding.look_at)
    distance = []
    if reference:
        distance.append((f"loss differs from {reference}'s", f"by up to {_nats_text(finding.by_nats)}"))
    if finding.differs_from_step is not None:
        distance.append(
            ("loss differs by more than rounding explains", f"first at step {finding.differs_from_step:,}")
        )
    if finding.step is None:
        none = ("first wrong step", f"none was found: {look_at}" if look_at else "none was found")
        title = f"{variant} and {reference} differ by more than rounding explains"
        return FindingDescription(title, (*distance, none), "")
    located = (
        ("first wrong step", f"{finding.step:,}"),
        ("first wrong array", formatting.one_line(finding.array)),
        ("expected", formatting.one_line(finding.expected)),
        ("got", formatting.one_line(finding.got)),
        *distance,
    )
    return FindingDescription(
        f"What is wrong with {variant}", tuple(pair for pair in located if pair[1]), look_at
    )


def samples(view: ReportView) -> list[Sample]:
    """The sample of each variant that drew one."""
    return [_sample(view, one) for one in view.variants if one.outcome.sample]


def _sample(view: ReportView, variant: VariantView) -> Sample:
    text, reference = formatting.visible(variant.outcome.sample), view.reference_of(variant)
    count = counted(len(text), "character")
    if (
        reference is None
        or reference is variant
        or not reference.outcome.sample
        or reference.outcome.sample_step != variant.outcome.sample_step
    ):
        return Sample(variant, count, text, "")
    other = formatting.visible(reference.outcome.sample)
    same = common_prefix_length(text, other)
    if text == other:
        return Sample(variant, f"the same {count} as {reference.label}", text, "")
    if same == 0:
        return Sample(variant, f"differs from {reference.label} from the first character on", "", text)
    comparison = f"matches {reference.label} in the first {same:,} of {count}"
    return Sample(variant, comparison, text[:same], text[same:])
