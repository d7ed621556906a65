"""Stage sampling: predictions symbol by symbol, and text, against the oracle with the same draws."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charkit.backend import State
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig, SamplingConfig
from charkit.randomness import SamplingDraws
from charkit.sampling import sample_texts
from charkit.testing.agreement import require_agreement
from charkit.testing.cases import stepping_case, symbols_of, weights_of
from charkit.testing.oracle import Arrays, Oracle, zero_state
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, Mismatch, require_equal
from charkit.text.vocabulary import Vocabulary

_TEXT = "lstm.py and output.py: the state from one symbol to the next, and the order of the batch and vocabulary axes"
#: The model of stage training; sampling uses no dropout.
_MODEL = stepping_case().model
_VOCABULARY = Vocabulary.of_text("abcdefg")
_PRIME = np.array([2, 5, 1], np.int32)
_LENGTH = 100


def _weights() -> Arrays:
    """Weights so large that the text depends on them, and the likeliest symbol on the state."""
    return {name: 2.0 * array for name, array in weights_of(_MODEL, 190).items()}


def _network(subject: Subject, precision: str) -> CharRNN:
    backend = subject.backend(precision)
    return CharRNN.from_config(
        _MODEL, OptimizerConfig(), backend, batch_size=1, num_steps=1, weights=_weights()
    )


@check_precisions("sampling", among=("float32", "bfloat16"))
def predictions_of_one_symbol(subject: Subject, precision: str) -> None:
    """The logits of twenty predictions, with the state carried as tensors of the framework."""
    network, weights, symbols = _network(subject, precision), _weights(), symbols_of(90, (3, 20), 7)
    state, columns = network.initial_state(3), []
    for t in range(20):
        logits, state = network.predict(symbols[:, t : t + 1].copy(), state)
        columns.append(logits)

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        return {"logits": oracle(_MODEL).forward(weights, symbols, zero_state(_MODEL, 3)).logits}

    observed = {"logits": np.stack(columns, axis=1)}
    require_agreement(observed, compute, precision=precision, kind="forward", look_at=_TEXT)


@check_precisions("sampling", among=("float32",))
def states_can_be_read_later(subject: Subject, precision: str) -> None:
    """A hundred states of one text, read later, have not been changed by continuing the text."""
    network, symbols = _network(subject, precision), symbols_of(90, (3, 20), 7)
    states, early = [network.initial_state(3)], []
    for t in range(_LENGTH):
        column = t % 20
        _, state = network.predict(symbols[:, column : column + 1].copy(), states[-1])
        states.append(state)
        early.append(network.state_arrays(state))
    late = [network.state_arrays(state) for state in states[1:]]
    for name in State._fields:
        require_equal(
            {name: np.array([getattr(state, name) for state in late])},
            {name: np.array([getattr(state, name) for state in early])},
            expected="states that stay unchanged after they are returned",
            look_at="lstm.py: the state must be new arrays, not buffers that later calls write to",
        )


@check_precisions("sampling", among=("float32", "float64"))
def state_after_prime_text(subject: Subject, precision: str) -> None:
    """advance() over many symbols at once, followed by the logits of one prediction."""
    network, weights, symbols = _network(subject, precision), _weights(), symbols_of(91, (3, 7), 7)
    state = network.advance(symbols[:, :6].copy(), network.initial_state(3))
    logits, _ = network.predict(symbols[:, 6:].copy(), state)

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        return {"logits": oracle(_MODEL).forward(weights, symbols, zero_state(_MODEL, 3)).logits[:, -1]}

    require_agreement({"logits": logits}, compute, precision=precision, kind="forward", look_at=_TEXT)


@check_precisions("sampling", among=("float32", "float64"))
def greedy_text(subject: Subject, precision: str) -> None:
    """Text at temperature 0 after a prime text: 100 symbols, identical to the reference's."""
    _check_text(subject, precision, temperature=0.0, count=1)


@check_precisions("sampling", among=("float32", "float64"))
def text_at_a_temperature(subject: Subject, precision: str) -> None:
    """Text at temperature 0.8 in three parallel streams, each with its own draws: identical to the reference's."""
    _check_text(subject, precision, temperature=0.8, count=3)


def _check_text(subject: Subject, precision: str, *, temperature: float, count: int) -> None:
    seed, expected = _clear_texts(temperature, count, 5 * BOUNDS["float32"]["forward"])
    config = SamplingConfig(length=_LENGTH, count=count, temperature=temperature, seed=seed)
    texts = sample_texts(_network(subject, precision), _VOCABULARY, config, _PRIME)
    for stream, (text, right) in enumerate(zip(texts, expected, strict=True)):
        if text != right:
            first = next(i for i in range(_LENGTH + 1) if text[: i + 1] != right[: i + 1])
            raise Mismatch(
                f"stream {stream}: {right}", f"{text}; the first difference is at index {first}", _TEXT
            )


@cache
def _clear_texts(temperature: float, count: int, clearness: float) -> tuple[int, list[str]]:
    """A seed and the oracle's texts, in which no draw is so close to a boundary that rounding decides."""
    for seed in range(200):
        texts, clear = zip(*(_oracle_text(temperature, seed, stream) for stream in range(count)), strict=True)
        if min(clear) > clearness:
            return seed, list(texts)
    raise ValueError("none of 200 seeds gives a text that is unaffected by rounding")


def _oracle_text(temperature: float, seed: int, stream: int) -> tuple[str, float]:
    """One stream's text on the oracle, and the clearness of its least clear choice."""
    oracle, weights, draws = Oracle(_MODEL), _weights(), SamplingDraws(seed, stream)
    result = oracle.forward(weights, _PRIME[None], zero_state(_MODEL, 1))
    logits, state, chosen, clearest = result.logits[0, -1], result.state, [], np.inf
    for position in range(_LENGTH):
        symbol, clear = oracle.choose(logits, temperature, draws.at(position))
        chosen.append(symbol)
        clearest = min(clearest, clear)
        result = oracle.forward(weights, _as_batch(symbol), state)
        logits, state = result.logits[0, 0], result.state
    return _VOCABULARY.decode(chosen), float(clearest)


def _as_batch(symbol: int) -> NDArray[np.int32]:
    return np.array([[symbol]], np.int32)
