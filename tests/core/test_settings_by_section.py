"""Settings by section, as ``train`` takes them beside its keywords."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import ConfigurationError
from support import SMALL


def test_settings_by_section_that_are_none_are_not_set_either(text_file: Path) -> None:
    unset = {
        "model": {"lstm_size": None},
        "training": {"eval_every": None, "epochs": None, "max_steps": None},
    }
    given = {"recipe": "auto", "batch_size": 4, "num_steps": 8, "threads": 1, "stop_at": 1}
    configs = [
        charkit.load_run(charkit.train(text_file, settings=one, **given).run).config for one in (unset, {})
    ]
    assert configs[0] == configs[1]
    run = charkit.train(text_file, max_steps=2, threads=1, **SMALL).run
    assert charkit.train(resume=run, settings={**unset, "training": {"max_steps": 3}}, threads=1).step == 3
    with pytest.raises(ConfigurationError, match="did you mean 'lstm_size'"):
        charkit.train(text_file, settings={"model": {"lstm_sise": None}})


def test_of_both_limits_none_lifts_the_one_beside_the_other(text_file: Path) -> None:
    by_steps = {"training": {"epochs": None}}
    run = charkit.train(text_file, max_steps=2, settings=by_steps, threads=1, **SMALL).run
    assert charkit.load_run(run).config.training.epochs is None
    lifted = {"training": {"max_steps": None, "epochs": 1}}
    run = charkit.train(text_file, max_steps=2, threads=1, **SMALL).run
    assert charkit.train(resume=run, settings=lifted, threads=1).stopped_because == "epochs"


def test_a_setting_whose_name_is_no_string_is_refused_in_one_line(text_file: Path) -> None:
    settings: Any = {"model": {1: 2}}
    expected = r"^unknown key 1 in model; the keys of model are lstm_size, num_layers, dropout$"
    with pytest.raises(ConfigurationError, match=expected):
        charkit.train(text_file, settings=settings)
    assert not Path("runs").exists()
    run = charkit.train(text_file, max_steps=2, threads=1, **SMALL).run
    for given in (settings, {"model": {None: 2}}, {"optimizer": {(1,): 2}}, {1: {}}):
        with pytest.raises(ConfigurationError, match=r"^unknown "):
            charkit.train(resume=run, max_steps=3, settings=given)
