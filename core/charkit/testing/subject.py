"""What is judged: a backend, by its installed name or by a function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

from charkit import plugins
from charkit.backend import Array, Backend, Moments, Rates, State
from charkit.config import ModelConfig, OptimizerConfig
from charkit.network import Advance, Forward, Predict
from charkit.testing.border import copied_out, moments_of, named, parts_of, scalar_out, state_of
from charkit.testing.judge import require

Factory = Callable[[str], Backend[Any]]
MadeT = TypeVar("MadeT")


class Ended(Protocol):
    """What has to be ended, such as a process."""

    def end(self) -> None:
        """Ends it."""


EndedT = TypeVar("EndedT", bound=Ended)
_LSTM = "lstm.py"
_OUTPUT = "output.py"
_LOSS = "loss.py"
_DIFFERENTIATE = "backend.py: differentiate()"
_OPTIMIZER = "optimizer.py"
#: The order in which precisions are checked: what is wrong in all of them is wrong in float32 first.
_ORDER = {"float32": 0, "float64": 1, "bfloat16": 2}


@dataclass(frozen=True)
class Subject:
    """The backend under test: an installed one by name, or what ``factory(precision)`` makes."""

    name: str
    factory: Factory | None = None
    device: str | None = None
    threads: int | None = None
    _made: dict[str, Backend[Any]] = field(default_factory=dict, repr=False, compare=False)
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)
    _to_end: list[Ended] = field(default_factory=list, repr=False, compare=False)

    def backend_class(self) -> type[Backend[Any]]:
        """The backend's class. Raises BackendError where it can't be had."""
        return self.kept("class", self._backend_class)

    def _backend_class(self) -> type[Backend[Any]]:
        return (
            plugins.find(self.name).backend_class if self.factory is None else type(self.backend("float32"))
        )

    def precisions(self) -> tuple[str, ...]:
        """The precisions that the backend declares, float32 first, which every backend has."""
        return tuple(sorted(self.backend_class().precisions, key=lambda name: (_ORDER.get(name, 9), name)))

    def finest(self) -> str:
        """float64 where the backend declares it, otherwise float32: for checks that one precision is enough for."""
        return "float64" if "float64" in self.precisions() else "float32"

    def capabilities(self) -> frozenset[str]:
        """The capabilities that the backend declares; none where it is of a contract without them."""
        return frozenset(getattr(self.backend_class(), "capabilities", ()))

    def new(self, precision: str) -> Backend[Any]:
        """A backend of its own, for checks on several side by side."""
        if self.factory is not None:
            return self.factory(precision)
        return plugins.create(self.name, precision=precision, device=self.device, threads=self.threads)

    def backend(self, precision: str) -> Backend[Any]:
        """The backend of that precision, made once."""
        if precision not in self._made:
            self._made[precision] = self.new(precision)
        return self._made[precision]

    def kept(self, key: Hashable, make: Callable[[], MadeT]) -> MadeT:
        """What ``make`` returned when this key was first asked for: what several checks share."""
        if key not in self._kept:
            self._kept[key] = make()
        made: MadeT = self._kept[key]
        return made

    def at_end(self, made: EndedT) -> EndedT:
        """Something to be ended with the subject at the latest, given back."""
        self._to_end.append(made)
        return made

    def end(self, made: Ended | None = None) -> None:
        """Ends one of the things that are to be ended, or all. It is kept no longer, so that a check may begin anew."""
        for ended in [one for one in self._to_end if made is None or one is made]:
            self._to_end.remove(ended)
            for key in [key for key, kept in self._kept.items() if kept is ended]:
                del self._kept[key]
            ended.end()

    def parts(self, precision: str, model: ModelConfig, weights: Mapping[str, Array]) -> Parts:
        """The parts for a model with these weights. The checks share them, so that each shape compiles once."""
        parts = self.kept(("parts", precision, model), lambda: Parts(self.backend(precision), model, weights))
        parts.weights = parts.tensors(weights)
        return parts

    def updater(
        self,
        precision: str,
        optimizer: OptimizerConfig,
        weights: Mapping[str, Array],
        moments: Moments[Array] | None = None,
    ) -> Updater:
        """The optimizer on these weights. The checks share what is compiled of it, so that each compiles once."""
        backend = self.backend(precision)
        compiled = self.kept(("update", precision, optimizer), lambda: compiled_update(backend, optimizer))
        return Updater(backend, optimizer, weights, moments, compiled)

    def made(self) -> list[Backend[Any]]:
        """The backends made so far."""
        return list(self._made.values())


class Parts:
    """A backend's parts for one model, composed as CharRNN does, but each only when a check asks for it.

    So an author whose optimiser is not written yet can pass the stages before it. NumPy in, NumPy out. The functions
    are the core's own: what a backend has compiled of them serves the networks of later stages too.
    """

    def __init__(self, backend: Backend[Any], model: ModelConfig, weights: Mapping[str, Array]) -> None:
        self.backend, self.model = backend, model
        self.weights = self.tensors(weights)
        self._lstm, self._output = backend.build_lstm(model), backend.build_output(model)
        self._predict = backend.compile(Predict(self._lstm, self._output))
        self._advance = backend.compile(Advance(self._lstm))
        self._masked = backend.compile(self._logits)

    def _logits(self, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
        returned = self._lstm(weights, symbols, state, masks)
        features, state = parts_of(returned, ("features", "state"), "the LSTM", _LSTM)
        return self._output(weights, features), state_of(state, _LSTM)

    def predict(
        self, symbols: Array, state: State[Array], masks: Array | None = None
    ) -> tuple[Array, State[Array]]:
        """Logits ``(batch, vocabulary)`` of one symbol each, ``(batch, 1)``, and the new state."""
        logits, after = self.predict_tensors(symbols, self.state(state), masks)
        flat = copied_out(self.backend, logits, "logits", _OUTPUT)
        count = len(symbols) * self.model.vocabulary_size
        require(
            flat.size == count,
            expected=f"{count} logits for one time step of {len(symbols)} sequences",
            got=f"{flat.size}, of shape {flat.shape}",
            look_at=_OUTPUT,
        )
        return flat.reshape(len(symbols), self.model.vocabulary_size), self.state_out(after)

    def predict_tensors(
        self, symbols: Array, state: State[Any], masks: Array | None = None
    ) -> tuple[Any, State[Any]]:
        """Logits and new state, from a state of the framework's own tensors; nothing is copied out."""
        arguments = self.weights, self.backend.tensor(symbols), state
        if masks is not None:
            logits, after = self._masked(*arguments, self._in(masks))
        else:
            logits, after = self._called(self._predict, *arguments)
        return logits, state_of(after, _LSTM)

    def _called(self, function: Any, *arguments: Any) -> Any:
        """What a function of the core's returns. Raises Mismatch where the LSTM returns what the core can't take."""
        try:
            return function(*arguments)
        except (TypeError, ValueError):
            with_targets = len(arguments) == 5
            self._masked(*arguments[:2], *(arguments[3:] if with_targets else (arguments[2], None)))
            raise

    def advance(self, symbols: Array, state: State[Array], masks: Array | None = None) -> State[Array]:
        """The state after ``(batch, time)`` symbols."""
        return self.state_out(self.advance_tensors(symbols, self.state(state), masks))

    def advance_tensors(self, symbols: Array, state: State[Any], masks: Array | None = None) -> State[Any]:
        """The same, in the framework's own tensors."""
        if masks is not None:
            return self.predict_tensors(symbols, state, masks)[1]
        after = self._called(self._advance, self.weights, self.backend.tensor(symbols), state)
        return state_of(after, _LSTM)

    @cached_property
    def forward(self) -> Any:
        """The composed forward pass, as the core hands it to ``differentiate``."""
        return Forward(self._lstm, self._output, self.backend.build_loss(self.model))

    def nats(
        self, symbols: Array, targets: Array, state: State[Array], masks: Array | None = None
    ) -> tuple[Array, State[Array]]:
        """The loss of each symbol, nats ``(batch, time)``, and the new state."""
        nats, after = self._called(
            self._nats, self.weights, *self._batch(symbols, targets), self.state(state), self._in(masks)
        )
        return copied_out(self.backend, nats, "nats", _LOSS), self.state_out(state_of(after, _LSTM))

    @cached_property
    def _nats(self) -> Any:
        return self.backend.compile(self.forward)

    @cached_property
    def backward(self) -> Any:
        """The gradient function, compiled; takes and gives tensors."""
        return self.backend.compile(self.backend.differentiate(self.forward))

    def gradients(
        self, symbols: Array, targets: Array, state: State[Array], masks: Array | None = None
    ) -> tuple[dict[str, Array], Array, State[Array]]:
        """The gradient of the mean by weight name, the nats ``(batch, time)``, and the new state."""
        returned = self._called(
            self.backward, self.weights, *self._batch(symbols, targets), self.state(state), self._in(masks)
        )
        names = ("gradients", "nats", "state")
        gradients, nats, after = parts_of(
            returned, names, "the function that differentiate() returns", _DIFFERENTIATE
        )
        return (
            self.arrays(named(gradients, self.weights, "the gradient", _DIFFERENTIATE), "the gradient of "),
            copied_out(self.backend, nats, "nats", _DIFFERENTIATE),
            self.state_out(state_of(after, _DIFFERENTIATE), _DIFFERENTIATE),
        )

    # ---- crossing the border --------------------------------------------------------------------------

    def tensors(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Arrays by name, copied in."""
        return {name: self.backend.tensor(array) for name, array in arrays.items()}

    def arrays(self, tensors: Mapping[str, Any], what: str = "") -> dict[str, Array]:
        """Tensors by name, copied out; ``what`` stands before a name in a finding."""
        return {
            name: copied_out(self.backend, tensor, what + name, _DIFFERENTIATE)
            for name, tensor in tensors.items()
        }

    def state(self, state: State[Array]) -> State[Any]:
        """A state, copied in."""
        return State(self.backend.tensor(state.hidden), self.backend.tensor(state.cell))

    def state_out(self, state: State[Any], look_at: str = _LSTM) -> State[Array]:
        """A state, copied out."""
        return State(
            copied_out(self.backend, state.hidden, "the state's hidden", look_at),
            copied_out(self.backend, state.cell, "the state's cell", look_at),
        )

    def _batch(self, *arrays: Array) -> tuple[Any, ...]:
        return tuple(self.backend.tensor(array) for array in arrays)

    def _in(self, masks: Array | None) -> Any:
        return None if masks is None else self.backend.tensor(masks)


@dataclass(frozen=True)
class _Update:
    """The optimizer as the core calls it, but for what it returns, which is judged. Equal where its optimizer is."""

    __name__ = "apply"
    optimizer: Any

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        return self.optimizer(weights, moments, gradients, rates)


def compiled_update(backend: Backend[Any], optimizer: OptimizerConfig) -> Any:
    """A backend's optimizer as the core calls it: compiled, weights and moments given away."""
    return backend.compile(_Update(backend.build_optimizer(optimizer)), consumes=("weights", "moments"))


class Updater:
    """A backend's optimiser alone: weights and moments as tensors, gradients handed in as arrays."""

    def __init__(
        self,
        backend: Backend[Any],
        optimizer: OptimizerConfig,
        weights: Mapping[str, Array],
        moments: Moments[Array] | None = None,
        compiled: Any = None,
    ) -> None:
        self.backend, self.optimizer = backend, optimizer
        zeros = {name: np.zeros(array.shape) for name, array in weights.items()}
        before = moments or Moments(zeros, zeros)
        self.weights = self.tensors(weights)
        self.moments = Moments(self.tensors(before.exp_avg), self.tensors(before.exp_avg_sq))
        self._update = compiled or compiled_update(backend, optimizer)

    def update(self, gradients: Mapping[str, Array], learning_rate: float, step: int) -> float:
        """One update; ``step`` counts from 1. Returns the norm before clipping."""
        return self.update_tensors(self.tensors(gradients), learning_rate, step)

    def update_tensors(self, gradients: dict[str, Any], learning_rate: float, step: int) -> float:
        """The same, with gradients of the framework's own tensors."""
        numbers = (learning_rate, 1.0 - self.optimizer.beta1**step, 1.0 - self.optimizer.beta2**step)
        rates = Rates(*(self.backend.tensor(np.asarray(number)) for number in numbers))
        returned = self._update(self.weights, self.moments, gradients, rates)
        parts = parts_of(returned, ("weights", "moments", "the norm"), "the optimizer", _OPTIMIZER)
        names, (weights, moments, norm) = set(gradients), parts
        self.weights = named(weights, names, "the new weights", _OPTIMIZER)
        self.moments = moments_of(moments, names, _OPTIMIZER)
        return scalar_out(self.backend, norm, "the norm before clipping", _OPTIMIZER)

    def observed(self) -> dict[str, Array]:
        """Weights and moments, copied out, by names such as ``exp_avg.output.bias``."""
        groups = {"": self.weights, "exp_avg.": self.moments.exp_avg, "exp_avg_sq.": self.moments.exp_avg_sq}
        return {
            prefix + name: array
            for prefix, tensors in groups.items()
            for name, array in self.arrays(tensors, prefix).items()
        }

    def arrays(self, tensors: Mapping[str, Any], what: str = "") -> dict[str, Array]:
        """Tensors by name, copied out; ``what`` stands before a name in a finding."""
        return {
            name: copied_out(self.backend, tensor, what + name, _OPTIMIZER)
            for name, tensor in tensors.items()
        }

    def tensors(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Arrays by name, copied in."""
        return {name: self.backend.tensor(array) for name, array in arrays.items()}
