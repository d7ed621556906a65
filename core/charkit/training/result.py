"""What a training session returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from charkit.html_tables import table_of_fields
from charkit.object_hints import by_name
from charkit.trained_run import TrainedRun
from charkit.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


StoppedBecause = Literal[
    "epochs",
    "max_steps",
    "time_limit",
    "stop_at",
    "patience",
    "interrupted",
    "terminated",
    "hung_up",
    "requested",
]


@dataclass(frozen=True)
class TrainResult(TrainedRun):
    """How a training session ended. Losses are in nats per symbol.

    ``history`` has the reports of the whole run up to ``step``, including those of earlier sessions.
    """

    _HINTS: ClassVar = {
        **TrainedRun._HINTS,
        **by_name({"use validation_loss or best_validation_loss": "val_loss best_val_loss eval_loss"}),
    }

    run: Path
    step: int
    epoch: int
    loss: float | None
    validation_loss: float | None
    best_validation_loss: float | None
    characters_per_second: float
    stopped_because: StoppedBecause
    history: History = field(repr=False)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Plots the history: ``result.history.plot(ax)``. Raises ConfigurationError if it has no reports."""
        return self.history.plot(ax)

    def _repr_html_(self) -> str:
        losses = (
            ("loss", self.loss),
            ("validation loss", self.validation_loss),
            ("best validation loss", self.best_validation_loss),
        )
        return table_of_fields(
            [
                ("run", str(self.run)),
                ("step", f"{self.step:,}"),
                ("epoch", f"{self.epoch:,}"),
                *((name, f"{loss:.4f}") for name, loss in losses if loss is not None),
                ("characters per second", f"{self.characters_per_second:,.0f}"),
                ("stopped because", self.stopped_because.replace("_", " ")),
            ]
        )
