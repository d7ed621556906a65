"""From logits and one uniform draw per symbol to the next symbol: the same on every backend."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, State
from charkit.config import SamplingConfig
from charkit.errors import NotFiniteError
from charkit.input_checks import DeviceState
from charkit.randomness import FloatArray, SamplingDraws

#: Symbols of prime text that are fed at once. One shape for all, so that a compiling backend compiles once.
PRIME_CHUNK = 128


class Predictor(Protocol):
    """What symbols are drawn from; CharRNN is one."""

    def initial_state(self, batch_size: int = 1, *, arrays: State[Array] | None = None) -> DeviceState:
        """A zero state, or one from arrays, for so many sequences."""

    def state_arrays(self, state: DeviceState) -> State[Array]:
        """A state, copied out."""

    def advance(self, symbols: NDArray[np.int32], state: DeviceState) -> DeviceState:
        """The state after int32 ``(batch, time)`` symbols."""

    def next_logits(self, symbols: NDArray[np.int32], state: State[Any]) -> tuple[Array, State[Any]]:
        """Logits ``(batch, vocabulary)`` after one symbol each, and the new state, from tensors to tensors."""


def draw(network: Predictor, config: SamplingConfig, prime: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    """Yields the next symbol of each sample, int32 ``(count,)``, ``config.length`` times.

    ``prime``, int32 ``(time,)``, holds one symbol at least; ``config.seed`` must be set.
    """
    assert config.seed is not None, "the caller chooses the seed"
    draws = [SamplingDraws(config.seed, stream) for stream in range(config.count)]
    state = _state_after(network, prime[:-1], config.count).tensors
    symbols = np.full((config.count, 1), prime[-1], dtype=np.int32)
    for position in range(config.length):
        with np.errstate(all="ignore"):
            logits, state = network.next_logits(symbols, state)
            chosen = choose(logits, [stream.at(position) for stream in draws], config)
        yield chosen
        symbols = chosen[:, None]


def _state_after(network: Predictor, symbols: NDArray[np.int32], count: int) -> DeviceState:
    """The state after the symbols, for ``count`` samples; computed once and then repeated."""
    state = network.initial_state()
    whole = len(symbols) - len(symbols) % PRIME_CHUNK
    for start in range(0, whole, PRIME_CHUNK):
        state = network.advance(symbols[None, start : start + PRIME_CHUNK].copy(), state)
    for symbol in symbols[whole:]:  # one by one rather than in a shape that would have to be compiled
        state = network.advance(np.array([[symbol]], dtype=np.int32), state)
    return state if count == 1 else network.initial_state(count, arrays=network.state_arrays(state))


def choose(logits: NDArray[Any], draws: Sequence[float], config: SamplingConfig) -> NDArray[np.int32]:
    """The next symbol of each stream, int32 ``(batch,)``.

    ``logits`` are ``(batch, vocabulary)``, ``draws`` uniform in [0, 1), one for each stream. The symbol is the
    first whose cumulative weight exceeds ``draw * total``, all in float64. Temperature 0 takes the
    likeliest, the lowest index on a tie. Top-k comes before top-p (Holtzman et al., 2020); both sort
    stably, so ties go by index. Raises NotFiniteError for logits that have no likeliest, which are nan or infinite.

    The caller silences overflow: a tiny temperature sends all but the likeliest to -infinity, and their weights to 0.
    """
    alone = len(draws) == 1
    if alone:  # NumPy is faster with one axis
        (logits,) = logits
    likeliest = logits.max(axis=-1, keepdims=True)
    if not all(map(math.isfinite, likeliest.ravel().tolist())):
        raise NotFiniteError(
            "the model's logits are not finite, so nothing can be drawn from them: its weights are too large for its "
            "precision; choose another `checkpoint`, or train again with a lower `learning_rate`"
        )
    if config.temperature == 0:
        return np.asarray(np.argmax(logits, axis=-1), dtype=np.int32).reshape(-1)
    weights = np.subtract(logits, likeliest, dtype=np.float64)
    if config.temperature != 1:
        weights /= config.temperature
    np.exp(weights, out=weights)
    if config.top_k is not None or config.top_p is not None:
        weights = _keep_likeliest(weights, config)
    cumulative = weights.cumsum(axis=-1)
    if alone:  # a search takes a third of the time of a comparison and a reduction
        return np.array([cumulative.searchsorted(draws[0] * cumulative[-1], side="right")], dtype=np.int32)
    beyond = cumulative > (np.array(draws) * cumulative[:, -1])[:, None]
    return np.asarray(beyond.argmax(axis=1), dtype=np.int32)


def _keep_likeliest(weights: FloatArray, config: SamplingConfig) -> FloatArray:
    """The weights, of which top-k and top-p set some to 0; the last axis is that of the symbols."""
    order = np.argsort(-weights, axis=-1, kind="stable")
    ranked = np.take_along_axis(weights, order, axis=-1)
    if config.top_k is not None:
        ranked[..., config.top_k :] = 0.0
    if config.top_p is not None:
        before = np.cumsum(ranked, axis=-1) - ranked  # the weight of all that are likelier
        ranked[before >= config.top_p * ranked.sum(axis=-1, keepdims=True)] = 0.0
    kept = np.empty_like(weights)
    np.put_along_axis(kept, order, ranked, axis=-1)
    return kept


def fresh_seed() -> int:
    """A random seed from the operating system, for samples without a given seed; short enough to type."""
    return secrets.randbelow(2**31)
