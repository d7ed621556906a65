"""The judge is judged: its gradients against finite differences, its formulas against hand-made numbers."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import exp, log, sqrt, tanh
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from charkit.backend import Moments
from charkit.config import ModelConfig, OptimizerConfig
from charkit.testing import blas_threads
from charkit.testing.blas_threads import one_blas_thread
from charkit.testing.cases import Case, make_case
from charkit.testing.oracle import Arrays, Oracle, Unrolled, zero_state
from charkit.testing.oracle_run import OracleRun

STEP = 1e-5


@pytest.mark.parametrize("with_state", [False, True], ids=["zero state", "state"])
@pytest.mark.parametrize("masked", [False, True], ids=["no masks", "masks"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_gradients_are_the_slopes_of_the_mean_loss(num_layers: int, masked: bool, with_state: bool) -> None:
    case = make_case(
        num_layers=num_layers, masked=masked, with_state=with_state, batch_size=2, num_steps=4, lstm_size=3
    )
    oracle = Oracle(case.model)
    gradients = oracle.gradients(case.weights, *case.batch)

    def loss(weights: Arrays) -> float:
        return float(np.mean(oracle.nats(weights, *case.batch)[0]))

    assert set(gradients) == set(case.weights)
    for name, array in case.weights.items():
        slopes = np.empty(array.shape)
        for index in np.ndindex(*array.shape):
            up, down = array.copy(), array.copy()
            up[index] += STEP
            down[index] -= STEP
            slopes[index] = (loss(case.weights | {name: up}) - loss(case.weights | {name: down})) / (2 * STEP)
        np.testing.assert_allclose(gradients[name], slopes, rtol=0, atol=1e-9 + 1e-8 * np.abs(slopes).max())


def test_one_unit_by_hand() -> None:
    """One layer, one unit, one symbol: every number written out with math alone."""
    model = ModelConfig(vocabulary_size=2, lstm_size=1, num_layers=1)
    weights = {
        "lstm.0.weight_ih": np.array([[0.1, 9.0], [0.2, 9.0], [0.3, 9.0], [0.4, 9.0]]),
        "lstm.0.weight_hh": np.array([[0.5], [0.6], [0.7], [0.8]]),
        "lstm.0.bias": np.array([0.01, 0.02, 0.03, 0.04]),
        "output.weight": np.array([[1.5], [-2.0]]),
        "output.bias": np.array([0.25, -0.5]),
    }
    state = zero_state(model, 1)
    state.hidden[:], state.cell[:] = 0.3, -0.7
    nats, after = Oracle(model).nats(weights, np.array([[0]]), np.array([[1]]), state)

    i, f = _s(0.1 + 0.5 * 0.3 + 0.01), _s(0.2 + 0.6 * 0.3 + 0.02)
    g, o = tanh(0.3 + 0.7 * 0.3 + 0.03), _s(0.4 + 0.8 * 0.3 + 0.04)
    c = f * -0.7 + i * g
    h = o * tanh(c)
    first, second = 1.5 * h + 0.25, -2.0 * h - 0.5
    assert after.cell.item() == pytest.approx(c, abs=1e-15)
    assert after.hidden.item() == pytest.approx(h, abs=1e-15)
    assert nats.item() == pytest.approx(log(exp(first) + exp(second)) - second, abs=1e-15)


def test_a_batch_is_its_sequences_one_by_one() -> None:
    """A plain loop over sequences, symbols, layers and units gives the nats and the state of the batch."""
    case = make_case(masked=True)
    nats, after = Oracle(case.model).nats(case.weights, *case.batch)
    for n in range(len(case.symbols)):
        expected, hidden, cell = _one_sequence(case, n)
        np.testing.assert_allclose(nats[n], expected, rtol=1e-13)
        np.testing.assert_allclose(after.hidden[:, n], hidden, rtol=1e-13)
        np.testing.assert_allclose(after.cell[:, n], cell, rtol=1e-13)


def _one_sequence(case: Case, n: int) -> tuple[list[float], list[list[float]], list[list[float]]]:
    """Nats by time, hidden and cell by layer and unit, with numbers alone."""
    units, weights = range(case.model.lstm_size), case.weights
    hidden, cell = case.state.hidden[:, n].tolist(), case.state.cell[:, n].tolist()
    nats = []
    assert case.masks is not None
    for t, (symbol, target) in enumerate(zip(case.symbols[n], case.targets[n], strict=True)):
        x = [float(column == symbol) for column in range(case.model.vocabulary_size)]
        for layer in range(case.model.num_layers):
            before, x_below = hidden[layer], x
            w_ih, w_hh, b = (weights[f"lstm.{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias"))
            z = [_dot(w_ih[row], x_below) + _dot(w_hh[row], before) + b[row] for row in range(len(b))]
            i, f, g, o = (z[gate * len(units) : (gate + 1) * len(units)] for gate in range(4))
            cell[layer] = [_s(f[u]) * cell[layer][u] + _s(i[u]) * tanh(g[u]) for u in units]
            hidden[layer] = [_s(o[u]) * tanh(cell[layer][u]) for u in units]
            kept = case.masks[layer, n, t]
            x = [hidden[layer][u] / (1 - case.model.dropout) if kept[u] else 0.0 for u in units]
        logits = [
            _dot(row, x) + b for row, b in zip(weights["output.weight"], weights["output.bias"], strict=True)
        ]
        nats.append(log(sum(map(exp, logits))) - logits[target])
    return nats, hidden, cell


def _dot(row: Iterable[float], column: Iterable[float]) -> float:
    return sum(a * b for a, b in zip(row, column, strict=True))


def _s(z: float) -> float:
    return 1.0 / (1.0 + exp(-z))


def test_gradients_of_a_batch_are_the_mean_of_its_sequences() -> None:
    case = make_case(masked=True)
    oracle = Oracle(case.model)
    each = [oracle.gradients(case.weights, *case.sequences([n]).batch) for n in range(len(case.symbols))]
    for name, gradient in oracle.gradients(case.weights, *case.batch).items():
        np.testing.assert_allclose(gradient, np.mean([one[name] for one in each], axis=0), atol=1e-15)


def test_one_pass_gives_gradients_nats_and_state() -> None:
    case = make_case(masked=True)
    oracle = Oracle(case.model)
    gradients, nats, after = oracle.step(case.weights, *case.batch)
    expected_nats, expected_after = oracle.nats(case.weights, *case.batch)
    np.testing.assert_array_equal(nats, expected_nats)
    np.testing.assert_array_equal(after, expected_after)
    for name, gradient in oracle.gradients(case.weights, *case.batch).items():
        np.testing.assert_array_equal(gradients[name], gradient)


def test_masks_touch_outputs_and_never_the_carried_state() -> None:
    case = make_case(num_layers=1, masked=True)
    oracle = Oracle(case.model)
    masked = oracle.forward(case.weights, case.symbols, case.state, case.masks)
    plain = oracle.forward(case.weights, case.symbols, case.state)
    np.testing.assert_array_equal(masked.state.hidden, plain.state.hidden)
    np.testing.assert_array_equal(masked.state.cell, plain.state.cell)
    assert not np.allclose(masked.logits, plain.logits)


def test_adam_and_clipping_by_hand() -> None:
    """One gradient of two numbers, 3 and 4: the norm is 5, and a bound of 1 scales it to 0.6 and 0.8."""
    optimizer = OptimizerConfig(learning_rate=0.1, grad_clip=1.0)
    oracle = Oracle(ModelConfig(vocabulary_size=2), optimizer)
    zero = {"x": np.zeros(2)}
    weights, moments, norm = oracle.update(zero, Moments(zero, zero), {"x": np.array([3.0, 4.0])}, 0.1, 1)
    assert norm == 5.0
    np.testing.assert_allclose(moments.exp_avg["x"], [0.06, 0.08], rtol=1e-15)
    np.testing.assert_allclose(moments.exp_avg_sq["x"], [0.36e-3, 0.64e-3], rtol=1e-12)
    np.testing.assert_allclose(weights["x"], [-0.06 / (0.6 + 1e-8), -0.08 / (0.8 + 1e-8)], rtol=1e-12)
    weights, moments, norm = oracle.update(weights, moments, {"x": np.array([0.0, 0.1])}, 0.2, 2)
    m, v = 0.9 * 0.06, 0.999 * 0.36e-3
    change = 0.2 * (m / (1 - 0.9**2)) / (sqrt(v / (1 - 0.999**2)) + 1e-8)
    assert weights["x"][0] == pytest.approx(-0.06 / (0.6 + 1e-8) - change, rel=1e-12)


def test_a_run_carries_its_state() -> None:
    case = make_case(with_state=False)
    run = OracleRun(Oracle(case.model), case.weights, len(case.symbols))
    loss, norm = run.train_step(case.symbols, case.targets)
    expected, after = Oracle(case.model).nats(case.weights, case.symbols, case.targets, case.state)
    assert loss == pytest.approx(float(expected.mean()), rel=1e-15)
    assert norm > 0
    np.testing.assert_array_equal(run.state.hidden, after.hidden)


def test_choice_is_the_first_index_above_the_draw() -> None:
    oracle = Oracle(ModelConfig(vocabulary_size=3))
    logits = np.log(np.array([0.5, 0.25, 0.25]))
    assert [oracle.choose(logits, 1.0, draw)[0] for draw in (0.0, 0.49, 0.51, 0.76, 0.99)] == [0, 0, 1, 2, 2]
    assert oracle.choose(np.array([1.0, 3.0, 3.0]), 0.0, 0.9) == (1, 0.0)
    with pytest.raises(ValueError, match="draw"):
        oracle.choose(logits, 1.0, 1.0)


def test_the_oracle_uses_one_thread_and_leaves_blas_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    blas_threads._libraries.cache_clear()  # others may have been loaded since the first use
    case, seen = make_case(), []
    oracle = Oracle(case.model)
    unrolled = Oracle.unrolled

    def looked_at(self: Oracle, *arguments: Any) -> Unrolled:
        seen.append(threads())
        return unrolled(self, *arguments)

    monkeypatch.setattr(Oracle, "unrolled", looked_at)
    with threadpool_limits(2, "blas"):
        before = threads()
        oracle.step(case.weights, *case.batch)
        with one_blas_thread():
            oracle.forward(case.weights, case.symbols, case.state)
            within = threads()
        with ThreadPoolExecutor(1) as pool, suppress(ZeroDivisionError), one_blas_thread():
            pool.submit(oracle.nats, case.weights, *case.batch).result()
            raise ZeroDivisionError
        assert threads() == before
    assert len(seen) == 3
    assert {number for numbers in [*seen, within] for number in numbers} == {1}
