"""The tables of a report: the runs, their speed, settings that differ, and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from charkit_pages import formatting
from charkit_pages.formatting import NOTHING
from charkit_pages.table import Cell, Cells, Table, make_table, name_cell
from charkit_reports.run_view import RunView, bits

Named = list[tuple[str, str]]


class Figure(NamedTuple):
    """One of the few numbers that most readers look for."""

    name: str
    value: str
    more: str


def figures(view: RunView) -> list[Figure]:
    """What is most asked of a single run."""
    found = []
    if view.best is not None:
        step, loss = view.best
        found.append(
            Figure(
                "Best validation loss",
                formatting.loss(loss),
                f"nats per symbol ({bits(loss):.3f} bits) at step {step:,}",
            )
        )
    if view.loss is not None:
        found.append(Figure("Training loss", formatting.loss(view.loss), "at the last recorded step"))
    found.append(Figure("Steps", f"{view.step:,}", f"epoch {_epoch(view)}"))
    if view.median_speed is not None and view.seconds is not None:
        found.append(
            Figure("Training speed", formatting.speed(view.median_speed), "characters per second, median")
        )
        found.append(Figure("Training time", duration(view.seconds), "total across all sessions"))
    return found


def runs(views: Sequence[RunView]) -> Table:
    """The runs side by side, a column each."""
    found = [_described(view) for view in views]
    rows: list[Cells] = [(name, *(each[name] for each in found)) for name in found[0]]
    columns = ("", *(view.label for view in views))
    return make_table("Overview", columns, rows, columns[1:])


def _described(view: RunView) -> dict[str, str]:
    step, loss = view.best or (None, None)
    best = NOTHING
    if loss is not None:
        best = f"{formatting.loss(loss)} ({bits(loss):.3f} bits) at step {step:,}"
    return {
        "directory": formatting.one_line(str(view.records.path)),
        "text": formatting.one_line(view.records.text),
        "size": f"{view.size}, {view.records.parameters:,} parameters",
        "backend": view.backend,
        "steps": f"{view.step:,}, epoch {_epoch(view)}",
        "training loss": formatting.loss(view.loss),
        "best validation loss": best,
        "training time": NOTHING if view.seconds is None else duration(view.seconds),
        "last metrics": _time(view.records.written),
    }


def speeds(views: Sequence[RunView]) -> Table:
    """How fast each run trained, between its reports."""
    rows: list[Cells] = []
    for view in views:
        found = view.column("characters_per_second")[2]
        middle, low, high = (
            (view.median_speed, found.min(), found.max()) if len(found) else (None, None, None)
        )
        characters = view.step * view.records.config.data.batch_size * view.records.config.data.num_steps
        rows.append(
            (
                name_cell(view),
                formatting.speed(middle),
                formatting.speed(low),
                formatting.speed(high),
                f"{characters:,}",
                NOTHING if view.seconds is None else duration(view.seconds),
            )
        )
    columns = ("run", "median", "slowest", "fastest", "characters trained on", "training time")
    caption = (
        "Training speed in characters per second, including time spent waiting for saves but excluding validation and "
        "sampling"
    )
    return make_table(caption, columns, rows)


def different_settings(views: Sequence[RunView]) -> Table | None:
    """The settings in which the runs differ, a row each; None where they don't."""
    rows: list[Cells] = []
    for section, names in views[0].settings.items():
        for name in names:
            values = [view.settings[section].get(name, NOTHING) for view in views]
            if len(set(values)) > 1:
                rows.append((f"{section}.{name}", *values))
    texts = [view.records.text_sha256 for view in views]
    if len(set(texts)) > 1:
        rows.append(
            (
                "text",
                *(formatting.one_line(view.records.text) for view in views),
            )
        )
    if not rows:
        return None
    columns = ("setting", *(view.label for view in views))
    return make_table("Settings that differ", columns, rows, columns[1:])


def common_settings(views: Sequence[RunView]) -> dict[str, Named]:
    """The settings that all runs share, by section; of a single run, all of them."""
    first = views[0].settings
    return {
        section: [
            (name, value)
            for name, value in values.items()
            if all(view.settings[section].get(name) == value for view in views)
        ]
        for section, values in first.items()
    }


def sessions(view: RunView) -> Table:
    """The sessions of a run: where each began, and what it ran on."""
    rows: list[Cells] = [
        (
            f"{number}",
            _started(session),
            f"{session['step']:,}",
            *(_text(session, key) for key in ("backend", "precision", "device")),
            f"{session['threads']}",
            _workers(session),
            _text(session, "processor"),
            _versions(session["versions"]),
        )
        for number, session in enumerate(view.records.sessions, start=1)
    ]
    columns = (
        *("session", "started", "from step", "backend", "precision", "device", "threads", "workers"),
        *("processor", "versions"),
    )
    # The time counts as a number, which is never broken into two lines.
    texts = ("backend", "precision", "device", "workers", "processor", "versions")
    return make_table(f"Sessions of {view.label}", columns, rows, texts)


def _text(session: Mapping[str, Any], key: str) -> str:
    return formatting.one_line(str(session[key]))


def _workers(session: Mapping[str, Any]) -> Cell | str:
    count = session.get("workers")
    return NOTHING if count is None else formatting.one_line(f"{count} ({session.get('engine', 'local')})")


def _versions(versions: Mapping[str, str]) -> str:
    return formatting.one_line(", ".join(f"{name} {version}" for name, version in versions.items()))


def _started(session: Mapping[str, Any]) -> str:
    return formatting.one_line(str(session["started"])).replace("T", " ").replace("+00:00", " UTC")


def _epoch(view: RunView) -> str:
    return f"{view.records.history[-1].epoch:,}" if view.records.history else NOTHING


def _time(written: float | None) -> str:
    """A moment, as the page writes it."""
    if written is None:
        return NOTHING
    return datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """A time as people say it: ``8 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{formatting.seconds(seconds)} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
