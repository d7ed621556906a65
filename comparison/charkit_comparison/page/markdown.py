"""``report.md``: the report in Markdown, for a README or an issue; tables, no pictures.

Text from outside is escaped, and samples are in fences that are longer than any row of backticks in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from charkit_comparison.page import agreement_tables, descriptions, method_section, speed_tables
from charkit_comparison.page.method_section import Named
from charkit_comparison.page.view import ReportView
from charkit_pages import formatting
from charkit_pages.series import label_with_note
from charkit_pages.table import Cell, Table

_SIGNS = {"yes": "\N{WHITE HEAVY CHECK MARK}", "no": "\N{CROSS MARK}", "none": "\N{HEAVY MINUS SIGN}"}


def render_markdown(view: ReportView) -> str:
    """The whole report."""
    parts = (_head, _verdict, _curves, _agreement, _speed, _memory, _learning, _samples, _method)
    return "\n\n".join(piece for part in parts for piece in part(view)) + "\n"


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


def _head(view: ReportView) -> Iterable[str]:
    yield f"# {escaped(view.title)}"
    if view.partial:
        yield f"> **Partial report:** {escaped(view.partial)}."
    yield f"{escaped(method_section.summary(view))}."


def _verdict(view: ReportView) -> Iterable[str]:
    yield "## Verdict"
    yield f"{_SIGNS[view.answer]} **{escaped(view.headline)}.** {escaped(view.report.verdict)}"
    yield _list(
        f"{figure.name}: **{escaped(figure.value)}** ({escaped(figure.more)})"
        for figure in descriptions.key_figures(view)
    )
    for found in descriptions.finding_descriptions(view):
        yield f"### {escaped(found.title)}"
        diagnosis = [("diagnosis", found.diagnosis)] if found.diagnosis else []
        yield _named([*found.named, *diagnosis])
    yield _table(agreement_tables.participants(view))


def _curves(view: ReportView) -> Iterable[str]:
    yield "## Curves"
    if not any(one.outcome.losses for one in view.variants):
        yield descriptions.NO_STEPS
        return
    also = ", including those of the controls," if view.report.controls else ""
    yield f"The losses of every step{also} are in curves.csv."
    yield _table(agreement_tables.losses(view))
    yield (
        _table(agreement_tables.validations(view))
        if agreement_tables.validation_steps(view)
        else descriptions.NO_VALIDATION
    )


def _agreement(view: ReportView) -> Iterable[str]:
    yield "## Agreement"
    if view.report.examinations:
        yield descriptions.ABOUT_EXAMINATIONS
        yield _table(agreement_tables.examinations(view))
    else:
        yield descriptions.NO_EXAMINATION
    if view.report.controls:
        yield _table(agreement_tables.controls(view))
    if not view.report.pairs:
        yield descriptions.NO_PAIRS
        return
    yield descriptions.ABOUT_PAIRS
    yield _table(agreement_tables.pairs(view))


def _speed(view: ReportView) -> Iterable[str]:
    yield "## Speed"
    if any(one.values for one in (*view.speeds.training, *view.speeds.sampling)):
        yield _table(speed_tables.speeds(view, view.speeds.training, "Training"))
        yield _table(speed_tables.speeds(view, view.speeds.sampling, "Sampling"))
    else:
        yield descriptions.NO_ROUNDS
    if view.speeds.contended_rounds:
        yield escaped(descriptions.contention_notice(view))
    if view.speeds.speedups:
        yield _table(speed_tables.speedups(view))
    yield _table(speed_tables.startup(view))


def _memory(view: ReportView) -> Iterable[str]:
    yield "## Memory"
    yield _table(speed_tables.memory(view))


def _learning(view: ReportView) -> Iterable[str]:
    yield "## Loss over time"
    yield (
        _table(speed_tables.learning(view))
        if agreement_tables.validation_steps(view)
        else descriptions.NO_VALIDATION
    )


def _samples(view: ReportView) -> Iterable[str]:
    yield "## Samples"
    samples = descriptions.samples(view)
    if not samples:
        yield descriptions.NO_SAMPLES
        return
    yield descriptions.samples_caption(view)
    for sample in samples:
        yield f"### {escaped(label_with_note(sample.variant))}: {escaped(sample.comparison)}"
        yield fenced(sample.text)


def _method(view: ReportView) -> Iterable[str]:
    yield "## Method"
    yield fenced(view.report.command) if view.report.command else descriptions.NO_COMMAND
    yield _named([*method_section.machine(view), *method_section.text(view)])
    yield _list(map(escaped, method_section.procedure(view)))
    notes = method_section.notes(view)
    if notes:
        yield "### Notes"
        yield _list(map(escaped, notes))
    yield _table(speed_tables.versions(view))
    yield "### Configuration"
    yield _named(
        [
            (section, ", ".join(f"{key} {value}" for key, value in pairs))
            for section, pairs in method_section.settings(view).items()
        ]
    )


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {one}" for one in items)


def _named(pairs: Named) -> str:
    return _list(f"{escaped(key)}: {escaped(value)}" for key, value in pairs)


def _table(table: Table) -> str:
    """The caption in bold, and the table below it."""
    rules = ["---:" if table.is_number(index) else "---" for index in range(len(table.columns))]
    rows = [map(escaped, table.columns), rules, *(map(_cell, row) for row in table.rows)]
    return f"**{escaped(table.caption)}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(cell: Cell) -> str:
    return f"**{escaped(cell.text)}**" if cell.tone == "bad" else escaped(cell.text)
