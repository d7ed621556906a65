"""What the pool does with workers that are lost, late, unlike each other, or too old."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from charkit.backend import State
from charkit.charrnn import CharRNN
from charkit.distributed import local_engine
from charkit.distributed import pool as pool_module
from charkit.distributed.descriptions import Descriptions, describe
from charkit.distributed.engine import Values
from charkit.distributed.gradient_service import NAME
from charkit.distributed.gradients import BlockInput, BlockResult, block_gradients
from charkit.distributed.pool import WorkerPool
from charkit.errors import BackendError, EngineError
from distributed.fake_engine import FakeEngine

MODEL: dict[str, Any] = {"vocabulary_size": 5, "lstm_size": 3, "num_layers": 1}
SPEC: Values = {
    "backend": "numpy",
    "precision": "float64",
    "device": "cpu",
    "threads": 1,
    "model": MODEL,
    "rows": 2,
    "num_steps": 4,
}


def _model() -> CharRNN:
    model = CharRNN(**MODEL, batch_size=8, num_steps=4, precision="float64", threads=1)
    model.backend.divides_batches = False  # as on a worker
    return model


def _blocks(count: int = 4) -> list[BlockInput]:
    symbols = (np.arange(count * 2 * 5) * 7 % 5).astype(np.int32).reshape(count * 2, 5)
    zero = np.zeros((1, 2, 3))
    return [
        BlockInput(
            1, symbols[2 * i : 2 * i + 2, :-1], symbols[2 * i : 2 * i + 2, 1:], State(zero, zero), None
        )
        for i in range(count)
    ]


def _require_equal(found: Sequence[BlockResult]) -> None:
    model = _model()
    for result, block in zip(found, _blocks(len(found)), strict=True):
        wanted = block_gradients(model, block)
        assert all(
            np.array_equal(result.gradients[name], wanted.gradients[name]) for name in wanted.gradients
        )
        assert np.array_equal(result.nats, wanted.nats)


def _descriptions(mixed_machines: bool = False) -> Descriptions:
    return Descriptions(describe(_model().backend), mixed_machines=mixed_machines)


def _compute(engine: FakeEngine, workers: int = 2, mixed_machines: bool = False) -> list[str]:
    notices: list[str] = []
    descriptions = _descriptions(mixed_machines)
    with WorkerPool(engine, SPEC, workers, descriptions, on_notice=notices.append) as pool:
        for step in (1, 2):
            _require_equal(pool.compute(step, _model().weights(), _blocks()))
    assert engine.closed
    return notices


def test_every_block_is_computed_by_some_worker() -> None:
    engine = FakeEngine()
    assert _compute(engine) == []
    assert len(engine.workers) == 2


def test_lost_workers_are_replaced_and_their_blocks_computed_again() -> None:
    engine = FakeEngine(lambda worker, call: "lost" if worker in {0, 1} and call == 2 else "answered")
    notices = _compute(engine)
    assert len(engine.workers) == 4
    assert [worker.stopped for worker in engine.workers] == [True, True, False, False]
    assert notices == [
        "worker 1 was lost; another worker will redo its work",
        "worker 0 was lost; another worker will redo its work",
    ]


def test_a_late_block_is_given_to_an_idle_worker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_LATE_SECONDS", 0.0)
    engine = FakeEngine(lambda worker, call: "held back" if worker == 0 and call == 2 else "answered")
    assert _compute(engine) == []
    assert len(engine.workers) == 2
    assert engine.workers[1].calls > engine.workers[0].calls


def test_a_worker_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_STUCK_SECONDS", 0.1)

    engine = FakeEngine(lambda worker, call: "held back" if worker == 0 and call == 2 else "answered")
    assert _compute(engine, workers=1) == ["worker 0 was lost; another worker will redo its work"]
    assert len(engine.workers) == 2


def test_a_worker_that_answers_between_two_steps_is_kept_however_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its block went to a second worker; then the driver validated for minutes, or was suspended."""
    monkeypatch.setattr(pool_module, "_LATE_SECONDS", 0.0)

    class Remembering(FakeEngine):
        def submit(self, *arguments: Any, **options: Any) -> Any:
            calls.append(super().submit(*arguments, **options))
            return calls[-1]

    calls: list[Any] = []
    notices: list[str] = []
    engine = Remembering(lambda worker, call: "held back" if worker == 0 and call == 2 else "answered")
    with WorkerPool(engine, SPEC, 2, _descriptions(), on_notice=notices.append) as pool:
        _require_equal(pool.compute(1, _model().weights(), _blocks()))
        (late,) = (call for call in calls if call.fate == "held back")
        late.fate = "answered"
        pool._running[late].since -= 10_000.0
        _require_equal(pool.compute(2, _model().weights(), _blocks()))
    assert notices == []
    assert not any(worker.stopped for worker in engine.workers)


def test_a_worker_that_answers_as_it_is_given_up_gets_no_other_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_STUCK_SECONDS", 0.1)

    class AnsweredMeanwhile(FakeEngine):
        def result(self, call: Any) -> Any:
            return call.carry_out() if call.fate == "held back" else super().result(call)

    engine = AnsweredMeanwhile(lambda worker, call: "held back" if worker == 0 and call == 2 else "answered")
    notices = _compute(engine, workers=1)
    assert notices == [
        "a worker responded just as it was stopped for not responding; another worker will take its place"
    ]
    assert [worker.stopped for worker in engine.workers] == [True, False]


def test_a_worker_is_killed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later its number may be that of another process."""
    killed: list[int] = []
    real = local_engine.kill_group

    def kill(process: Any) -> None:
        killed.append(process.pid)
        real(process)

    monkeypatch.setattr(local_engine, "kill_group", kill)
    engine = local_engine.LocalEngine.connect(None, 1)
    worker = engine.start_worker(NAME, SPEC)
    for _ in range(2):
        engine.stop_worker(worker)
    engine.close()
    assert killed == [worker.process.pid]


# A block is given to a second worker once it is known how long blocks take, after the first step's.
@pytest.mark.parametrize(("blocks_before", "stuck"), [(1, 2), (0, 1)])
def test_all_workers_that_never_answer_are_given_up_beside_an_idle_one(
    monkeypatch: pytest.MonkeyPatch, blocks_before: int, stuck: int
) -> None:
    for name, seconds in {"_LATE": 0.0, "_STUCK": 0.1, "_FIRST_STUCK": 0.1, "_STOP": 0.0}.items():
        monkeypatch.setattr(pool_module, f"{name}_SECONDS", seconds)
    fates = iter(
        ["answered"] * (3 + blocks_before) + ["held back"] * stuck
    )  # the first calls describe workers
    engine = FakeEngine(lambda worker, call: next(fates, "answered"))
    notices: list[str] = []
    deadline = time.monotonic() + 30.0
    with WorkerPool(
        engine,
        SPEC,
        3,
        _descriptions(),
        on_notice=notices.append,
        stop_requested=lambda: time.monotonic() > deadline,
    ) as pool:
        for step in (1, 2):
            _require_equal(pool.compute(step, _model().weights(), _blocks(1)))
    assert len(notices) == stuck
    assert len(engine.workers) == 3 + stuck


def test_the_first_block_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_STUCK_SECONDS", 0.0)

    class Slow(FakeEngine):
        def wait(self, calls: Sequence[Any], timeout_seconds: float) -> list[Any]:
            ended = super().wait(calls, timeout_seconds)
            for call in calls:
                call.fate = "answered"  # by the next time
            return ended

    engine = Slow(lambda worker, call: "held back" if call == 1 else "answered")
    assert _compute(engine, workers=1) == []
    assert len(engine.workers) == 1


def test_others_go_on_while_a_lost_worker_is_being_replaced() -> None:
    engine = FakeEngine(
        lambda worker, call: (
            "held back" if worker > 1 else "lost" if worker == 0 and call == 1 else "answered"
        )
    )
    notices = _compute(engine)
    assert notices == ["worker 0 was lost; another worker will redo its work"]
    assert len(engine.workers) == 3  # the third never became ready, and nothing waited for it


def test_workers_that_never_start_end_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_START_SECONDS", 0.3)
    engine = FakeEngine(lambda worker, call: "held back" if worker == 1 else "answered")
    with pytest.raises(EngineError, match=r"1 of 2 workers did not start within 0 s; use fewer `workers`"):
        _compute(engine)
    lost_all = FakeEngine(
        lambda worker, call: "held back" if worker > 1 else "lost" if call == 1 else "answered"
    )
    with pytest.raises(EngineError, match=r"2 of 2 workers did not start within 0 s"):
        _compute(lost_all)


def test_workers_that_are_lost_again_and_again_end_training() -> None:
    engine = FakeEngine(lambda worker, call: "lost" if call else "answered")
    with pytest.raises(
        EngineError, match=r"workers in a row ended without responding.*worker \d+ was lost.*use fewer"
    ):
        _compute(engine)
    assert engine.closed


@pytest.mark.parametrize(
    ("unlike", "said"),
    [
        ({"processor": "another"}, "processor another .here: .*"),
        ({"threads": 2}, "threads 2 .here: 1.;"),
        ({"versions": {"numpy": "1.26.0", "extra": "2"}}, r"numpy 1\.26\.0 .here: .*, extra 2 .here: none"),
        ({"instructions": ["avx9"]}, "processor instructions that only one of them has .*avx"),
    ],
)
def test_workers_unlike_the_driver_are_refused_unless_they_are_allowed(unlike: Values, said: str) -> None:
    with pytest.raises(EngineError, match=rf"differs from this process.*{said}.*`mixed_machines=True`"):
        _compute(FakeEngine(description={1: unlike}))
    engine = FakeEngine(description={1: unlike})
    (notice,) = _compute(engine, mixed_machines=True)
    assert notice.startswith("a worker differs from this process: ")


def test_another_python_decides_no_bit() -> None:
    assert _compute(FakeEngine(description={1: {"python": "3.99"}})) == []


def test_a_worker_of_another_charkit_is_refused_always() -> None:
    with pytest.raises(EngineError, match=r"a worker has charkit 0\.0\.1, but this process .*same version"):
        _compute(FakeEngine(description={0: {"charkit": "0.0.1"}}), mixed_machines=True)


def test_what_a_worker_can_not_do_is_an_error_of_one_line() -> None:
    from charkit.distributed.local_engine import LocalEngine

    with (
        pytest.raises(BackendError, match="a worker failed to start: unknown backend 'absent'"),
        WorkerPool(LocalEngine.connect(None, 1), {**SPEC, "backend": "absent"}, 1, _descriptions()),
    ):
        pass
