"""What rounding alone does: perturbed weights and the band; and which steps are examined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from charkit_comparison.agreement.rounding_control import (
    BAND_FLOOR_UNITS,
    ROUNDING_UNITS,
    band,
    excess,
    perturbed_weights,
)
from charkit_comparison.agreement.step_selection import select_steps
from charkit_comparison.plan import DECIDING_PRECISIONS


@pytest.mark.parametrize("precision", DECIDING_PRECISIONS)
def test_weights_are_perturbed_by_one_rounding_unit(precision: str) -> None:
    weights = {"w": np.linspace(-1.0, 1.0, 201), "b": np.zeros(5)}
    perturbed = perturbed_weights(weights, precision, seed=3, number=1)
    dtype = np.dtype(precision)
    rounded = weights["w"].astype(dtype)
    assert perturbed["w"].dtype == dtype
    change = (perturbed["w"].astype(np.longdouble) - rounded) / np.where(rounded == 0, 1, rounded)
    sizes = np.abs(change[rounded != 0]) / np.longdouble(ROUNDING_UNITS[precision])
    assert sizes.min() >= 0.99
    assert sizes.max() <= 2.01
    assert 0.3 < np.mean(change > 0) < 0.7
    assert not perturbed["b"].any()  # what is zero stays zero
    assert np.array_equal(perturbed["w"], perturbed_weights(weights, precision, seed=3, number=1)["w"])
    assert not np.array_equal(perturbed["w"], perturbed_weights(weights, precision, seed=3, number=2)["w"])
    assert not np.array_equal(perturbed["w"], perturbed_weights(weights, precision, seed=4, number=1)["w"])


def test_the_band_is_the_largest_difference_so_far_and_never_below_its_floor() -> None:
    reference, control = [4.0, 3.0, 2.0, 1.0], [4.0, 3.01, 2.0, 1.0]
    floor = 4.0 * BAND_FLOOR_UNITS * 2.0**-24
    assert band(reference, control, "float32", 60).tolist() == pytest.approx([floor, 0.01, 0.01, 0.01])
    assert band(reference, [4.0, float("nan")], "float32", 60).tolist() == pytest.approx([floor, np.inf])


def test_a_band_of_small_losses_is_never_below_a_few_rounding_units_of_one_nat() -> None:
    floor = BAND_FLOOR_UNITS * 2.0**-24
    assert band([1e-3, 1e-4], [1e-3, 1e-4], "float32", 60).tolist() == pytest.approx([floor, floor])


def test_rounding_explains_everything_where_training_has_diverged() -> None:
    """And nothing more where it has recovered."""
    losses = [4.0, 5.2, 4.0]  # guessing among 60 symbols has a loss of 4.09
    moved = [4.0, 5.3, 4.0]
    assert band(losses, moved, "float32", 60).tolist()[1:] == pytest.approx([np.inf, 0.1])


def test_excess_is_a_multiple_of_the_band() -> None:
    assert excess([0.1, 0.1, np.inf, np.nan], np.array([0.1, 0.01, 0.1, 0.1])).tolist() == pytest.approx(
        [1.0, 10.0, np.inf, np.inf]
    )
    assert excess([1.0, np.inf], np.array([np.inf, np.inf])).tolist() == [0.0, 0.0]


def chosen(
    reference: Sequence[float], others: Sequence[Sequence[float]], at_random: int, seed: int = 0
) -> list[int]:
    """The steps to examine of such curves, the first of which is step 11."""
    return select_steps(
        reference,
        others,
        precision="float32",
        vocabulary_size=60,
        first_step=11,
        at_random=at_random,
        seed=seed,
    )


def test_the_first_step_the_last_and_where_curves_part_fastest_are_examined() -> None:
    flat = [2.0] * 100
    slow = [2.0 + 1e-5 * 1.01**index for index in range(100)]
    jump = [2.0 + (1e-3 if index >= 60 else 0.0) for index in range(100)]
    assert chosen(flat, [], 0) == [11, 110]
    assert chosen(flat, [jump], 0) == [11, 71, 110]
    assert set(chosen(flat, [jump, slow], 0)) >= {11, 71, 110}
    assert chosen([2.0], [], 4) == [11]
    assert chosen([], [], 4) == []


def test_steps_at_which_training_has_diverged_are_not_examined() -> None:
    exploding = [2.0, 9.0, 2.0, 2.0, 9.0, 9.0]
    jump = [2.0, 9.5, 2.1, 2.0, 9.0, 9.0]
    assert chosen(exploding, [jump], 9) == [11, 13, 14]
    assert chosen(exploding, [jump], 0) == [11, 13, 14]
    assert chosen([9.0, 9.0], [[9.1, 9.0]], 9) == [11]


def test_steps_are_drawn_at_random_by_the_seed() -> None:
    flat = [2.0] * 100
    drawn = chosen(flat, [], 5)
    assert len(drawn) == 7
    assert drawn == sorted(set(drawn))
    assert drawn == chosen(flat, [], 5)
    assert drawn != chosen(flat, [], 5, seed=1)
    assert chosen(flat[:4], [], 9) == [11, 12, 13, 14]
