"""How the comparison was done, in words and in pairs of name and value."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from typing import Any

from charkit.comparison.words import counted
from charkit_reports import words
from charkit_reports.facts import Facts

Named = list[tuple[str, str]]


def summary(facts: Facts) -> str:
    """The comparison in half a line."""
    report = facts.report
    model = report.config.model
    dropout = f", dropout {model.dropout:g}" if model.dropout else ""
    steps = f"{counted(report.steps, 'step')} in {counted(report.planned_rounds, 'round')}"
    threads = counted(report.threads, "thread")
    shape = f"{model.num_layers}x{model.lstm_size} LSTM{dropout}"
    return f"{shape}; {steps}, {threads} each; {_when(facts)[:10]}"


def _when(facts: Facts) -> str:
    """The time of the report, without a letter in the middle."""
    return words.one_line(facts.report.created).replace("T", " ").replace("+00:00", " UTC")


def machine(facts: Facts) -> Named:
    """Where and when it ran."""
    report = facts.report
    memory = report.machine.memory_bytes
    return [
        ("processor", words.one_line(report.machine.processor)),
        ("cores", str(report.machine.cores)),
        ("threads of each variant", str(report.threads)),
        ("memory", words.NOTHING if memory is None else f"{memory / 1e9:.1f} GB"),
        ("system", words.one_line(report.machine.system)),
        ("Python", words.one_line(report.machine.python)),
        ("charkit", words.one_line(report.charkit)),
        ("written", _when(facts)),
    ]


def text(facts: Facts) -> Named:
    """What was trained on, from where."""
    report = facts.report
    last = report.first_step + report.steps - 1
    return [
        ("text", words.one_line(report.text.name)),
        ("SHA-256", words.one_line(report.text.sha256)),
        ("symbols", f"{report.text.symbols:,}, {report.text.vocabulary_size:,} of them distinct"),
        ("started from", words.one_line(report.start) or "initial weights"),
        ("steps", f"{report.first_step:,} to {last:,}"),
        ("rounds", f"{report.planned_rounds:,}"),
        ("seed of the samples", str(report.sample_seed)),
    ]


def settings(facts: Facts) -> dict[str, Named]:
    """The configuration, by section. The text is told above by its name, without the folders around it."""
    sections: Mapping[str, Mapping[str, Any]] = facts.report.config.model_dump(mode="json")
    return {
        section: [(key, _value(value)) for key, value in values.items() if (section, key) != ("data", "text")]
        for section, values in sections.items()
    }


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else words.one_line(str(value))


def account(facts: Facts) -> list[str]:
    """What was done, in which order, and what was left out."""
    report = facts.report
    data = report.config.data
    threads = counted(report.threads, "thread")
    told = [
        f"Each variant ran in a process of its own with {threads}, one at a time, in turns (A B C, A B C, and so on), "
        "so that a busy moment of the machine hits all of them.",
        "All had the same initial weights, batches and learning rates, and charkit's backends the same dropout masks; "
        f"a step was {data.batch_size:,} sequences of {data.num_steps:,} characters.",
        "Warmed up: the first step of each, which compiles, is timed by itself; five characters are drawn before "
        "sampling is timed.",
        "Left out of the speed of training: import, the first step, validation, sampling and saving. The seconds of "
        "learning against time hold import, the first step and training.",
        "Times as long as the fastest: the fastest variant's speed over this one's in the same round; the median of "
        "the rounds, with the smallest and the largest.",
        "Left out of medians and ratios: rounds in which other programs kept so many processors busy that a variant "
        "had fewer than its threads, where at least two other rounds remain. A process also has a luck of its own, "
        "such as where its memory lies: differences of some 20% can turn round when it is all done again.",
        "Right: at every examined step the loss, the state, each gradient, the gradient norm, each moment and each change "
        "of a weight are the float64 oracle's from the same arrays, within the conformance kit's bounds. The steps are the "
        "first, the last, where each curve parts fastest from the reference, and some drawn at random.",
        *_controls(facts),
        "Memory is the peak of the whole process: interpreter, framework, text and model.",
    ]
    if any(one.outcome.kind == "own layers" for one in facts.variants):
        told.append(
            "Own layers are what a framework's users would have written themselves; they show what a backend costs or "
            "gains and decide nothing."
        )
    if any(one.outcome.precision == "bfloat16" for one in facts.variants):
        told.append("bfloat16 rounds too coarsely for such a verdict; it is shown and decides nothing.")
    if report.bound is not None:
        told.append(
            f"It was also demanded that no two losses differ by more than {words.bound(report.bound)} nats."
        )
    return told


def _controls(facts: Facts) -> list[str]:
    """How rounding alone was measured, for each precision."""
    return [
        f"Rounding in {control.precision}: {words.one_line(control.variant)} trained a second time from weights moved by "
        f"one rounding unit (2^{log2(control.rounding_unit):.0f} of their size). Its distance from its first run is what "
        "rounding alone does in this run. Two curves that are ever more than "
        f"{control.factor:g} times as far apart as that are examined there."
        for control in facts.report.controls
    ]


def notes(facts: Facts) -> list[str]:
    """What was noticed on the way, of all and of each."""
    found = [words.one_line(note) for note in facts.report.notes]
    for one in facts.variants:
        found += [f"{one.label}: {words.one_line(notice)}" for notice in one.outcome.notices]
    return found
