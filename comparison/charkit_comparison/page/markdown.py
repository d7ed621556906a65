"""``report.md``: the same in Markdown, for a README or an issue; tables, no pictures.

Whatever comes from outside is escaped, and samples stand in fences that are longer than any row of backticks in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from charkit_comparison.page import formatting, method, tables, telling
from charkit_comparison.page.facts import Facts
from charkit_comparison.page.method import Named
from charkit_comparison.page.tables import Table

_SIGNS = {"yes": "\N{WHITE HEAVY CHECK MARK}", "no": "\N{CROSS MARK}", "none": "\N{HEAVY MINUS SIGN}"}


def markdown(facts: Facts) -> str:
    """The whole report."""
    parts = (_head, _verdict, _curves, _agreement, _speed, _memory, _learning, _samples, _method)
    return "\n\n".join(piece for part in parts for piece in part(facts)) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no emphasis, link, table cell, HTML, list, mention or reference."""
    text = re.sub(r"([\\`*_{}\[\]<>|~$&!])", r"\\\1", formatting.one_line(text).strip())
    text = re.sub(r"([@#])(?=\w)", r"\1<!-- -->", text)
    return re.sub(r"^(\d*)(?=(?:(?<=\d)[.)]|[-+=#]+)(?:\s|$))", r"\1\\", text)


def fenced(text: str) -> str:
    """A block of text as it is, whatever is in it."""
    text = formatting.visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _head(facts: Facts) -> Iterable[str]:
    yield f"# {escaped(facts.title)}"
    if facts.partial:
        yield f"> **Partial report:** {escaped(facts.partial)}."
    yield f"{escaped(method.summary(facts))}."


def _verdict(facts: Facts) -> Iterable[str]:
    yield "## Verdict"
    yield f"{_SIGNS[facts.answer]} **{escaped(facts.headline)}.** {escaped(facts.report.verdict)}"
    yield _list(
        f"{figure.name}: **{escaped(figure.value)}** ({escaped(figure.more)})"
        for figure in telling.figures(facts)
    )
    for found in telling.discoveries(facts):
        yield f"### {escaped(found.title)}"
        looks_like = [("recognized mistake", found.looks_like)] if found.looks_like else []
        yield _named([*found.named, *looks_like])
    yield _table(tables.participants(facts))


def _curves(facts: Facts) -> Iterable[str]:
    yield "## Curves"
    if not any(one.outcome.losses for one in facts.variants):
        yield telling.NO_STEPS
        return
    also = ", those of the controls included" if facts.report.controls else ""
    yield f"The losses of every step are in curves.csv{also}."
    yield _table(tables.losses(facts))
    yield _table(tables.validations(facts)) if tables.validation_steps(facts) else telling.NO_VALIDATION


def _agreement(facts: Facts) -> Iterable[str]:
    yield "## Agreement"
    if facts.report.examinations:
        yield telling.ABOUT_EXAMINATIONS
        yield _table(tables.examinations(facts))
    else:
        yield telling.NO_EXAMINATION
    if facts.report.controls:
        yield _table(tables.controls(facts))
    if not facts.report.pairs:
        yield telling.NO_PAIRS
        return
    yield telling.ABOUT_PAIRS
    yield _table(tables.pairs(facts))


def _speed(facts: Facts) -> Iterable[str]:
    yield "## Speed"
    if any(pace.values for pace in (*facts.speeds.training, *facts.speeds.sampling)):
        yield _table(tables.speeds(facts.speeds.training, "Training"))
        yield _table(tables.speeds(facts.speeds.sampling, "Sampling"))
    else:
        yield telling.NO_ROUNDS
    if facts.speeds.busy:
        yield escaped(telling.about_busy(facts))
    if facts.speeds.gains:
        yield _table(tables.gains(facts))
    yield _table(tables.startup(facts))


def _memory(facts: Facts) -> Iterable[str]:
    yield "## Memory"
    yield _table(tables.memory(facts))


def _learning(facts: Facts) -> Iterable[str]:
    yield "## Learning against time"
    yield _table(tables.learning(facts)) if tables.validation_steps(facts) else telling.NO_VALIDATION


def _samples(facts: Facts) -> Iterable[str]:
    yield "## Samples"
    samples = telling.samples(facts)
    if not samples:
        yield telling.NO_SAMPLES
        return
    yield telling.about_samples(facts)
    for sample in samples:
        yield f"### {escaped(sample.variant.marked)}: {escaped(sample.told)}"
        yield fenced(sample.text)


def _method(facts: Facts) -> Iterable[str]:
    yield "## How it was done"
    yield fenced(facts.report.command) if facts.report.command else telling.NO_COMMAND
    yield _named([*method.machine(facts), *method.text(facts)])
    yield _list(map(escaped, method.account(facts)))
    notes = method.notes(facts)
    if notes:
        yield "### Notes"
        yield _list(map(escaped, notes))
    yield _table(tables.versions(facts))
    yield "### Configuration"
    yield _named(
        [
            (section, ", ".join(f"{key} {value}" for key, value in pairs))
            for section, pairs in method.settings(facts).items()
        ]
    )


def _list(told: Iterable[str]) -> str:
    return "\n".join(f"- {one}" for one in told)


def _named(pairs: Named) -> str:
    return _list(f"{escaped(key)}: {escaped(value)}" for key, value in pairs)


def _table(table: Table) -> str:
    """The caption in bold, and the table below it."""
    rules = ["---:" if table.is_number(place) else "---" for place in range(len(table.columns))]
    rows = [map(escaped, table.columns), rules, *(map(_cell, row) for row in table.rows)]
    return f"**{escaped(table.caption)}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(cell: tables.Cell) -> str:
    return f"**{escaped(cell.text)}**" if cell.tone == "bad" else escaped(cell.text)
