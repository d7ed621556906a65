"""Makes the calls of a drawn case, and compares each with the oracle."""

from __future__ import annotations

from math import sqrt
from typing import Any

from charkit.backend import Backend, Moments, State
from charkit.randomness import dropout_masks
from charkit.testing.backend_parts import Parts, Updater
from charkit.testing.cases import SEED, Case, gradients_of, spread, symbols_of, weights_of, zeros_of
from charkit.testing.checked_calls import check_gradients, check_nats, check_prediction
from charkit.testing.drawn.cases import DrawnCall, DrawnCase
from charkit.testing.oracle import Arrays, Oracle
from charkit.testing.tolerances import require_close

_LOOK_AT = "what depends on these sizes and settings, or on the preceding calls"
#: The first stream of each call's arrays; the weights have streams of their own.
_STREAM, _STREAMS_OF_A_CALL = 1000, 100


def make_calls(backend: Backend[Any], drawn: DrawnCase) -> None:
    """Makes every call on one network. Raises Mismatch where the oracle disagrees."""
    weights = _weights(drawn)
    parts, updates = Parts(backend, drawn.model, weights), _Updates(backend, drawn, weights)
    for index, call in enumerate(drawn.calls):
        stream = _STREAM + _STREAMS_OF_A_CALL * index
        if call.kind == "update":
            updates.check(stream)
            continue
        check = {"gradients": check_gradients, "nats": check_nats, "prediction": check_prediction}[call.kind]
        check(parts, drawn.precision, _case(drawn, call, weights, stream), _LOOK_AT)


def _weights(drawn: DrawnCase) -> Arrays:
    """Weights as large as an initialization has them: larger ones would amplify rounding from step to step."""
    scale = 1.0 / sqrt(drawn.model.lstm_size)
    return {name: scale * array for name, array in weights_of(drawn.model).items()}


def _case(drawn: DrawnCase, call: DrawnCall, weights: Arrays, stream: int) -> Case:
    model = drawn.model
    text = symbols_of(stream, (call.batch_size, call.num_steps + 1), model.vocabulary_size)
    shape = (model.num_layers, call.batch_size, model.lstm_size)
    masks_shape = (model.num_layers, call.batch_size, call.num_steps, model.lstm_size)
    return Case(
        model=model,
        weights=weights,
        symbols=text[:, :-1].copy(),
        targets=text[:, 1:].copy(),
        state=State(spread(stream + 1, shape), spread(stream + 2, shape)),
        masks=dropout_masks(SEED, stream, masks_shape, model.dropout) if call.masked else None,
    )


class _Updates:
    """The updates of a case, one after another, on the backend's optimizer and on the oracle's."""

    def __init__(self, backend: Backend[Any], drawn: DrawnCase, weights: Arrays) -> None:
        self._backend, self._drawn = backend, drawn
        self._weights = weights
        zeros = zeros_of(drawn.model)
        self._moments = Moments(zeros, zeros)
        self._updater: Updater | None = None
        self._step = 0

    def check(self, stream: int) -> None:
        """Makes the next update. Raises Mismatch unless weights, moments and norm are the oracle's."""
        drawn = self._drawn
        if self._updater is None:
            self._updater = Updater(self._backend, drawn.optimizer, self._weights)
        self._step += 1
        gradients, rate = gradients_of(drawn.model, stream, 1.0), drawn.optimizer.learning_rate
        norm = self._updater.update(gradients, rate, self._step)
        oracle = Oracle(drawn.model, drawn.optimizer)
        self._weights, self._moments, expected_norm = oracle.update(
            self._weights, self._moments, gradients, rate, self._step
        )
        moments = {
            f"{kind}.{name}": array
            for kind, arrays in self._moments._asdict().items()
            for name, array in arrays.items()
        }
        require_close(
            {**self._updater.observed(), "the norm before clipping": norm},
            {**self._weights, **moments, "the norm before clipping": expected_norm},
            precision=drawn.precision,
            kind="update",
            look_at=f"optimizer.py: {_LOOK_AT}",
        )
