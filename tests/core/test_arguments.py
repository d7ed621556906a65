"""Arguments of the Python interface that can't be, and errors that reach the caller whole."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.errors import (
    ConfigurationError,
    RunError,
    TerminatedError,
    UnknownSymbolsError,
    UnwrittenError,
    VocabularySizeError,
)
from charkit.training.result import TrainResult
from support import SMALL, SMALL_TEXT


def test_a_loaded_run_that_is_elsewhere_by_now_says_so(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = charkit.load_run(charkit.train(text_file, **{**SMALL, "max_steps": 2, "threads": 1}).run)
    monkeypatch.chdir(text_file.parent)
    for use in (run.evaluate, lambda: run.history, lambda: run.last_step):
        with pytest.raises(
            RunError,
            match=r"the run 'runs/small-1' is no longer there \(the current directory is '.*'\); load it from its new",
        ):
            use()


@pytest.mark.parametrize("limit", [100.0, "5", True])
def test_a_limit_that_is_no_integer(trained: TrainResult, limit: Any) -> None:
    run = charkit.load_run(trained.run)
    with pytest.raises(ConfigurationError, match="`limit` must be an integer; given"):
        run.evaluate(limit=limit)


@pytest.mark.parametrize("seconds", [0, -1, 1e10, inf, nan, "5"])
def test_a_limit_on_imports_that_no_process_can_have(seconds: Any) -> None:
    for use in (charkit.backends, charkit.info):
        with pytest.raises(
            ConfigurationError, match="`limit_seconds` must be a number above 0 and at most 86,400; given"
        ):
            use(limit_seconds=seconds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run": "r\0"}, "`run` must not contain a null character; given 'r"),
        ({"run": 5}, "`run` must be a path; given 5"),
        ({"init_from": 5}, "`init_from` must be a path; given 5"),
        ({"recipe": 5}, "`recipe` must be a path; given 5"),
        ({"settings": 5}, "`settings` must be a mapping of sections"),
        ({"settings": {"model": 5}}, "`settings` must be a mapping of sections"),
        ({"track": 5}, "`track` takes names of observers, such as 'csv'; given 5"),
    ],
)
def test_arguments_of_the_wrong_type_make_no_run(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        charkit.train(string=SMALL_TEXT, max_steps=1, **arguments)
    with pytest.raises(ConfigurationError, match="`resume` must be a path; given 5"):
        charkit.train(resume=5)  # type: ignore[arg-type]
    assert not Path("runs").exists()


@pytest.mark.parametrize("path", [5, "r\0"])
def test_what_can_be_no_path_is_no_run(path: Any) -> None:
    with pytest.raises(RunError, match="`path` must"):
        charkit.load_run(path)


def test_every_error_reaches_another_process_whole(trained: TrainResult) -> None:
    errors: list[charkit.CharkitError] = [
        UnwrittenError("write tensor()"),
        TerminatedError("received SIGHUP", signal.SIGTERM + 1),
    ]
    with pytest.raises(UnknownSymbolsError) as unknown:
        charkit.load_run(trained.run).evaluate(string="Ω")
    with pytest.raises(VocabularySizeError) as many:
        charkit.train(string="".join(map(chr, range(200, 900))) * 3, max_vocabulary=500)
    for error in (*errors, unknown.value, many.value):
        for again in (copy.copy(error), copy.deepcopy(error)):  # both go the way of pickle
            assert type(again) is type(error)
            assert str(again) == str(error)
            assert vars(again) == vars(error)


def test_samples_do_not_depend_on_what_numpy_raises(trained: TrainResult) -> None:
    run = charkit.load_run(trained.run)
    with np.errstate(all="raise"):
        assert run.sample("The", length=5, seed=1, temperature=1e-4)


@pytest.mark.parametrize(
    "call", [charkit.load_run, charkit.check_prepared, lambda path: charkit.train(resume=path)]
)
def test_a_path_that_is_empty_or_too_long_is_refused(call: Callable[[str], Any]) -> None:
    with pytest.raises(charkit.CharkitError, match=r"^`(path|resume)` must be a non-empty path; given ''$"):
        call("")
    with pytest.raises(
        charkit.CharkitError, match=r"^can't access 'x{300}': file name too long; give another path"
    ):
        call("x" * 300)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 2**63}, "seed must be at most 9223372036854775807; given 9223372036854775808"),
        ({"num_steps": 2**62}, "num_steps must be at most 1000000; given 4611686018427387904"),
        ({"batch_size": 1_000_001}, "batch_size must be at most 1000000; given 1000001"),
    ],
)
def test_a_network_that_no_file_can_hold_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(charkit.ConfigurationError, match=f"^{message}$"):
        charkit.CharRNN(10, **{"lstm_size": 8, **settings})
