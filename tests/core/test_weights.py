"""Names, shapes and initial values of the canonical weights."""

from __future__ import annotations

import numpy as np
import pytest

from charkit.config import Initialization, ModelConfig
from charkit.weights import initial_weights, mismatch, parameter_count, weight_shapes

MODEL = ModelConfig(vocabulary_size=11, lstm_size=8, num_layers=2)

#: The first and the last element of each array of a model of 3 symbols and two layers of 2 units, from seed 7.
PINNED = {
    "orthogonal": {
        "lstm.0.weight_ih": (-0.5275284358418008, -0.5321112903767408),
        "lstm.0.weight_hh": (-0.9173037982949845, 0.9874137075349518),
        "lstm.0.bias": (0.0, 0.0),
        "lstm.1.weight_ih": (0.6808022233259792, -0.7516359038480276),
        "lstm.1.weight_hh": (0.6132380791237819, -0.9528088764053262),
        "lstm.1.bias": (0.0, 0.0),
        "output.weight": (-0.4196580115338715, -0.5825681455385987),
        "output.bias": (0.0, 0.0),
    },
    "uniform": {
        "lstm.0.weight_ih": (0.492828887330969, 0.19499179287930898),
        "lstm.0.weight_hh": (0.2942819090689171, 0.5698278056957848),
        "lstm.0.bias": (-0.7652931242478164, 0.8108368817770097),
        "lstm.1.weight_ih": (0.14053546393069838, 0.04446152734146154),
        "lstm.1.weight_hh": (0.5925731290018025, -0.5542065691690838),
        "lstm.1.bias": (-0.16892339659136635, 0.21618000012058253),
        "output.weight": (0.21297293859133407, 0.6555074973555336),
        "output.bias": (0.16917392251480212, -0.06720652467735963),
    },
}
PINNED["embedding"] = {
    **PINNED["orthogonal"],
    "lstm.0.weight_ih": (-0.4285661272316327, -0.4322892558561039),
}


def test_names_and_shapes() -> None:
    assert weight_shapes(MODEL) == {
        "lstm.0.weight_ih": (32, 11),
        "lstm.0.weight_hh": (32, 8),
        "lstm.0.bias": (32,),
        "lstm.1.weight_ih": (32, 8),
        "lstm.1.weight_hh": (32, 8),
        "lstm.1.bias": (32,),
        "output.weight": (11, 8),
        "output.bias": (11,),
    }
    assert parameter_count(MODEL) == sum(array.size for array in initial_weights(MODEL, 0).values())


def test_each_gate_of_the_recurrent_weights_is_orthogonal() -> None:
    recurrent = initial_weights(MODEL, 0)["lstm.1.weight_hh"]
    for gate in range(4):
        block = recurrent[gate * 8 : (gate + 1) * 8]
        np.testing.assert_allclose(block @ block.T, np.eye(8), atol=1e-12)
    assert not np.allclose(recurrent[:8], recurrent[8:16])


def test_biases_are_zero_but_one_on_the_forget_gate() -> None:
    weights = initial_weights(MODEL, 0)
    assert weights["lstm.0.bias"].tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    assert not weights["output.bias"].any()


def test_input_and_output_weights_are_glorot_uniform() -> None:
    wide = ModelConfig(vocabulary_size=100, lstm_size=64, num_layers=1)
    weights = initial_weights(wide, 0)
    for name in ("lstm.0.weight_ih", "output.weight"):
        array = weights[name]
        limit = np.sqrt(6 / sum(array.shape))
        assert 0.99 * limit < np.abs(array).max() <= limit
        assert abs(array.std() - limit / np.sqrt(3)) < 0.02 * limit


def test_uniform_weights_are_those_of_a_torch_lstm() -> None:
    wide = ModelConfig(vocabulary_size=100, lstm_size=64, num_layers=2)
    weights = initial_weights(wide, 0, "uniform")
    assert {name: array.shape for name, array in weights.items()} == weight_shapes(wide)
    limit = 1 / 8  # of 64 units
    for name in ("lstm.0.weight_ih", "lstm.1.weight_hh", "output.weight", "output.bias"):
        assert 0.9 * limit < np.abs(weights[name]).max() <= limit
    assert abs(weights["lstm.1.weight_hh"].std() - limit / np.sqrt(3)) < 0.02 * limit
    bias = weights["lstm.0.bias"]  # the sum of two draws
    assert limit < np.abs(bias).max() <= 2 * limit
    assert abs(bias.std() - limit * np.sqrt(2 / 3)) < 0.1 * limit
    assert len({array.flat[0] for array in weights.values()}) == len(weights), "arrays share their draws"


@pytest.mark.parametrize("vocabulary_size", [3, 500])
def test_as_in_an_embedding_the_input_weights_do_not_depend_on_the_vocabulary(vocabulary_size: int) -> None:
    model = ModelConfig(vocabulary_size=vocabulary_size, lstm_size=64, num_layers=2)
    weights, orthogonal = initial_weights(model, 0, "embedding"), initial_weights(model, 0)
    first = weights.pop("lstm.0.weight_ih")
    assert 0.55 < np.abs(first).max() <= 0.6
    assert abs(first.std() - 0.6 / np.sqrt(3)) < 0.02
    assert all(np.array_equal(array, orthogonal[name]) for name, array in weights.items())


@pytest.mark.parametrize("initialization", ["orthogonal", "embedding", "uniform"])
def test_the_initial_values_are_pinned(initialization: Initialization) -> None:
    """A change here changes every run ever made with a seed. The functions of NumPy may round the last digits."""
    small = ModelConfig(vocabulary_size=3, lstm_size=2, num_layers=2)
    weights = initial_weights(small, 7, initialization)
    ends = {name: (array.flat[0], array.flat[-1]) for name, array in weights.items()}
    assert ends == {name: pytest.approx(pinned, rel=1e-12) for name, pinned in PINNED[initialization].items()}


def test_the_seed_decides() -> None:
    same, other = initial_weights(MODEL, 1), initial_weights(MODEL, 2)
    again = initial_weights(MODEL, 1)
    assert all(np.array_equal(same[name], again[name]) for name in same)
    assert not np.array_equal(same["lstm.0.weight_ih"], other["lstm.0.weight_ih"])


def test_a_mismatch_is_told_in_words() -> None:
    arrays = dict(initial_weights(MODEL, 0))
    assert mismatch(arrays, MODEL) is None
    assert mismatch({**arrays, "more": np.zeros(1)}, MODEL) == "more does not belong to the model"
    assert "has shape (11, 9)" in str(mismatch({**arrays, "output.weight": np.zeros((11, 9))}, MODEL))
    del arrays["lstm.0.bias"]
    assert mismatch(arrays, MODEL) == "lstm.0.bias is missing"
