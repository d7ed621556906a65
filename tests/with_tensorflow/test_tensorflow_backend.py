"""What is TensorFlow's own: graphs, its threads, its noise, its errors, and the gradient written out by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from charkit import CharRNN
from charkit.backend import State
from charkit.plugins import create
from charkit.testing.cases import Case, make_case

pytest.importorskip("charkit_tensorflow")
pytestmark = pytest.mark.tensorflow


def child(program: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """Runs Python in a process of its own; what it said on standard output and standard error."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**outside, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


# ---- graphs --------------------------------------------------------------------------------------------


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the symbols each time that the LSTM's Python runs, which is when a graph is traced."""
    from charkit_tensorflow.lstm import TensorFlowLstm

    seen: list[tuple[int, ...]] = []
    run = TensorFlowLstm.__call__

    def counted(self: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
        seen.append(tuple(symbols.shape))
        return run(self, weights, symbols, *rest)

    monkeypatch.setattr(TensorFlowLstm, "__call__", counted)
    return seen


def network(**options: Any) -> CharRNN:
    return CharRNN(11, 8, 6, 5, 2, backend="tensorflow", **options)


def symbols(batch: int, time: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 11, (batch, time), dtype=np.int32)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_fifty_steps_at_changing_rates_are_traced_once(traces: list[Any], dropout: float) -> None:
    model = network(dropout=dropout)
    for step in range(50):
        model.train_step(symbols(8, 6, step), symbols(8, 6, step + 1), learning_rate=0.01 / (step + 1))
    assert traces == [(8, 6)]


def test_each_shape_is_traced_once_and_says_nothing(
    traces: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """tf.function warns of many shapes as of a mistake; here they are an evaluation's and a prime text's."""
    model = network()
    shapes = [(batch, time) for batch in (1, 2, 9) for time in (1, 4, 7)]
    for _ in range(2):
        for batch, time in shapes:
            model.nats(symbols(batch, time), symbols(batch, time), model.initial_state(batch))
    state = model.initial_state(1)
    for _ in range(20):
        _, state = model.predict(symbols(1, 1), state)
    assert traces == [*shapes, (1, 1)]
    assert not caplog.records


# ---- the gradient ----------------------------------------------------------------------------------------


def plain_lstm(case: Case, weights: Any, state: State[Any]) -> tuple[Any, Any]:
    """The LSTM as its formulas are written, step by step, for TensorFlow to differentiate: features, state."""
    from charkit_tensorflow.framework import tf

    model = case.model
    hidden, cell = tf.unstack(state.hidden), tf.unstack(state.cell)
    features = []
    for t in range(case.symbols.shape[1]):
        x = tf.one_hot(case.symbols[:, t], model.vocabulary_size, dtype=tf.float64)
        for layer in range(model.num_layers):
            w_ih, w_hh = weights[f"lstm.{layer}.weight_ih"], weights[f"lstm.{layer}.weight_hh"]
            z = x @ tf.transpose(w_ih) + hidden[layer] @ tf.transpose(w_hh) + weights[f"lstm.{layer}.bias"]
            i, f, g, o = tf.split(z, 4, axis=1)
            cell[layer] = tf.sigmoid(f) * cell[layer] + tf.sigmoid(i) * tf.tanh(g)
            hidden[layer] = tf.sigmoid(o) * tf.tanh(cell[layer])
            x = hidden[layer]
            if case.masks is not None:
                x = x * case.masks[layer, :, t] / (1.0 - model.dropout)
        features.append(x)
    return tf.stack(features), State(tf.stack(hidden), tf.stack(cell))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("batch_size", "num_steps"), [(1, 10), (3, 5), (9, 7), (8, 12), (2, 1)], ids=str)
def test_the_written_gradient_is_the_automatic_one(batch_size: int, num_steps: int, masked: bool) -> None:
    """In float64, of weights and first state, from features and last state; with halves and blocks, and without."""
    from charkit_tensorflow.framework import tf

    case = make_case(num_layers=3, batch_size=batch_size, num_steps=num_steps, lstm_size=6, masked=masked)
    backend = create("tensorflow", precision="float64")
    lstm = backend.build_lstm(case.model)
    weights = {name: backend.tensor(array) for name, array in case.weights.items() if "lstm" in name}
    start = State(backend.tensor(case.state.hidden), backend.tensor(case.state.cell))
    masks = None if case.masks is None else backend.tensor(case.masks)
    draws = np.random.default_rng(0)
    into = draws.normal(size=(num_steps, batch_size, 6)), *draws.normal(size=(2, 3, batch_size, 6))

    def ours(weights: Any, start: Any) -> Any:
        features, after = lstm(weights, backend.tensor(case.symbols), start, masks)
        return tf.concat(features, axis=1), after

    def gradients(run: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch((weights, start))
            features, after = run(weights, start)
            loss = sum(tf.reduce_sum(one * by) for one, by in zip((features, *after), into, strict=True))
        return [loss, *tf.nest.flatten(tape.gradient(loss, (weights, start)))]

    came = backend.compile(lambda: gradients(ours))()
    wanted = gradients(lambda weights, start: plain_lstm(case, weights, start))
    assert len(came) == 1 + 9 + 2
    for one, other in zip(came, wanted, strict=True):
        assert one.dtype == tf.float64
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-10, atol=1e-12)


# ---- memory ----------------------------------------------------------------------------------------------


def test_running_out_of_memory_raises_memory_error() -> None:
    from charkit_tensorflow.framework import tf

    backend = create("tensorflow")
    fill = backend.compile(tf.zeros)
    assert fill(backend.tensor(np.array([2, 3], np.int32))).shape == (2, 3)
    with pytest.raises(MemoryError, match=r"^OOM when allocating tensor with shape\[\S+\] and type float$"):
        fill(backend.tensor(np.array([1 << 15, 1 << 15, 1 << 12], np.int32)))


def test_an_array_for_which_there_is_no_memory_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit_tensorflow.framework import tf

    def exhausted(*_: Any, **__: Any) -> Any:
        raise tf.errors.ResourceExhaustedError(
            None, None, "OOM when allocating tensor with shape[2] and type float"
        )

    backend = create("tensorflow")
    made = backend.tensor(np.zeros(2, np.float32))
    monkeypatch.setattr(tf, "constant", exhausted)
    with pytest.raises(MemoryError, match="OOM when allocating"):
        backend.tensor(np.zeros(2, np.float32))
    monkeypatch.setattr(type(made), "numpy", exhausted)
    with pytest.raises(MemoryError, match="OOM when allocating"):
        backend.numpy(made)


# ---- threads ---------------------------------------------------------------------------------------------

_BUSY = """
import sys, time
import numpy as np
from charkit import CharRNN
from charkit.plugins import create
model = CharRNN(20, 32, 20, 128, backend="tensorflow", threads=int(sys.argv[1]))
batch = np.zeros((32, 20), np.int32)
model.train_step(batch, batch).loss
wall, processor = time.perf_counter(), time.process_time()
while time.perf_counter() - wall < 1.0:
    model.train_step(batch, batch).loss
share = (time.process_time() - processor) / (time.perf_counter() - wall)
later = create("tensorflow", threads=2)
import json
print(json.dumps([model.backend.threads, model.backend.notices(), later.threads, later.notices(), share]))
"""


def test_one_thread_is_one_and_what_was_settled_stays() -> None:
    out, _ = child(_BUSY, "1")
    threads, notices, later, later_notices, share = json.loads(out)
    assert (threads, notices) == (1, [])
    assert share < 1.25  # processors kept busy: one, and a little of the threads that wait for it
    assert later == 1
    assert later_notices[0].startswith("TensorFlow runs on 1 thread, not 2: ")


def test_three_threads_are_two() -> None:
    out, _ = child(_BUSY, "3")
    threads, notices, later, later_notices, _ = json.loads(out)
    assert threads == later == 2
    assert notices[0].startswith("TensorFlow runs on 2 threads, not 3: ")
    assert later_notices == []


# ---- noise -----------------------------------------------------------------------------------------------

_LOAD = """
import os, sys
level = "TF_CPP_MIN_LOG_LEVEL"  # TensorFlow itself sets other variables, which nothing of charkit's does
before = os.environ.get(level)
from charkit.plugins import create
backend = create("tensorflow")
print("keras" in sys.modules, os.environ.get(level) == before)
import numpy as np
backend.compile(lambda x: x + 1)(backend.tensor(np.zeros(3)))
import tensorflow as tf
print(tf.keras.layers.Dense(2)(tf.zeros((1, 3))).shape)
"""


def test_loading_says_nothing_changes_nothing_and_leaves_keras_to_who_wants_it() -> None:
    out, said = child(_LOAD)
    # On a busy machine charkit itself says that loading takes long.
    assert [line for line in said.splitlines() if "is still loading" not in line] == []
    assert out.splitlines() == ["False True", "(1, 2)"]


def test_who_asks_for_the_log_gets_it() -> None:
    _, said = child('from charkit.plugins import create; create("tensorflow")', TF_CPP_MIN_LOG_LEVEL="0")
    assert "oneDNN" in said


def test_what_is_no_log_line_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    from charkit_tensorflow.framework import quiet

    with quiet():
        os.write(2, b"I0000 00:00:1795621307.063812   14743 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"2024-05-01 10:00:00.123456: I tensorflow/core/util/port.cc:113] oneDNN\n")
        sys.stderr.write("a warning of somebody else\n")
    sys.stderr.write("after\n")
    assert capfd.readouterr().err == "a warning of somebody else\nafter\n"


def test_a_full_standard_error_stops_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    from charkit_tensorflow.framework import quiet

    kept, full = os.dup(2), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 2)
    try:
        with quiet():
            os.write(2, b"a warning that nobody gets\n")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(full)


# ---- what the user is told -------------------------------------------------------------------------------


def test_on_a_gpu_the_missing_condition_of_cudnn_is_told() -> None:
    from charkit_tensorflow.backend import TensorFlowBackend

    (notice,) = TensorFlowBackend(precision="bfloat16", device="cuda:0", threads=None).notices()
    assert notice.startswith("cuDNN's LSTM is not used: ")


def test_versions_say_what_decides_the_numbers() -> None:
    from charkit_tensorflow.framework import tf

    versions = create("tensorflow").versions()
    assert versions["tensorflow"] == tf.__version__
    assert versions["onednn"] in {"on", "off"}
    assert int(versions["threads_in_an_operation"]) >= 1


def test_the_peak_of_a_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit_tensorflow.backend import TensorFlowBackend
    from charkit_tensorflow.framework import tf

    assert create("tensorflow").device_memory_bytes() is None
    used = {"GPU:1": {"current": 3, "peak": 5}}
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", used.__getitem__)
    assert TensorFlowBackend(precision="float32", device="cuda:1", threads=None).device_memory_bytes() == 5
