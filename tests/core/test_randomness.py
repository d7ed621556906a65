"""Every random number comes from a seed and counters, and none of them may ever change."""

from __future__ import annotations

import numpy as np
import pytest

from charkit.randomness import Purpose, SamplingDraws, dropout_masks, normal, uniform

PINNED_UNIFORM = ["0x1.9829d26290c9cp-3", "0x1.38f9fd8e37ab0p-1", "0x1.56f7cc4e9004ep-2"]
PINNED_NORMAL = [0.7585987404762319, 0.9305386304014609, 0.7254275235932063]
PINNED_MASK = "0000101111000100"


def test_the_numbers_are_pinned() -> None:
    """A change here changes every run ever made with a seed."""
    draws = uniform(7, Purpose.SAMPLING, 0, 0, size=3)
    assert [float(draw).hex() for draw in draws] == PINNED_UNIFORM
    mask = dropout_masks(7, 3, (1, 1, 2, 8), 0.5)
    assert "".join("01"[int(keep)] for keep in mask.ravel()) == PINNED_MASK
    assert normal(7, Purpose.WEIGHTS, 1, size=3).tolist() == pytest.approx(PINNED_NORMAL, rel=1e-12)


def test_the_purposes_keep_their_numbers() -> None:
    """They are part of every run: a run that is resumed must draw what it would have drawn."""
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "WEIGHTS": 1,
        "DROPOUT": 2,
        "SAMPLING": 3,
        "CONTROL": 4,
        "EXAMINATION": 5,
        "TRAINING_SAMPLE": 6,
        "EPOCH_OFFSET": 7,
        "STATE_RESETS": 8,
        "SEARCH": 9,
    }


def test_streams_of_other_counters_seeds_and_purposes_differ() -> None:
    base = uniform(1, Purpose.WEIGHTS, 0, size=8)
    for other in (
        uniform(2, Purpose.WEIGHTS, 0, size=8),
        uniform(1, Purpose.WEIGHTS, 1, size=8),
        uniform(1, Purpose.DROPOUT, 0, size=8),
        uniform(1, Purpose.WEIGHTS, 0, 0, size=8),
    ):
        assert not np.any(base == other)


def test_a_longer_stream_begins_like_a_shorter_one() -> None:
    assert np.array_equal(uniform(1, Purpose.WEIGHTS, size=100)[:10], uniform(1, Purpose.WEIGHTS, size=10))


def test_uniform_draws_fill_the_unit_interval() -> None:
    draws = uniform(0, Purpose.WEIGHTS, size=100_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.005
    assert abs(draws.var() - 1 / 12) < 0.001


def test_normal_draws_are_normal() -> None:
    draws = normal(0, Purpose.WEIGHTS, size=100_001)
    assert draws.shape == (100_001,)
    assert abs(draws.mean()) < 0.01
    assert abs(draws.std() - 1) < 0.01
    assert abs((np.abs(draws) < 1.96).mean() - 0.95) < 0.005


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_masks_drop_the_share_they_should(dropout: float) -> None:
    masks = dropout_masks(0, 1, (2, 10, 50, 101), dropout)
    assert masks.shape == (2, 10, 50, 101)
    assert masks.dtype == np.bool_
    assert abs((~masks).mean() - dropout) < 0.005


def test_a_dropout_just_below_one_is_allowed() -> None:
    assert dropout_masks(0, 1, (1, 2, 3, 4), 0.9999999999).mean() < 0.1


def test_masks_of_lower_layers_stay_when_layers_are_added() -> None:
    few, more = dropout_masks(0, 5, (1, 3, 4, 7), 0.5), dropout_masks(0, 5, (3, 3, 4, 7), 0.5)
    assert np.array_equal(few[0], more[0])
    assert not np.array_equal(more[0], more[1])
    assert not np.array_equal(few, dropout_masks(0, 6, (1, 3, 4, 7), 0.5))


def test_sampling_draws_depend_on_the_position_alone() -> None:
    forward = SamplingDraws(3, stream=1)
    in_order = [forward.at(position) for position in range(2100)]
    backward = SamplingDraws(3, stream=1)
    assert [backward.at(position) for position in (2050, 3, 1024)] == [
        in_order[2050],
        in_order[3],
        in_order[1024],
    ]
    assert SamplingDraws(3, stream=2).at(0) != in_order[0]


@pytest.mark.parametrize("position", [0, 1023, 1024, 2050])
def test_a_sampling_draw_is_that_of_its_stream_and_block(position: int) -> None:
    """Asked for first, whichever block it is in."""
    block, offset = divmod(position, 1024)
    draws = uniform(7, Purpose.SAMPLING, 5, block, size=1024)
    assert SamplingDraws(7, stream=5).at(position) == draws[offset]
