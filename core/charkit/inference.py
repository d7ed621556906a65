"""Evaluation, prediction and sampling with a network. None of it changes the network or the carried state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.argument_checks import integer
from charkit.backend import Array, State
from charkit.config import SamplingConfig, build
from charkit.errors import InputError
from charkit.input_checks import DeviceState
from charkit.network import Network
from charkit.network_state import NetworkState
from charkit.one_thread import lock_of, one_thread_at_a_time
from charkit.symbol_sampling import draw, fresh_seed


class InferenceNetwork(NetworkState):
    """A network that scores and predicts symbols. The base of CharRNN, which makes the attributes and trains."""

    _network: Network

    @one_thread_at_a_time
    def initial_state(self, batch_size: int = 1, *, arrays: State[Array] | None = None) -> DeviceState:
        """A state for ``nats``, ``predict`` and ``advance``, in the framework's own tensors: zero, or from arrays.

        The state of a single sequence is repeated for each of the batch.
        """
        batch_size = integer("batch_size", batch_size, 1, error=InputError)
        if arrays is None:
            arrays = self._convert.zero_state(batch_size)
        elif batch_size > 1 and self._check.is_of_one(arrays):
            arrays = State(*(array.repeat(batch_size, axis=1) for array in arrays))
        self._check.state(arrays, batch_size)
        return DeviceState(self._convert.state_in(arrays), batch_size, self.config)

    @one_thread_at_a_time
    def state_arrays(self, state: DeviceState) -> State[Array]:
        """A state of the framework's own tensors, copied out: each array ``(layer, batch, unit)``."""
        self._check.is_device_state(state)
        return self._convert.state_out(state.tensors)

    @one_thread_at_a_time
    def nats(
        self, inputs: NDArray[np.int32], targets: NDArray[np.int32], state: DeviceState
    ) -> tuple[Array, DeviceState]:
        """The loss of each symbol without dropout, nats ``(batch, time)``, and the state after them.

        ``state`` is one from ``initial_state`` or from the last call.
        """
        self._check.batch(inputs, targets)
        self._check.device_state(state, inputs)
        nats, after = self._network.forward(
            self._weights,
            self.backend.tensor(inputs),
            self.backend.tensor(targets),
            state.tensors,
            None,
        )
        return self.backend.numpy(nats), DeviceState(after, state.batch_size, self.config)

    @one_thread_at_a_time
    def predict(self, symbols: NDArray[np.int32], state: DeviceState) -> tuple[Array, DeviceState]:
        """Logits ``(batch, vocabulary)`` for what follows one symbol each, int32 ``(batch, 1)``.

        ``state`` is one from ``initial_state`` or from the last call. For the logits after each symbol of a sequence,
        call this once for each of them, with the state of the last call.
        """
        self._check.symbols(symbols, "symbols", time=1)
        self._check.device_state(state, symbols)
        with np.errstate(all="ignore"):
            logits, after = self.next_logits(symbols, state.tensors)
        return logits, DeviceState(after, state.batch_size, self.config)

    def next_logits(self, symbols: NDArray[np.int32], state: State[Any]) -> tuple[Array, State[Any]]:
        """``predict`` from tensors to tensors, for symbols and a state that need no check, as in sampling.

        The caller silences NumPy's floating-point errors.
        """
        with lock_of(self.backend):  # without a decorator, whose call would take longer
            logits, after = self._network.predict(self._weights, self.backend.tensor(symbols), state)
            return self.backend.numpy(logits).reshape(len(symbols), self.config.vocabulary_size), after

    @one_thread_at_a_time
    def advance(self, symbols: NDArray[np.int32], state: DeviceState) -> DeviceState:
        """The state after int32 ``(batch, time)`` symbols."""
        self._check.symbols(symbols, "symbols")
        self._check.device_state(state, symbols)
        after = self._network.advance(self._weights, self.backend.tensor(symbols), state.tensors)
        return DeviceState(after, state.batch_size, self.config)

    def sample(
        self,
        length: int = 500,
        *,
        prime: NDArray[np.int32] | None = None,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> NDArray[np.int32]:
        """Draws symbols, int32 ``(count, length)``, that follow those of ``prime``, int32 ``(time,)``.

        Without ``prime`` they follow symbol 0. The same seed gives the same symbols on every backend; without one a
        fresh seed is drawn.
        """
        options: dict[str, Any] = {"length": length, "count": count, "temperature": temperature}
        options |= {"top_k": top_k, "top_p": top_p, "seed": fresh_seed() if seed is None else seed}
        start = np.zeros(1, dtype=np.int32) if prime is None else prime
        return np.stack(list(self.draw(build(SamplingConfig, options), start)), axis=1)

    def draw(self, config: SamplingConfig, prime: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
        """Yields the next symbol of each sample, int32 ``(count,)``, ``config.length`` times.

        ``prime``, int32 ``(time,)``, holds one symbol at least; ``config.seed`` must be set.
        """
        self._check.prime(prime)
        return draw(self, config, prime)
