"""What is JAX's own: 64-bit types, traces, donated memory, threads, the gradient by hand, and its notices."""

# Over 300 lines: each test is short, and all are about what only JAX does.

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charkit import CharRNN, plugins
from charkit.backend import State
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import Case, make_case

pytestmark = pytest.mark.jax

VOCABULARY, BATCH, STEPS = 9, 4, 6


def network(**options: Any) -> CharRNN:
    settings = {"lstm_size": 5, "backend": "jax", "learning_rate": 0.01, **options}
    return CharRNN(VOCABULARY, BATCH, STEPS, **settings)


def batch(step: int = 0) -> tuple[Any, Any]:
    text = np.random.default_rng(step).integers(0, VOCABULARY, (BATCH, STEPS + 1)).astype(np.int32)
    return text[:, :-1].copy(), text[:, 1:].copy()


def trained(precision: str) -> dict[str, Any]:
    model = network(precision=precision)
    for step in range(3):
        model.train_step(*batch(step))
    return model.weights()


# ---- 64-bit types --------------------------------------------------------------------------------------


def default_type() -> str:
    """The floating type that user code gets from JAX in this thread."""
    import jax.numpy as jnp

    return str(jnp.ones(2).dtype)


def test_user_code_keeps_its_float32_beside_a_float64_network() -> None:
    model = network(precision="float64")
    assert default_type() == "float32"
    result = model.train_step(*batch())
    assert default_type() == "float32"
    assert result.loss > 0
    assert {array.dtype for array in model.weights().values()} == {np.dtype(np.float64)}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(default_type).result() == "float32"


@pytest.fixture
def user_wants_64_bits() -> Iterator[None]:
    """A user who has switched JAX to 64-bit types for the whole process."""
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=[("jax_numpy_rank_promotion", "raise"), ("jax_numpy_dtype_promotion", "strict")])
def users_promotion(request: pytest.FixtureRequest) -> Iterator[None]:
    """A user for whom arrays of other ranks or types are errors."""
    import jax

    name, value = request.param
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    yield
    jax.config.update(name, before)


@pytest.mark.usefixtures("users_promotion")
def test_a_users_rules_of_promotion_are_the_users_own() -> None:
    model = network(num_layers=2, dropout=0.5, lstm_size=7)  # sizes that no other test has compiled
    assert model.train_step(*batch()).loss > 0
    assert model.nats(*batch(), model.initial_state(BATCH))[0].shape == (BATCH, STEPS)
    assert model.sample(4, seed=1).size == 4


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_users_64_bits_change_no_bit_of_a_network(precision: str, request: pytest.FixtureRequest) -> None:
    alone = trained(precision)
    request.getfixturevalue("user_wants_64_bits")
    assert default_type() == "float64"
    with ThreadPoolExecutor(1) as pool:
        results = [trained(precision), pool.submit(trained, precision).result()]
    assert default_type() == "float64"
    for weights in results:
        for name, array in alone.items():
            assert weights[name].dtype == np.dtype(precision)
            assert np.array_equal(weights[name], array), name


# ---- traces --------------------------------------------------------------------------------------------


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the loss was called so far, which is once a trace."""
    from charkit_jax.loss import JaxLoss

    calls: list[None] = []
    original = JaxLoss.__call__

    def counted(self: JaxLoss, *arguments: Any) -> Any:
        calls.append(None)
        return original(self, *arguments)

    monkeypatch.setattr(JaxLoss, "__call__", counted)
    return lambda: len(calls)


def test_fifty_steps_trace_once_per_shape(traces: Callable[[], int]) -> None:
    model = network(lstm_size=6)  # a size of its own: equal networks share what is compiled
    for step in range(50):
        model.train_step(*batch(step), learning_rate=0.01 / (1 + step))
    assert traces() == 1


def test_masks_on_and_off_are_two_traces(traces: Callable[[], int]) -> None:
    model = network(lstm_size=7, dropout=0.3)
    masks = model.masks(1, (BATCH, STEPS))
    assert masks is not None
    for step in range(6):
        model.train_step(*batch(step))
        model.gradients(*batch(step))
        model.gradients(*batch(step), masks=masks)
    assert traces() == 1 + 2


def test_equal_networks_share_a_trace_and_others_do_not(traces: Callable[[], int]) -> None:
    loose, again, tight = (network(lstm_size=8, grad_clip=clip) for clip in (5.0, 5.0, 1e-3))
    norms = [model.train_step(*batch()).gradient_norm for model in (loose, again, tight)]
    assert traces() == 2
    assert norms[0] == norms[1] == pytest.approx(norms[2])
    moved = [model.moments().exp_avg["output.bias"] for model in (loose, again, tight)]
    assert np.array_equal(moved[0], moved[1])
    assert np.abs(moved[2]).max() < 0.1 * np.abs(moved[0]).max()


# ---- memory --------------------------------------------------------------------------------------------


def aligned(array: np.ndarray[Any, Any]) -> Any:
    """A copy of the array on a 64-byte boundary, where JAX takes memory over as it is."""
    buffer = np.empty(array.nbytes + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    copy = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def test_a_step_donates_weights_and_moments_but_not_the_state() -> None:
    model = network()
    held, moments, state = model._weights, model._moments, model._state
    model.train_step(*batch())
    assert all(tensor.is_deleted() for tensor in held.values())
    assert all(tensor.is_deleted() for means in moments for tensor in means.values())
    assert not any(tensor.is_deleted() for tensor in state)


def test_a_callers_memory_is_neither_read_later_nor_written_to() -> None:
    expected = network(seed=3)
    given = {name: aligned(array) for name, array in expected.weights().items()}
    kept = {name: array.copy() for name, array in given.items()}
    model = network()
    model.load_weights(given)
    buffers = [aligned(array) for array in batch()]
    for step in range(20):
        for buffer, array in zip(buffers, batch(step), strict=True):
            buffer[...] = array
        tensors = [model.backend.tensor(buffer) for buffer in buffers]
        for buffer in buffers:
            buffer[...] = 0
        for tensor, array in zip(tensors, batch(step), strict=True):
            assert np.array_equal(model.backend.numpy(tensor), array)
        model.train_step(*batch(step))
        expected.train_step(*batch(step))
    for name, array in kept.items():
        assert np.array_equal(given[name], array), name
        assert np.array_equal(model.weights()[name], expected.weights()[name]), name


def test_running_out_of_memory_raises_memory_error() -> None:
    import jax.numpy as jnp

    backend = plugins.create("jax")

    def greedy(row: Any) -> Any:
        return jnp.cumsum(jnp.broadcast_to(row, (1 << 46, 1)), axis=0)

    with pytest.raises(MemoryError, match="Out of memory"):
        backend.numpy(backend.compile(greedy)(backend.tensor(np.ones(1))))


def test_no_round_of_a_loop_copies_a_whole_sequence() -> None:
    """The gradient works in place; where XLA can't see that it may, a step takes many times as long."""
    import jax

    for precision in ("float32", "bfloat16"):
        case = make_case(batch_size=8, num_steps=24, lstm_size=32)
        parts = Parts(plugins.create("jax", precision=precision), case.model, case.weights)
        backward = parts.backend.differentiate(parts.forward)
        program = jax.jit(backward).lower(*tensors(parts, case)).compile().as_text()
        rounds = re.findall(r"\n%\S*region\S* .*?\n}", program, re.DOTALL)
        assert any("dynamic-update-slice" in one for one in rounds), "the loops must be found"
        for one in rounds:
            assert not re.search(r"= f32\[24,8,\d+\]\S* copy\(", one), one


def test_gradients_of_a_single_time_step_are_not_rounded_to_bfloat16() -> None:
    case = replace(make_case(num_layers=2, num_steps=1), masks=None)
    parts = Parts(plugins.create("jax", precision="bfloat16"), case.model, case.weights)
    for name, gradient in parts.gradients(*case.batch)[0].items():
        bits = np.ascontiguousarray(gradient, np.float32).view(np.uint32)
        assert np.any(bits & 0xFFFF), name  # what bfloat16 doesn't have


def tensors(parts: Parts, case: Case) -> tuple[Any, ...]:
    """The case as arguments of forward and backward."""
    masks = None if case.masks is None else parts.backend.tensor(case.masks)
    inputs = (parts.backend.tensor(array) for array in (case.symbols, case.targets))
    return parts.weights, *inputs, parts.state(case.state), masks


# ---- the gradient by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("scatter", [True, False])
def test_the_gradient_by_hand_is_the_automatic_one(monkeypatch: pytest.MonkeyPatch, scatter: bool) -> None:
    import jax

    from charkit_jax import lstm, output

    case = make_case(num_layers=3, num_steps=7, masked=True)
    backend = plugins.create("jax", precision="float64")
    parts = Parts(backend, case.model, case.weights)
    parts._lstm = lstm.JaxLstm(case.model, np.dtype(np.float64), scatter=scatter)

    def gradients() -> dict[str, Any]:
        with jax.enable_x64(True):
            arrays, _, _ = jax.jit(backend.differentiate(parts.forward))(*tensors(parts, case))
        return parts.arrays(arrays)

    by_hand = gradients()
    for module, name in ((lstm, "_layer"), (lstm, "_rows"), (lstm, "product"), (output, "product")):
        monkeypatch.setattr(module, name, getattr(module, name).fun)  # the function without its gradient
    jax.clear_caches()
    automatic = gradients()
    for name, array in automatic.items():
        assert np.abs(by_hand[name] - array).max() <= 1e-14 * max(1.0, np.abs(array).max()), name
        assert np.abs(array).max() > 1e-4, name


# ---- threads, devices, notices -------------------------------------------------------------------------

COUNT = """
import json, sys
from pathlib import Path
import numpy as np
from charkit import plugins
if sys.argv[1] == "used before":
    import jax
    jax.devices()
asked = [None if word == "None" else int(word) for word in sys.argv[2:]]
made = [plugins.create("jax", threads=threads) for threads in asked]
pool = [path for path in Path("/proc/self/task").glob("*/comm") if "XLAEigen" in path.read_text()]
print(json.dumps({"pool": len(pool), "threads": [one.threads for one in made],
                  "notices": [list(one.notices()) for one in made]}))
"""


def count(before: str, *asked: int | None) -> dict[str, Any]:
    """Makes backends with these threads in a process of its own; what it really runs on, and what it says."""
    command = [sys.executable, "-c", COUNT, before, *map(str, asked)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""
    answer: dict[str, Any] = json.loads(child.stdout)
    return answer


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system doesn't list threads")
def test_threads_are_those_asked_for_and_another_number_later_is_told() -> None:
    answer = count("", 3, 1, None)
    assert (answer["pool"], answer["threads"]) == (3, [3, 3, 3])
    first, second, third = answer["notices"]
    assert first == third == []
    assert len(second) == 1
    assert "3 threads, not 1" in second[0]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system doesn't list threads")
def test_threads_of_a_jax_that_runs_already_are_told() -> None:
    answer = count("used before", 7)
    assert answer["threads"] == [answer["pool"]]
    assert answer["pool"] != 7
    assert "not 7" in answer["notices"][0][0]


def test_every_gpu_is_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit_jax import backend as module

    made = plugins.create("jax", precision="bfloat16")
    assert made.notices() == ()
    monkeypatch.setattr(module, "gpus", lambda: ["a gpu", "another"])
    assert type(made).devices() == ["cpu", "cuda:0", "cuda:1"]


def test_versions_name_what_decides_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax
    import jaxlib.version

    versions = plugins.create("jax").versions()
    assert versions["jax"] == jax.__version__
    assert versions["jaxlib"] == jaxlib.version.__version__


def test_state_that_went_in_comes_out_writeable_and_owned() -> None:
    model = network()
    model.train_step(*batch())
    state: State[Any] = model.state()
    for array in state:
        assert array.flags.owndata
        assert array.flags.writeable


def test_the_peak_of_a_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plugins.create("jax")
    assert made.device_memory_bytes() is None  # on a processor
    fake = SimpleNamespace(memory_stats=lambda: {"peak_bytes_in_use": 5, "bytes_in_use": 3})
    monkeypatch.setattr(made, "_device", fake)
    assert made.device_memory_bytes() == 5


@pytest.mark.parametrize(
    ("option", "value"),
    [("jax_transfer_guard", "disallow"), ("jax_default_matmul_precision", "BF16_BF16_BF16")],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_the_user_has_set_in_jax_changes_nothing(option: str, value: str, precision: str) -> None:
    import jax
    import jax.numpy as jnp

    expected, before = trained(precision), jax.config.values[option]
    jax.clear_caches()
    jax.config.update(option, value)
    try:
        found = trained(precision)
        with pytest.raises((RuntimeError, ValueError)):  # the user's own code is refused
            jax.jit(jnp.dot)(np.ones((2, 2), np.float16), np.ones((2, 2), np.float16)).block_until_ready()
    finally:
        jax.config.update(option, before)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
