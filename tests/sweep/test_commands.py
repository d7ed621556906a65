"""The command that trains a trial again in full: the same configuration, and so the same weights."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from charkit.runs.planned_end import total_steps
from charkit.runs.run import Run
from charkit_cli.main import run as run_toolkit
from charkit_sweep.commands import command_to_train
from charkit_sweep.folder import SweepFolder
from charkit_sweep.spec_reading import spec_from_table
from sweep_support import FIXED, bits_of, spec_of, sweep

OWN_RECIPE = 'name = "mine"\npurpose = "a test"\n[training]\n'


def test_the_command_has_the_length_of_a_trial_that_is_longer_than_the_default_epochs(
    text_file: Path,
) -> None:
    """The training split is a single batch, so that the 20 epochs of the defaults would end it at step 20."""
    symbols = len(text_file.read_text("utf-8"))
    data = {**FIXED["data"], "batch_size": 2, "num_steps": int(symbols * 0.8 / 2) - 1}
    training = {**FIXED["training"], "max_steps": 24}
    spec = spec_of(text_file, trials=1, fixed={**FIXED, "data": data, "training": training})
    result = sweep({**spec, "halving": {"first_rung": 8}})
    (trial,) = result.trials
    assert (trial.status, trial.step) == ("finished", 24)
    words = shlex.split(result.command)
    assert run_toolkit([*words[1:], "--run=again"]) == 0
    wanted, found = Run.open(trial.run).config, Run.open(Path("again")).config
    assert total_steps(found.training, 1) == total_steps(wanted.training, 1) == 24
    steps_alone = wanted.training.model_copy(update={"epochs": found.training.epochs})
    assert found == wanted.model_copy(update={"training": steps_alone})
    assert bits_of(Path("again")) == bits_of(trial.run)


@pytest.mark.parametrize(
    ("recipe", "epochs"),
    [(None, []), ("auto", []), ("classic", ["--epochs 18"]), ("a.toml", []), ("b.toml", ["--epochs 18"])],
)
def test_it_names_epochs_only_where_the_default_number_would_hold(
    text_file: Path, recipe: str | None, epochs: list[str]
) -> None:
    Path("a.toml").write_text(f"{OWN_RECIPE}epochs = 3\n")
    Path("b.toml").write_text(f"{OWN_RECIPE}warmup_steps = 3\n")
    fixed: dict[str, Any] = {key: value for key, value in FIXED.items() if key != "recipe"}
    fixed |= {} if recipe is None else {"recipe": recipe}
    folder = SweepFolder(Path("sweeps/small"), spec_from_table(spec_of(text_file, fixed=fixed)), 1, None, "")
    command = command_to_train(folder, {"optimizer.learning_rate": 0.01})
    assert "--max-steps 18" in command
    assert [part for part in ["--epochs 18", "--epochs None"] if part in command] == epochs


def test_several_patterns_are_several_options(text_file: Path) -> None:
    fixed = {**FIXED, "data.glob": ["*.txt", "*.md"]}
    spec = spec_from_table(spec_of(text_file, fixed=fixed))
    command = command_to_train(SweepFolder(Path("sweeps/small"), spec, 1, None, ""), {})
    assert "--glob '*.txt' --glob '*.md'" in command


def test_patterns_on_an_axis(text_file: Path) -> None:
    table = {
        "text": str(text_file.parent),
        "fixed": FIXED,
        "axes": {"data.glob": ["*.txt", ["*.txt", "*.md"]]},
    }
    result = sweep({**table, "name": "globs"})
    assert [row["data.glob"] for row in result.rows()] == ["*.txt", "*.txt *.md"]
    assert "*.txt *.md" in result._repr_html_()
