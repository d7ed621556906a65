"""Which sweep is resumed, and with what beside its spec."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit
from charkit.errors import ConfigurationError
from sweep_support import FIXED, spec_of, sweep, to_toml


def test_a_sweep_begun_with_a_number_of_trials_is_resumed_with_its_spec(text_file: Path) -> None:
    for number, spec in enumerate(
        (
            spec_of(text_file, name="random", halving=None),
            spec_of(
                text_file, name="grid", halving=None, search="grid", trials=None, axes={"seed": [0, 1, 2]}
            ),
        )
    ):
        assert sweep(spec, trials=1 + number).planned_trials == 1 + number
        assert sweep(spec, resume=True).planned_trials == 1 + number
        result = sweep(spec, resume=True, trials=2 + number)
        assert (len(result.trials), result.stopped_because) == (2 + number, "done")
        assert sweep(spec, resume=True).planned_trials == 2 + number
        with pytest.raises(
            ConfigurationError, match=r"fixed\.model\.lstm_size is set to 8, but 9 was given; a resumed"
        ):
            sweep({**spec, "fixed": {**FIXED, "model": {"lstm_size": 9}}}, resume=True)


def test_a_number_of_trials_beside_the_spec_counts_instead_of_the_spec_s_own(text_file: Path) -> None:
    spec = spec_of(text_file, trials=1, halving=None)
    sweep(spec)
    assert sweep({**spec, "trials": 9}, resume=True, trials=2).planned_trials == 2


def test_a_spec_without_a_number_of_trials_takes_the_one_beside_it(text_file: Path) -> None:
    spec = spec_of(text_file, trials=None, halving=None)
    assert sweep(spec, trials=1).planned_trials == 1
    assert sweep(spec, resume=True, trials=2).planned_trials == 2
    Path("from-a-file.toml").write_text(to_toml(spec | {"name": "from-a-file"}), "utf-8")
    assert charkit.sweep("from-a-file.toml", trials=1, threads=1).planned_trials == 1


def test_another_name_beside_the_sweep_that_is_resumed_is_refused(text_file: Path) -> None:
    sweep(spec_of(text_file, trials=1))
    message = r"^`resume` names the sweep 'sweeps/small', but `name` is 'other'; leave `name` out to resume that sweep$"
    with pytest.raises(ConfigurationError, match=message):
        sweep(resume="small", name="other")
    assert sweep(resume="small", name="small").stopped_because == "done"
    assert sweep(resume=True, name="small").stopped_because == "done"
