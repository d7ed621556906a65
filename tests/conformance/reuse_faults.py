"""Planted faults of what is kept between calls, for speed, and used for the wrong ones; and of sizes beyond a limit."""

# Over 300 lines: a table, one small class for each planted fault.

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import State
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.lstm import NumpyLstm, _prepare_layer
from charkit_numpy.optimizer import NumpyOptimizer
from charkit_numpy.tape import Workspace, _active, active_tape
from conformance import faults, optimizer_faults

_LARGE_VOCABULARY, _MANY_ROWS = 512, 1 << 16


def _optimizer(faulty: type[NumpyOptimizer]) -> type[NumpyBackend]:
    """A backend with a faulty subclass of the NumPy optimizer."""

    class Faulty(NumpyBackend):
        def build_optimizer(self, optimizer: Any) -> Any:
            return faulty(optimizer)

    return Faulty


class PreparedByPlace(NumpyLstm):
    """Knows prepared weights again by where in memory their dictionary is."""

    _place: int | None = None
    _layers: Any = None

    def _prepare(self, weights: Any) -> Any:
        if self._place != id(weights):
            self._place = id(weights)
            self._layers = [_prepare_layer(weights, index) for index in range(self._model.num_layers)]
        return self._layers


class StatesOfOneStreamInPlace(NumpyLstm):
    """Returns the state of a single stream in one of three pairs of arrays."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._pairs: list[Any] = [None] * 3

    def __call__(self, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
        features, after = super().__call__(weights, symbols, state, masks)
        if active_tape() is not None or len(symbols) > 1:
            return features, after
        pair = self._pairs.pop(0) or State(after.hidden.copy(), after.cell.copy())
        pair.hidden[...], pair.cell[...] = after
        self._pairs.append(pair)
        return features, pair


class NatsOfOneStreamInPlace(NumpyBackend):
    """Returns the nats of a single stream in the same array at each step."""

    def differentiate(self, forward: Any) -> Any:
        inner, kept = super().differentiate(forward), {}

        def backward(*arguments: Any) -> Any:
            gradients, nats, after = inner(*arguments)
            if len(nats) == 1:
                array = kept.setdefault(nats.shape, nats)
                array[...] = nats
                nats = array
            return gradients, nats, after

        return backward


class _Corners(Workspace):
    """Hands out a corner of a larger array."""

    def array(self, name: str, shape: Any, dtype: Any) -> Any:
        found = self._arrays.get(name)
        serves = found is not None and found.dtype == dtype and found.ndim == len(shape)
        if not serves or any(have < want for have, want in zip(found.shape, shape, strict=True)):
            found = self._arrays[name] = np.empty(shape, dtype)
        return found[tuple(slice(size) for size in shape)]


class CornersOfLarger(NumpyLstm):
    """Outside of training, computes a smaller batch in the arrays of a larger one."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._space = _Corners()

    def __call__(self, *arguments: Any) -> Any:
        before, _active.inference = _active.inference, self._space
        try:
            return super().__call__(*arguments)
        finally:
            _active.inference = before


class MomentsOfItsOwn(NumpyOptimizer):
    """Keeps using its own moments for as long as it is given the weight arrays that it returned."""

    _kept: Any = None

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        if self._kept is not None and all(self._kept[0][name] is weights[name] for name in weights):
            moments = self._kept[1]
        after, moments, norm = super().__call__(weights, moments, gradients, rates)
        self._kept = after, moments
        return after, moments, norm


class SquaresOfFloat32(optimizer_faults.Adam):
    """Rounds squares to zero that are too small for float32."""

    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return super().change(mean, np.where(square < np.finfo(np.float32).tiny, 0.0, square), rates)


class SkipsAbsentSymbols(NumpyOptimizer):
    """Leaves weights of large vocabularies where they are if their gradient is zero."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        before, absent = weights["lstm.0.weight_ih"].copy(), gradients["lstm.0.weight_ih"] == 0
        after, moments, norm = super().__call__(weights, moments, gradients, rates)
        if before.shape[1] > _LARGE_VOCABULARY:
            after["lstm.0.weight_ih"][absent] = before[absent]
        return after, moments, norm


class KeepsGradientsOfAbsentSymbols(NumpyLstm):
    """Clears the gradients of a large vocabulary once."""

    _kept: Any = None

    def _weight_gradients(self, tape: Any, index: int, *rest: Any) -> None:
        super()._weight_gradients(tape, index, *rest)
        if index == 0 and self._model.vocabulary_size > _LARGE_VOCABULARY:
            gradient = tape.gradients["lstm.0.weight_ih"]
            if self._kept is not None:
                absent = ~gradient.any(axis=0)
                gradient[:, absent] = self._kept[:, absent]
            self._kept = gradient.copy()


class SharesMappedArrays(NumpyBackend):
    """Copies an array in only where asarray gave back the very same object."""

    def tensor(self, array: Any) -> Any:
        dtype = self._dtype if array.dtype.kind == "f" else array.dtype
        found = np.asarray(array, dtype=dtype, order="C")
        return found.copy() if found is array else found


class SharesReadOnlyArrays(NumpyBackend):
    """Copies only arrays that can be written to."""

    def tensor(self, array: Any) -> Any:
        dtype = self._dtype if array.dtype.kind == "f" else array.dtype
        is_copied = array.flags.writeable or not array.ndim
        return super().tensor(array) if is_copied else np.asarray(array, dtype=dtype, order="C")


class CopiesLater(NumpyBackend):
    """Reads large arrays at unusual addresses only when a tensor is read."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._unread: list[tuple[Any, Any]] = []

    def tensor(self, array: Any) -> Any:
        if array.size < 1 << 20 or array.ctypes.data % 64 == 0:
            return super().tensor(array)
        self._unread.append((np.empty(array.shape, self._dtype), array))
        return self._unread[-1][0]

    def numpy(self, tensor: Any) -> Any:
        while self._unread:
            copy, array = self._unread.pop()
            copy[...] = array
        return super().numpy(tensor)


class LeavesByTheirBias(NumpyBackend):
    """Knows the weights on the way back again by one of their arrays."""

    def differentiate(self, forward: Any) -> Any:
        inner, kept = super().differentiate(forward), {}

        def backward(weights: Any, *rest: Any) -> Any:
            if kept.get("bias") is not weights["output.bias"]:
                kept.update(bias=weights["output.bias"], leaves=dict(weights))
            return inner(kept["leaves"], *rest)

        return backward


class ClipsInPlace(optimizer_faults.Adam):
    """Writes the clipped gradient to where the gradient lies."""

    def clip(self, gradient: Any, norm: float) -> Any:
        gradient[...] = super().clip(gradient, norm)
        return gradient


class SharesInFloat32(optimizer_faults.Adam):
    """Takes 1 - beta from a beta that was rounded to float32."""

    def share(self, beta: float) -> float:
        return 1 - float(np.float32(beta))


def _clipped_cells(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Bounds the cells that are carried on."""
    features, after = inner(weights, symbols, state, masks)
    return features, State(after.hidden, np.clip(after.cell, -50.0, 50.0))


def _steps_at_once(inner: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Works on as many time steps at once as fit into a buffer, which may be none."""
    steps = _MANY_ROWS // state.hidden[0].size
    features = [inner(weights, symbols, state, masks) for _ in range(0, 1, steps)]
    return features[0]


def _layers_by_name(inner: Any, model: Any, weights: Any, *rest: Any) -> Any:
    """Takes the layers in the order of their names, as text: 10 comes before 2."""
    by_name = sorted(range(model.num_layers), key=str)
    if by_name == list(range(model.num_layers)):
        return inner(weights, *rest)
    parts = ("weight_ih", "weight_hh", "bias")
    renamed = {
        f"lstm.{index}.{part}": weights[f"lstm.{named}.{part}"]
        for index, named in enumerate(by_name)
        for part in parts
    }
    return inner({**weights, **renamed}, *rest)


def _rows_as_uint16(inner: Any, logits: Any, targets: Any) -> Any:
    """Beyond 32,768 symbols of half a batch, gives the nats of the first ones."""
    nats = inner(logits, targets)
    rows, many = nats.T.ravel(), _MANY_ROWS // 2
    if rows.size > many:
        rows[many:] = rows[: rows.size - many]
    return rows.reshape(nats.T.shape).T


#: What is wrong, the backend, the checks that find it, and what the finding says.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    (
        "cached weights recognized by address",
        faults.lstm_class(PreparedByPlace),
        ("loaded_arrays_are_used",),
        "prepared",
    ),
    (
        "states of one stream in reused buffers",
        faults.lstm_class(StatesOfOneStreamInPlace),
        ("results_of_one_stream_can_be_read_later",),
        "view",
    ),
    (
        "nats of one stream in a reused buffer",
        NatsOfOneStreamInPlace,
        ("results_of_one_stream_can_be_read_later",),
        "view",
    ),
    (
        "a smaller batch in stale arrays of a larger one",
        faults.lstm_class(CornersOfLarger),
        ("other_batch_shapes_do_not_interfere",),
        "those of the current call",
    ),
    (
        "moments stored in the optimizer",
        _optimizer(MomentsOfItsOwn),
        ("loaded_arrays_are_used",),
        "moments that are cached",
    ),
    (
        "squares rounded to float32",
        faults.optimizer(SquaresOfFloat32),
        ("tiny_second_moments_are_kept",),
        "stored in float32",
    ),
    (
        "absent symbols not updated",
        _optimizer(SkipsAbsentSymbols),
        ("update_at_a_realistic_size",),
        "optimizer.py",
    ),
    (
        "stale gradients of absent symbols",
        faults.lstm_class(KeepsGradientsOfAbsentSymbols),
        ("gradients_of_a_large_vocabulary",),
        "weight_ih by symbol",
    ),
    (
        "cached weights recognized by a bias in the backward pass",
        LeavesByTheirBias,
        ("gradients_use_the_given_weights",),
        "prepared from weights",
    ),
    (
        "gradients clipped in place",
        faults.optimizer(ClipsInPlace),
        ("gradients_are_not_changed",),
        "read-only",
    ),
    (
        "1 - beta2 in float32",
        faults.optimizer(SharesInFloat32),
        ("beta2_comes_from_the_configuration",),
        "constants of the optimizer rounded to float32",
    ),
    (
        "carried cells clipped at 50",
        faults.lstm(_clipped_cells),
        ("saturated_gates_and_large_cells",),
        "large",
    ),
    (
        "blocks of zero time steps",
        faults.lstm(lambda inner, model, *arguments: _steps_at_once(inner, *arguments)),
        ("gradients_of_wide_layers",),
        "",
    ),
    ("memory-mapped arrays without a copy", SharesMappedArrays, ("arrays_in_are_copies",), "tensor()"),
    ("read-only arrays without a copy", SharesReadOnlyArrays, ("arrays_in_are_copies",), "tensor()"),
    ("large arrays that are read after the call", CopiesLater, ("arrays_in_are_copies",), "tensor()"),
    ("layers sorted by name", faults.lstm(_layers_by_name), ("eleven_layers",), "by number"),
    (
        "wrong nats beyond 65,536 symbols",
        faults.loss(_rows_as_uint16),
        ("many_sequences_are_scored",),
        "loss.py",
    ),
)
