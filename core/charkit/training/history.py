"""The reports of a run: a sequence of records, with a NumPy array per column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
from numpy.typing import NDArray

from charkit.errors import ConfigurationError, nearest
from charkit.events import StepMetrics
from charkit.html_tables import table_of_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: The fields of a record, in the order of ``metrics.jsonl``.
COLUMNS = tuple(field.name for field in fields(StepMetrics))
#: How a notebook shows each column.
_FORMATS = {
    "step": ",d",
    "epoch": ",d",
    "learning_rate": ".3g",
    "gradient_norm": ".3f",
    "characters_per_second": ",.0f",
    "elapsed_seconds": ",.1f",
}
_LOSS_FORMAT = ".4f"
#: Records that a notebook shows; the last ones.
SHOWN_RECORDS = 10


class History(Sequence[StepMetrics]):
    """The reports of a run, oldest first; it never changes.

        history = result.history
        history["validation_loss"]  # float64 (reports,), NaN where the validation split was not scored
        history[-1].loss            # one record
        history[-10:]               # a History of the last ten
        history.to_pandas(), history.plot()

    A record has the fields of a line of ``metrics.jsonl``: ``step``, ``epoch`` (from 1), ``loss`` (the mean since the
    previous record) and ``validation_loss`` (None if no validation was due) in nats per symbol, ``learning_rate``,
    ``gradient_norm`` (before clipping), ``characters_per_second`` since the previous record, and ``elapsed_seconds``
    over all sessions.
    """

    def __init__(self, records: Iterable[StepMetrics] = ()) -> None:
        self._records = tuple(records)

    @classmethod
    def from_dicts(cls, lines: Iterable[Mapping[str, Any]]) -> History:
        """Creates a history from the lines of ``metrics.jsonl``; lines that are broken or lack a field are skipped."""
        return cls(
            StepMetrics(**{name: line[name] for name in COLUMNS})
            for line in lines
            if line.keys() >= set(COLUMNS)
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return COLUMNS

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[StepMetrics]:
        return iter(self._records)

    @overload
    def __getitem__(self, key: int) -> StepMetrics: ...
    @overload
    def __getitem__(self, key: slice) -> History: ...
    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...
    def __getitem__(self, key: int | slice | str) -> StepMetrics | History | NDArray[Any]:
        """A record by its position, a part of the history by a slice, or a column by its name.

        A column is ``(reports,)``, int64 for ``step`` and ``epoch`` and float64 for the others. Raises
        IndexError, and ConfigurationError for a name that is no column.
        """
        if isinstance(key, str):
            return self._column(key)
        if isinstance(key, slice):
            return History(self._records[key])
        return self._records[key]

    def __eq__(self, other: object) -> bool:
        return self._records == other._records if isinstance(other, History) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._records)

    def __repr__(self) -> str:
        steps = f", steps {self[0].step:,} to {self[-1].step:,}" if self else ""
        return f"<History: {_count(len(self))}{steps}>"

    def _repr_html_(self) -> str:
        shown = self[-SHOWN_RECORDS:]
        hidden = len(self) - len(shown)
        rows = [[_cell(name, getattr(record, name)) for name in COLUMNS] for record in shown]
        caption = f"{_count(len(self))}, the last {len(shown)} shown" if hidden else _count(len(self))
        return table_of_rows([name.replace("_", " ") for name in COLUMNS], rows, caption)

    def to_pandas(self) -> DataFrame:
        """Returns the records as a pandas.DataFrame with a column per field and a row per record.

        Raises ConfigurationError if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ConfigurationError(
                "to_pandas() needs pandas, which is not installed; run: pip install pandas"
            ) from error
        return pd.DataFrame({name: self._column(name) for name in COLUMNS})

    def plot(self, ax: Axes | None = None) -> Figure:
        """Plots the loss and the validation loss over the steps, and below them the learning rate if it changes.

        The figure is independent of pyplot: a notebook shows it as a cell's value, and ``savefig`` writes it to a file.
        With ``ax``, matplotlib axes such as those of ``pyplot.subplots()``, the losses alone are plotted there, and the
        figure is that of the axes. Raises ConfigurationError for an empty history.
        """
        if not self:
            raise ConfigurationError("there is nothing to plot: the history has no reports yet; train first")
        from charkit.training.plot import plot_history, plot_losses

        columns = {name: self._column(name) for name in COLUMNS}
        if ax is None:
            return plot_history(columns)
        plot_losses(ax, columns)
        return cast("Figure", ax.figure)

    def _column(self, name: str) -> NDArray[Any]:
        """A column as a new array."""
        if name not in COLUMNS:
            raise ConfigurationError(
                f"the history has no column {name!r}{nearest(name, COLUMNS)}; it has {', '.join(COLUMNS)}"
            )
        values = [getattr(record, name) for record in self._records]
        if name in ("step", "epoch"):
            return np.array(values, np.int64)
        return np.array([np.nan if value is None else value for value in values], np.float64)


def _count(reports: int) -> str:
    return f"{reports:,} report{'' if reports == 1 else 's'}"


def _cell(name: str, value: float | None) -> str:
    """A value as a notebook's table shows it."""
    return "" if value is None else format(value, _FORMATS.get(name, _LOSS_FORMAT))
