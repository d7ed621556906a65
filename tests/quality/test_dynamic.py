"""Dynamic evaluation: scored before the weights move, exact afterwards, and it gains where a text repeats itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import charkit
from charkit.errors import NotFiniteError, TextError
from charkit.evaluation import evaluate
from charkit.quality.dynamic import FLOOR, DynamicConfig, GradientScale, evaluate_dynamically
from charkit.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of_text("abcdefg")
SIZE = VOCABULARY.size


def network(**options: Any) -> charkit.CharRNN:
    return charkit.CharRNN(SIZE, lstm_size=6, batch_size=3, num_steps=5, precision="float64", **options)


def text(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, SIZE, length).astype(np.uint8)


@pytest.fixture
def trained() -> tuple[charkit.CharRNN, GradientScale]:
    """A network after some steps, with its moments, state and step count, and the scale of its gradients."""
    model = network()
    draw = np.random.default_rng(1)
    for _ in range(4):
        batch = draw.integers(0, SIZE, (3, 6)).astype(np.int32)
        model.train_step(batch[:, :-1].copy(), batch[:, 1:].copy())
    moments = model.moments()
    scale = GradientScale.of_moments(moments.exp_avg_sq, beta2=0.999, step=4, symbols_per_step=15)
    assert scale is not None
    return model, scale


Trained = tuple[charkit.CharRNN, GradientScale]


def dynamic(trained: Trained, symbols: np.ndarray, start: int, stop: int, **options: Any) -> float:
    model, scale = trained
    return evaluate_dynamically(model, symbols, VOCABULARY, start, stop, scale, DynamicConfig(**options)).loss


def by_hand(trained: Trained, symbols: np.ndarray, start: int, stop: int, config: DynamicConfig) -> float:
    """The RMS rule of Krause et al. (2018), written out for a stream that starts where the text does."""
    model, scale = trained
    first, weights = model.weights(), model.weights()
    other = network()
    other.load_weights(weights)
    inputs = symbols.astype(np.int32)[None]
    state, total = other.state(), 0.0
    state = charkit.State(*(array[:, :1] for array in state))
    rms = scale.root_mean_squares
    mean = np.concatenate([array.ravel() for array in rms.values()]).mean()
    for begin in range(start, stop, config.segment_length):
        end = min(stop, begin + config.segment_length)
        gradients, nats, state = other.gradients(
            inputs[:, begin - 1 : end - 1].copy(), inputs[:, begin:end].copy(), state=state
        )
        total += nats.sum()
        for name in weights:
            root = rms[name] / np.sqrt(config.segment_length)
            floor = FLOOR * mean / np.sqrt(config.segment_length)
            moved = weights[name] - config.learning_rate * gradients[name] / (root + floor)
            weights[name] = moved + np.minimum(config.decay * rms[name] / mean, 1) * (first[name] - moved)
        other.replace_weights(weights)
    return total / (stop - start)


def test_it_is_the_rule_of_the_paper(trained: Trained) -> None:
    config = DynamicConfig(learning_rate=0.003, segment_length=7, decay=0.05)
    symbols = text(60)
    found = dynamic(trained, symbols, 0, 60, **config.model_dump())
    assert found == pytest.approx(by_hand(trained, symbols, 1, 60, config), rel=1e-12)
    for change in ({"learning_rate": 0.006}, {"segment_length": 8}, {"decay": 0.5}):
        assert abs(dynamic(trained, symbols, 0, 60, **(config.model_dump() | change)) - found) > 1e-6, change


def test_a_segment_is_scored_before_the_weights_follow_it(trained: Trained) -> None:
    symbols = text(700)
    still = evaluate(trained[0], symbols, VOCABULARY, 650, 670).loss
    assert dynamic(trained, symbols, 650, 670, learning_rate=1, segment_length=20) == pytest.approx(still)
    assert dynamic(trained, symbols, 650, 671, learning_rate=1, segment_length=20) != pytest.approx(
        evaluate(trained[0], symbols, VOCABULARY, 650, 671).loss
    )
    # What comes later changes nothing of what was scored.
    other = symbols.copy()
    other[670:] = 0
    ends = [dynamic(trained, each, 600, 670, learning_rate=0.01) for each in (symbols, other)]
    assert ends[0] == ends[1]


def test_steps_of_almost_nothing_score_as_the_trained_model_does(trained: Trained) -> None:
    symbols = text(900)
    still = evaluate(trained[0], symbols, VOCABULARY, 550, 900)
    followed = dynamic(trained, symbols, 550, 900, learning_rate=1e-12)
    assert followed == pytest.approx(still.loss, abs=1e-9)


def test_it_gains_on_a_text_that_repeats_itself(trained: Trained) -> None:
    symbols = np.tile(text(9), 100)
    still = evaluate(trained[0], symbols, VOCABULARY, 0, 900).loss
    assert dynamic(trained, symbols, 0, 900, learning_rate=0.005) < still - 0.1


def test_the_network_is_left_as_it_was_to_the_bit(trained: Trained) -> None:
    model, _ = trained
    before = model.snapshot().arrays()

    def unchanged() -> bool:
        after = model.snapshot().arrays()
        return all(np.array_equal(array, after[name]) for name, array in before.items())

    dynamic(trained, text(300), 0, 300, learning_rate=0.1)
    assert unchanged()
    for error in (KeyboardInterrupt, ValueError):

        def interrupt(fraction: float, error: type[BaseException] = error) -> None:
            if fraction > 0.5:
                raise error

        with pytest.raises(error):
            evaluate_dynamically(model, text(300), VOCABULARY, 0, 300, trained[1], DynamicConfig(), interrupt)
        assert unchanged()


def test_what_can_not_be_scored_is_told(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TextError, match="nothing to score"):
        dynamic(trained, text(10), 4, 4)
    model, _ = trained
    before, real = model.weights(), model.gradients

    def overflowing(*arguments: Any, **options: Any) -> Any:
        gradients, nats, state = real(*arguments, **options)
        moved = any(np.any(array != before[name]) for name, array in model.weights().items())
        return gradients, nats * np.inf if moved else nats, state

    monkeypatch.setattr(model, "gradients", overflowing)
    with pytest.raises(NotFiniteError, match="diverged after 20 symbols; try a lower `learning_rate`"):
        dynamic(trained, text(90), 0, 90)
    assert all(np.array_equal(array, before[name]) for name, array in model.weights().items())


def test_a_network_that_was_never_trained_has_no_scale() -> None:
    model = network()
    assert GradientScale.of_moments(model.moments().exp_avg_sq, beta2=0.9, step=0, symbols_per_step=9) is None
    assert GradientScale.of_moments(model.moments().exp_avg_sq, beta2=0.9, step=3, symbols_per_step=9) is None


def test_the_scale_is_that_of_one_symbol() -> None:
    squares = {"a": np.full(3, 4.0)}
    scale = GradientScale.of_moments(squares, beta2=0.5, step=1, symbols_per_step=50)
    assert scale is not None
    np.testing.assert_allclose(scale.root_mean_squares["a"], np.sqrt(4.0 / 0.5 * 50))
