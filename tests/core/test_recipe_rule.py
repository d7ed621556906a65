"""The rule of the recipe ``auto``: valid settings for every text, that rise and fall as they should."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from charkit.errors import ConfigurationError
from charkit.recipe import auto_settings, find_recipe, rule_of
from charkit.recipe_rule import Rule, eval_every, fitting_batch, settings_by_rule
from charkit.settings import resolve

LENGTHS = sorted({*range(2, 200), *(round(10 ** (power / 8)) for power in range(16, 81))})
LIMITS = (1.0, 30.0, 180.0, 600.0, 3600.0, 1e6)


@pytest.fixture(scope="module")
def rule() -> Rule:
    found = rule_of(find_recipe("auto"))
    assert found is not None
    return found


def row(**changes: Any) -> dict[str, Any]:
    """A row by length with small settings."""
    return {
        "training_symbols": 100,
        "lstm_size": 16,
        "num_layers": 2,
        "dropout": 0.5,
        "batch_size": 2,
        "num_steps": 10,
        "learning_rate": 0.01,
        "grad_clip": 1.0,
        "max_steps": 100,
        "largest_lstm_size": 32,
        "most_epochs": 10,
        **changes,
    }


def time_row(**changes: Any) -> dict[str, Any]:
    """A row by time limit with a batch that is larger than that by length."""
    return {
        "seconds": 60,
        "training_symbols": 100_000,
        "lstm_size": 32,
        "batch_size": 4,
        "num_steps": 5,
        "learning_rate": 0.004,
        "grad_clip": 0.5,
        **changes,
    }


def two_rows(**changes: Any) -> dict[str, Any]:
    """A rule of two lengths, a limit and a vocabulary."""
    return {
        "by_length": [
            row(),
            row(training_symbols=10_000, lstm_size=48, dropout=0.1, grad_clip=5.0, max_steps=900),
        ],
        "by_time_limit": [time_row()],
        "by_passes": [
            {"passes": 1, "dropout": 0.1},
            {"passes": 100, "dropout": 0.5, "lstm_size_factor": 2.0},
        ],
        "by_vocabulary": [
            {"vocabulary_size": 100, "learning_rate_factor": 1},
            {"vocabulary_size": 10_000, "learning_rate_factor": 0.5},
        ],
        **changes,
    }


@pytest.mark.parametrize("limit", [None, *LIMITS])
@pytest.mark.parametrize("vocabulary", [2, 84, 5000, 1_000_000])
def test_every_text_has_valid_settings_and_a_batch_that_fits(vocabulary: int, limit: float | None) -> None:
    for symbols in LENGTHS:
        config = resolve(auto_settings(symbols, vocabulary, limit), vocabulary)
        assert config.training.schedule == "cosine"
        assert config.data.batch_size * config.data.num_steps <= symbols - 1
        assert config.training.epochs is None
        assert config.training.max_steps


@pytest.mark.parametrize("limit", [None, *LIMITS])
def test_a_longer_text_never_gets_more_dropout_or_smaller_batches(rule: Rule, limit: float | None) -> None:
    found = [settings_by_rule(rule, symbols, 84, limit) for symbols in LENGTHS]
    for before, after in pairwise(found):
        assert before["model"]["dropout"] >= after["model"]["dropout"]
        assert before["optimizer"]["learning_rate"] >= after["optimizer"]["learning_rate"]
        if limit is None:
            assert before["model"]["lstm_size"] <= after["model"]["lstm_size"]
            assert before["training"]["max_steps"] <= after["training"]["max_steps"]
    areas = [
        one["data"]["batch_size"] * one["data"]["num_steps"] for one in found if one["data"]["batch_size"] > 1
    ]
    assert areas[-1] > 10 * areas[0]


def test_with_a_time_limit_a_long_text_gets_the_model_that_the_time_suffices_for(rule: Rule) -> None:
    for limit in LIMITS:
        found = [settings_by_rule(rule, symbols, 84, limit)["model"] for symbols in (10**5, 10**6, 10**9)]
        assert found[0]["lstm_size"] >= found[1]["lstm_size"] >= found[2]["lstm_size"] or limit > 600
        assert limit > 3600 or found[2]["dropout"] == 0


def test_more_time_never_gets_a_smaller_model(rule: Rule) -> None:
    for symbols in (1000, 10**5, 10**7, 10**9):
        sizes = [settings_by_rule(rule, symbols, 84, limit)["model"]["lstm_size"] for limit in LIMITS]
        assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def test_a_larger_vocabulary_never_gets_a_higher_learning_rate(rule: Rule) -> None:
    rates = [
        settings_by_rule(rule, 10**6, size, None)["optimizer"]["learning_rate"]
        for size in (2, 256, 900, 9000)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == rates[1] > rates[-1]


def test_with_a_time_limit_a_large_vocabulary_gets_a_smaller_model_that_takes_as_long(rule: Rule) -> None:
    for limit in (180.0, 600.0, 1800.0):
        products = []
        for vocabulary in (84, 1024, 2500, 4096, 6000):
            size = settings_by_rule(rule, 10**6, vocabulary, limit)["model"]["lstm_size"]
            output, recurrent = size * vocabulary, 4 * size * size
            products.append(output + 3 * recurrent)  # the second layer's input is the third
        assert max(products) < 2 * min(products)


def test_without_a_time_limit_the_vocabulary_leaves_the_size_alone(rule: Rule) -> None:
    found = [settings_by_rule(rule, 10**6, vocabulary)["model"] for vocabulary in (84, 6000)]
    assert found[0] == found[1]


def test_between_two_rows_it_interpolates_over_the_logarithm() -> None:
    rule = Rule.model_validate(two_rows())
    between = settings_by_rule(rule, 1000, 1000)  # in the middle of both
    assert between["optimizer"]["grad_clip"] == 3.0
    assert between["model"] == {"lstm_size": 32, "num_layers": 2, "dropout": 0.3}
    assert between["optimizer"]["learning_rate"] == 0.0075
    assert between["training"] == {"epochs": None, "max_steps": 500}
    without = Rule.model_validate(
        two_rows(by_length=[row(grad_clip=None)], by_time_limit=[time_row(grad_clip=None)])
    )
    assert settings_by_rule(without, 1000, 1000)["optimizer"] == {"learning_rate": 0.0075}
    assert settings_by_rule(rule, 100, 100) == settings_by_rule(rule, 30, 50)
    assert settings_by_rule(rule, 10_000, 100) == settings_by_rule(rule, 10**9, 1)


def test_a_time_limit_decides_the_settings_within_what_the_text_deserves() -> None:
    rule = Rule.model_validate(two_rows())
    short, long = (settings_by_rule(rule, symbols, 50, 60) for symbols in (100, 10_000))
    assert short["model"] == {
        "lstm_size": 32,
        "num_layers": 2,
        "dropout": 0.5,
    }  # its largest, and 1,000 passes
    assert short["optimizer"] == {"learning_rate": 0.004, "grad_clip": 0.5}
    assert short["data"] == {"batch_size": 2, "num_steps": 5}  # the smaller of each
    assert short["training"]["max_steps"] == 10 * 100 / 10
    assert long["model"]["dropout"] == 0.3  # 10 passes, in the middle
    wide = Rule.model_validate(
        two_rows(by_length=[row(largest_lstm_size=512)], by_time_limit=[time_row(lstm_size=64)])
    )
    assert settings_by_rule(wide, 10_000, 50, 60)["model"]["lstm_size"] == 96  # 1.5 times as large


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"by_length": [row(), row()]},
            "rows of by_length must be in strictly ascending order of training_symbols",
        ),
        ({"by_length": []}, "by_length must not be empty; given"),
        (
            {"by_length": [row(), row(training_symbols=10_000, grad_clip=None)]},
            "either all rows of by_length and by_time_limit must have a grad_clip, or none of them",
        ),
        (
            {"by_time_limit": [time_row(grad_clip=None)]},
            "either all rows of by_length and by_time_limit must have a grad_clip, or none of them",
        ),
        ({"by_passes": []}, "by_passes must not be empty; given"),
        ({"by_length": [row(grad_clip=0)]}, r"by_length\[0\].grad_clip must be above 0; given 0"),
        ({"by_length": [row(dropout=1.5)]}, r"by_length\[0\].dropout must be below 1; given 1.5"),
        ({"by_size": []}, "by_size"),
    ],
)
def test_a_wrong_rule_is_refused(changes: dict[str, Any], expected: str) -> None:
    from charkit.config import build

    with pytest.raises(ConfigurationError, match=expected):
        build(Rule, two_rows(**changes))


@pytest.mark.parametrize(
    ("symbols", "keep", "expected"),
    [
        (2001, (), (32, 50)),
        (1601, (), (32, 50)),
        (1600, (), (31, 50)),
        (401, (), (16, 25)),
        (2, (), (1, 1)),
        (1, (), (32, 50)),
        (401, ("batch_size",), (32, 12)),
        (401, ("num_steps",), (8, 50)),
        (20, ("num_steps",), (32, 50)),
        (20, ("batch_size",), (32, 50)),
        (401, ("batch_size", "num_steps"), (32, 50)),
    ],
)
def test_a_batch_shrinks_until_it_fits(
    symbols: int, keep: tuple[str, ...], expected: tuple[int, int]
) -> None:
    assert fitting_batch(symbols, 32, 50, keep=keep) == expected


def test_a_wide_batch_fits_a_short_text_too() -> None:
    assert fitting_batch(100, 1000, 2) == (99, 1)
    assert fitting_batch(100, 1000, 2, shards=4) == (96, 1)


def test_validations_are_spread_over_the_run(rule: Rule) -> None:
    for steps in (1, 7, 10, 300, 2600):
        every = eval_every(rule, steps, 100, 1_000, None)
        assert math.ceil(steps / every) <= 10
        assert steps < 10 or math.ceil(steps / every) >= 5


def test_a_time_limit_brings_a_validation_at_each_half_of_an_epoch(rule: Rule) -> None:
    symbols = _expected_symbols(rule)
    per_epoch = symbols // 1_000  # one pass is expected
    assert eval_every(rule, 100 * per_epoch, per_epoch, 1_000, 60.0) == math.ceil(per_epoch / 2)


def test_a_short_text_is_not_validated_at_each_half_of_its_many_epochs(rule: Rule) -> None:
    steps = _expected_symbols(rule) // 100
    every = eval_every(rule, steps, 10, 100, 60.0)
    assert every == math.ceil(steps / 20)
    assert eval_every(rule, 40, 10, 100, 60.0) == 4, "no fewer than without a limit"


def _expected_symbols(rule: Rule) -> int:
    return rule.by_time_limit[0].training_symbols
