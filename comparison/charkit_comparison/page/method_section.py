"""How the comparison was done, as sentences and as pairs of a name and a value."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from typing import Any

from charkit.config import SECTIONS
from charkit_comparison.page.view import ReportView
from charkit_comparison.report_parts import Control
from charkit_pages import formatting
from charkit_pages.formatting import counted

Named = list[tuple[str, str]]


def summary(view: ReportView) -> str:
    """The comparison in a few words."""
    report = view.report
    model = report.config.model
    dropout = f", dropout {model.dropout:g}" if model.dropout else ""
    steps = f"{counted(report.steps, 'step')} in {counted(report.planned_rounds, 'round')}"
    threads = counted(report.threads, "thread")
    shape = f"{model.num_layers} x {model.lstm_size} LSTM{dropout}"
    return f"{shape}; {steps}, {threads} per variant; {_when(view)[:10]}"


def _when(view: ReportView) -> str:
    """The time of the report, without a letter in the middle."""
    return formatting.one_line(view.report.created).replace("T", " ").replace("+00:00", " UTC")


def machine(view: ReportView) -> Named:
    """Where and when it ran."""
    report = view.report
    memory = report.machine.memory_bytes
    return [
        ("processor", formatting.one_line(report.machine.processor)),
        ("processors", str(report.machine.cores)),
        ("threads per variant", str(report.threads)),
        ("memory", formatting.NOTHING if memory is None else f"{memory / 1e9:.1f} GB"),
        ("system", formatting.one_line(report.machine.system)),
        ("Python", formatting.one_line(report.machine.python)),
        ("charkit", formatting.one_line(report.charkit)),
        ("written", _when(view)),
    ]


def text(view: ReportView) -> Named:
    """What was trained on, from where."""
    report = view.report
    last = report.first_step + report.steps - 1
    return [
        ("text", formatting.one_line(report.text.name)),
        ("SHA-256", formatting.one_line(report.text.sha256)),
        ("symbols", f"{report.text.symbols:,}, from a vocabulary of {report.text.vocabulary_size:,}"),
        ("started from", formatting.one_line(report.start) or "initial weights"),
        ("steps", f"{report.first_step:,} to {last:,}"),
        ("rounds", f"{report.planned_rounds:,}"),
        ("sample seed", str(report.sample_seed)),
    ]


def settings(view: ReportView) -> dict[str, Named]:
    """The configuration, by section. The text is named elsewhere, without its folders."""
    sections: Mapping[str, Mapping[str, Any]] = view.report.config.model_dump(
        mode="json", include=set(SECTIONS)
    )
    return {
        section: [(key, _value(value)) for key, value in values.items() if (section, key) != ("data", "text")]
        for section, values in sections.items()
    }


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else formatting.one_line(str(value))


def procedure(view: ReportView) -> list[str]:
    """What was done in which order, what the numbers include, and how the verdict was reached."""
    report = view.report
    data = report.config.data
    threads = counted(report.threads, "thread")
    items = [
        f"Each variant ran in its own process with {threads}. Only one was active at a time, and they took turns (A B "
        "C, A B C, and so on), so that other load on the machine would affect all of them.",
        "All variants started from the same weights and used the same batches and learning rates; charkit's backends "
        f"also used the same dropout masks. A step covers {counted(data.batch_size, 'sequence')} of "
        f"{counted(data.num_steps, 'symbol')}.",
        "The first step of each variant, which includes compilation, is timed separately. Five characters are sampled "
        "as a warm-up before sampling is timed.",
        "Training speed does not include import, the first step, validation, sampling or saving. Where the "
        "validation loss is shown over time, the seconds include only import, the first step and training.",
        '"Relative time" is the speed of the fastest variant divided by the variant\'s own speed in the same '
        "round, given as the median, minimum and maximum over the rounds.",
        "Medians and ratios skip rounds in which other programs kept so many processors busy that a variant had fewer "
        "processors than threads, provided that at least two other rounds remain. Speed also varies from process to "
        "process, for example with the placement of each process's memory: differences of up to about 20% may "
        "reverse when the comparison is repeated.",
        *_judging(view),
        "Memory is the peak of the whole process (interpreter, framework, text and model) until the end of its first "
        "round of training, before it validated or sampled for the first time.",
    ]
    if any(one.outcome.kind == "own layers" for one in view.variants):
        items.append(
            "Models built from a framework's own layers are what its users would write themselves. They show "
            "what a backend costs or gains, and do not affect the verdict."
        )
    if any(one.outcome.precision == "bfloat16" for one in view.variants):
        items.append(
            "bfloat16 rounds too coarsely to be judged. Its results are shown, but do not affect the verdict."
        )
    return items


def _judging(view: ReportView) -> list[str]:
    """How the verdict was reached: single steps, then the curves beside the control of their precision."""
    report = view.report
    items = []
    if report.examinations:
        items.append(
            "The verdict rests on individual training steps: the first, the last, those where each curve departs "
            "fastest from the reference, and those drawn at random. Each backend takes these steps from the same "
            "arrays. Its logits, losses, state, gradients, gradient norm, moments and weight changes must equal those "
            "of the float64 reference within the bounds of the conformance kit."
        )
    if report.controls:
        factor = f"{report.controls[0].factor:g}"
        items.append(
            "Training amplifies rounding errors, so no fixed bound on the difference between two curves would be "
            "appropriate. A control measures this effect: the reference is trained again, from weights "
            "changed by one rounding unit. "
            f"Where two curves are more than {factor} times as far apart as the control is from the first training "
            "run, the steps of both are examined there."
        )
    items += [_control(control) for control in report.controls]
    if report.bound is not None:
        bound = formatting.bound(report.bound)
        items.append(
            f"In addition, no two losses at the same step were allowed to differ by more than {bound} nats (`bound`)."
        )
    return items


def _control(control: Control) -> str:
    """How the effect of rounding was measured in one precision."""
    variant, precision = formatting.one_line(control.variant), formatting.one_line(control.precision)
    unit = f"2^{log2(control.rounding_unit):.0f}"
    runs = "once more" if control.trained == 1 else f"{control.trained} more times"
    return (
        f"In {precision}, the control was {variant}, trained {runs}. The rounding unit is {unit} times a weight's "
        "magnitude."
    )


def notes(view: ReportView) -> list[str]:
    """Notes on the comparison, and on each variant."""
    found = [formatting.one_line(note) for note in view.report.notes]
    for one in view.variants:
        found += [f"{one.label}: {formatting.one_line(notice)}" for notice in one.outcome.notices]
    return found
