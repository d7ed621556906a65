"""TensorBoard: event files in ``tracking/tensorboard`` of the run, written by tensorboardX, without a framework."""

from __future__ import annotations

from tensorboardX import SummaryWriter

from charkit import events, hookimpl
from charkit_trackers.run_folder import as_text, in_quotes, metrics_of, own_folder, parameters_of

#: The group in which TensorBoard shows each metric.
_TAGS = {
    "loss": "loss/train",
    "validation_loss": "loss/validation",
    "learning_rate": "training/learning_rate",
    "gradient_norm": "training/gradient_norm",
    "epoch": "training/epoch",
    "characters_per_second": "speed/characters_per_second",
    "elapsed_seconds": "speed/elapsed_seconds",
}
#: Seconds after which what was recorded is in the file.
_FLUSH_SECONDS = 5


class TensorBoardObserver:
    """Writes scalars for reports, and texts for samples and settings."""

    def __init__(self) -> None:
        self._writer: SummaryWriter | None = None

    @hookimpl
    def charkit_event(self, event: events.Event) -> str | None:
        """Writes what TensorBoard shows."""
        if isinstance(event, events.Started):
            return self._start(event)
        if self._writer is None:
            return None
        match event:
            case events.StepMetrics():
                for name, value in metrics_of(event).items():
                    self._writer.add_scalar(_TAGS[name], value, event.step)
            case events.Sampled():
                self._writer.add_text("sample", _as_code(event.text), event.step)
            case events.Ended():
                self._writer.close()
        return None

    def _start(self, event: events.Started) -> str:
        folder = own_folder(event.run, "tensorboard")
        # TensorBoard leaves out what an earlier session wrote of steps that are trained again.
        self._writer = SummaryWriter(
            str(folder), purge_step=event.step + 1 if event.session > 1 else None, flush_secs=_FLUSH_SECONDS
        )
        rows = [f"| {name} | {_cell(as_text(value))} |" for name, value in parameters_of(event).items()]
        self._writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]), event.step)
        self._writer.flush()
        return f"view the run with: tensorboard --logdir {in_quotes(event.run.parent)}"


def _as_code(text: str) -> str:
    """A text that Markdown shows as it is."""
    return "\n".join(f"    {line}" for line in text.split("\n"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
