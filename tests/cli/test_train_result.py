"""What the command line says of a run that overfits."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from charkit.events import StepMetrics
from charkit.training.history import History
from charkit.training.result import StoppedBecause, TrainResult
from charkit_cli.terminal_output import PrintableConsole
from charkit_cli.train_result import print_train_result


def _printed(validation: dict[int, float], run: str = "runs/a-1", because: StoppedBecause = "epochs") -> str:
    history = History(
        [StepMetrics(step, 1, 1.0, loss, 0.01, 0.5, 9.0, 1.0) for step, loss in validation.items()]
    )
    best = min(validation.values(), default=None)
    result = TrainResult(Path(run), 100, 1, 1.0, None, best, 9.0, because, history)
    file = io.StringIO()
    print_train_result(PrintableConsole(file=file, width=80), result, [])
    return file.getvalue()


@pytest.mark.parametrize(
    ("validation", "overfits"),
    [
        ({20: 3.0, 100: 2.0}, False),
        ({20: 2.0, 100: 2.04}, False),
        ({60: 2.0, 100: 2.5}, False),
        ({40: 2.0, 100: 2.06}, True),
        ({}, False),
    ],
)
def test_a_run_that_overfits_is_pointed_out(validation: dict[int, float], overfits: bool) -> None:
    text = " ".join(_printed(validation).split())
    assert ("the validation loss was lowest at step 40, the checkpoint that commands use" in text) == overfits


def test_a_run_that_patience_ended_is_not_told_of_patience() -> None:
    assert "overfits" not in _printed({40: 2.0, 100: 2.5}, because="patience")


def test_the_next_command_can_be_pasted_from_a_narrow_terminal() -> None:
    run = f"runs/{'long-' * 20}1"
    assert _printed({100: 2.0}, run).splitlines()[-1] == f"next: toolkit sample {run}"
