"""What the page and the Markdown say in words: the answer in figures, what was found, and the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from charkit_comparison.formatting import counted, names
from charkit_comparison.page import formatting
from charkit_comparison.page.facts import Facts
from charkit_comparison.page.speeds import Pace
from charkit_comparison.page.variant import Variant
from charkit_comparison.report import Finding, Pair

NO_STEPS = "No step was made, so there is no curve."
NO_GAPS = "There is no second variant to take a difference to."
NO_VALIDATION = "Nothing was validated: the text has no validation split, or nobody came that far."
NO_PAIRS = "There is no pair: it takes two backends of one precision that have made steps."
NO_ROUNDS = "No round was timed."
NO_SAMPLES = "Nobody drew a sample."
NO_COMMAND = "It was started from Python, not by a command."
NO_EXAMINATION = "No training step was examined."
ABOUT_EXAMINATIONS = (
    "At each examined step, every backend starts from the same arrays. A step matches if its logits, losses, state, "
    "gradients, gradient norm, moments and weight changes are those of the float64 reference, within the bounds of the "
    "conformance kit. The largest error is that of any array, as a share of its bound."
)
ABOUT_PAIRS = (
    'Losses are in nats per symbol. "Times the control" is the largest ratio of a difference to what rounding alone '
    "does by that step. The difference of the gradient norm is relative to the larger norm; the difference of the "
    "weights is relative to the largest weight of the array. Equal characters are counted from the beginning of the "
    "sample."
)


def about_samples(facts: Facts) -> str:
    """What the samples have in common."""
    return (
        f"All were drawn with seed {facts.report.sample_seed}, each after its last round. A character that steers and "
        "shows nothing of itself is drawn as \N{REPLACEMENT CHARACTER}."
    )


def about_busy(facts: Facts) -> str:
    """Which rounds other programs disturbed, and what follows; nothing where none was."""
    speeds = facts.speeds
    if not speeds.busy:
        return ""
    rounds = f"{'round' if len(speeds.busy) == 1 else 'rounds'} {names([str(one) for one in speeds.busy])}"
    follows = (
        "medians and ratios are those of the other rounds."
        if speeds.leaves_out
        else "too few rounds were quiet, so all of them count: read the speeds with care."
    )
    cores = counted(facts.report.machine.cores, "processor")
    return f"In {rounds} other programs kept up to {speeds.most_taken:.1f} of {cores} busy; {follows}"


@dataclass(frozen=True)
class Figure:
    """One of the few numbers that most readers come for."""

    name: str
    value: str
    more: str


@dataclass(frozen=True)
class Discovery:
    """A finding: a heading, names and values, and the recognized mistake."""

    title: str
    named: tuple[tuple[str, str], ...]
    looks_like: str


@dataclass(frozen=True)
class Sample:
    """A variant's sample: what it has in common with its reference's from the beginning, and the rest."""

    variant: Variant
    told: str
    same: str
    rest: str

    @property
    def text(self) -> str:
        """The whole sample."""
        return self.same + self.rest


def figures(facts: Facts) -> list[Figure]:
    """The widest gap, who is fastest, and who takes least memory."""
    found = []
    pair = facts.widest
    if pair is not None:
        found.append(
            Figure(
                "Largest difference",
                _nats(pair.largest_loss_difference),
                f"{names([formatting.one_line(pair.first), formatting.one_line(pair.second)])}; {_beside(facts, pair)}",
            )
        )
    if facts.report.examinations:
        matching = sum(one.matching for one in facts.report.examinations)
        count = sum(len(one.steps) for one in facts.report.examinations)
        found.append(Figure("Examined steps", f"{matching} of {count}", "match the float64 reference"))
    for name, paces in (
        ("Trains fastest", facts.speeds.training),
        ("Samples fastest", facts.speeds.sampling),
    ):
        found += _fastest(name, [pace for pace in paces if pace.variant in facts.sound])
    sized = [one for one in facts.sound if one.outcome.peak_memory_bytes is not None]
    if sized:
        least = min(sized, key=lambda one: one.outcome.peak_memory_bytes or 0)
        size = f"{formatting.megabytes(least.outcome.peak_memory_bytes)} MB at its peak"
        found.append(Figure("Takes least memory" if len(sized) > 1 else "Memory", least.label, size))
    return found


def _beside(facts: Facts, pair: Pair) -> str:
    """What rounding alone does in the pair's precision."""
    control = facts.controls.get(facts.variant(pair.first).outcome.precision)
    if control is None:
        return "no control was trained"
    return f"rounding alone: {formatting.tiny(control.largest_loss_difference)}"


def _nats(value: float) -> str:
    told = formatting.tiny(value)
    return f"{told} nats" if told[-1].isdigit() else told


def _fastest(name: str, paces: Sequence[Pace]) -> list[Figure]:
    able = [pace for pace in paces if pace.median is not None]
    if not able:
        return []
    best = max(able, key=lambda pace: pace.median or 0.0)
    told = name if len(able) > 1 else name.removesuffix(" fastest")
    return [Figure(told, best.variant.label, f"{formatting.speed(best.median)} characters per second")]


def discoveries(facts: Facts) -> list[Discovery]:
    """What was found where variants left the others."""
    return [_discovery(finding) for finding in facts.report.findings]


def _discovery(finding: Finding) -> Discovery:
    variant, reference = formatting.one_line(finding.variant), formatting.one_line(finding.reference)
    look_at = formatting.one_line(finding.look_at)
    distance = []
    if reference:
        distance.append((f"loss differs from {reference}'s", f"by up to {_nats(finding.by_nats)}"))
    if finding.differs_from_step is not None:
        distance.append(("more than rounding explains", f"from step {finding.differs_from_step:,}"))
    if finding.step is None:
        none = ("first wrong step", f"none was found: {look_at}" if look_at else "none was found")
        title = f"{variant} and {reference} differ by more than rounding explains"
        return Discovery(title, (*distance, none), "")
    located = (
        ("first wrong step", f"{finding.step:,}"),
        ("first wrong array", formatting.one_line(finding.array)),
        ("expected", formatting.one_line(finding.expected)),
        ("got", formatting.one_line(finding.got)),
        *distance,
    )
    return Discovery(f"What is wrong in {variant}", tuple(pair for pair in located if pair[1]), look_at)


def samples(facts: Facts) -> list[Sample]:
    """The sample of each variant that drew one."""
    return [_sample(facts, one) for one in facts.variants if one.outcome.sample]


def _sample(facts: Facts, variant: Variant) -> Sample:
    text, reference = formatting.visible(variant.outcome.sample), facts.reference_of(variant)
    count = counted(len(text), "character")
    if (
        reference is None
        or reference is variant
        or not reference.outcome.sample
        or reference.outcome.sample_step != variant.outcome.sample_step
    ):
        return Sample(variant, count, text, "")
    other = formatting.visible(reference.outcome.sample)
    same = _common(text, other)
    if text == other:
        return Sample(variant, f"the same {count} as {reference.label}", text, "")
    if same == 0:
        return Sample(variant, f"differs from {reference.label} from the first character", "", text)
    told = f"the first {same:,} of {count} are those of {reference.label}"
    return Sample(variant, told, text[:same], text[same:])


def _common(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
