"""A time limit: the session ends within it, a falling schedule ends with it, and the plan makes a resume exact.

Time is made up here: a step and a validation take as many seconds as a test says.
"""

# Over 300 lines: one setting, one short test for each thing that a limit decides.

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit import events
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig, TrainingConfig
from charkit.errors import ConfigurationError
from charkit.runs.background_save import BackgroundSave
from charkit.runs.checkpoint_content import SchedulePlan, TrainingProgress
from charkit.runs.records import SCHEDULE
from charkit.runs.run import Run
from charkit.training.clock import Clock
from charkit.training.result import TrainResult
from charkit.training.schedule import fraction_at, learning_rate_at, plan_until, replanned
from support import SMALL
from training_support import losses_of, weights_of

COSINE: dict[str, Any] = {"schedule": "cosine", "learning_rate": 0.01, "learning_rate_floor": 0.001}
EVERY: dict[str, Any] = {
    "eval_every": 20,
    "log_every": 20,
    "epochs": 5,
    "num_layers": 1,
    "sample_length": 0,
}


class CrashError(Exception):
    """What stands for a process that is killed."""


class Machine:
    """A machine with a clock of its own: each step and each validation takes the seconds that it is said to take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self.step_seconds: Callable[[int], float] = lambda _step: 1.0
        self.validation_seconds = 5.0
        self.rates: dict[int, float] = {}  # of the steps of the run that was trained last
        self.events: list[events.Event] = []
        self.interrupt_at = self.crash_at = 0
        monkeypatch.setattr(
            "charkit.training.trainer.Clock", lambda before: Clock(before, lambda: self.seconds)
        )
        monkeypatch.setattr("charkit.runs.background_save.perf_counter", lambda: 0.0)  # writing takes no time
        monkeypatch.setattr("os.fsync", lambda _file: None)  # nothing here has to outlast a loss of power
        real_step = CharRNN.train_step

        def timed_step(model: CharRNN, *batch: Any, **options: Any) -> Any:
            self.seconds += self.step_seconds(model.step + 1)
            self.rates[model.step + 1] = options["learning_rate"]
            return real_step(model, *batch, **options)

        monkeypatch.setattr(CharRNN, "train_step", timed_step)

    def train(self, text: Path | None = None, **options: Any) -> TrainResult:
        """Trains; ``seconds`` and ``events`` are then those of this session."""
        self.seconds = 0.0
        self.events.clear()
        if "resume" not in options:
            self.rates = {}
        fixed = {} if "resume" in options else {**SMALL, **EVERY}
        return charkit.train(text, threads=1, on_event=self.handle, **{**fixed, **options})

    def handle(self, event: events.Event) -> None:
        self.events.append(event)
        if isinstance(event, events.Validating) and event.fraction == 1:
            self.seconds += self.validation_seconds
        if isinstance(event, events.Advanced):
            if event.step == self.interrupt_at:
                self.interrupt_at = 0
                signal.raise_signal(signal.SIGINT)
            if event.step == self.crash_at:
                self.crash_at = 0
                raise CrashError

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def progress_of(run: Path) -> TrainingProgress:
    return Run.open(run).checkpoint("latest")[0].progress


def assert_same_run(one: TrainResult, other: TrainResult) -> None:
    assert one.step == other.step
    assert losses_of(one) == losses_of(other)
    for name, array in weights_of(one).items():
        assert np.array_equal(array, weights_of(other)[name]), name


@pytest.mark.parametrize("schedule", ["cosine", "linear", "cooldown"])
def test_the_fall_ends_at_the_floor_within_the_limit(
    text_file: Path, machine: Machine, schedule: str
) -> None:
    settings = {**COSINE, "schedule": schedule, "sample_length": 5}
    result = machine.train(text_file, time_limit="200s", **settings)
    assert result.stopped_because == "time_limit"
    assert 190 < machine.seconds <= 200
    rates = machine.rates
    assert rates[result.step] == pytest.approx(0.001)
    assert rates[result.step - 5] > 0.001
    assert rates[6] > 0.0095
    assert all(rates[step + 1] <= rates[step] for step in range(1, result.step))
    assert result.history[-1].validation_loss == result.validation_loss is not None
    assert machine.all(events.Sampled)[-1].step == machine.all(events.Saved)[-1].step == result.step


def test_time_is_left_for_the_last_save_which_training_waits_for(
    text_file: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BackgroundSave.result

    def took_long(save: BackgroundSave) -> Path:
        path = real(save)
        save.seconds = 30.0
        return path

    monkeypatch.setattr(BackgroundSave, "result", took_long)
    for schedule in ("cosine", "constant"):
        result = machine.train(text_file, time_limit="200s", **{**COSINE, "schedule": schedule, "epochs": 50})
        assert result.stopped_because == "time_limit"
        assert 150 < machine.seconds <= 170


@pytest.mark.parametrize(("before", "after"), [(1.0, 3.0), (1.0, 0.2), (0.5, 8.0)])
def test_a_machine_whose_speed_changes_ends_the_fall_in_time(
    text_file: Path, machine: Machine, before: float, after: float
) -> None:
    machine.step_seconds = lambda step: before if step < 60 else after
    result = machine.train(text_file, time_limit="200s", **{**COSINE, "epochs": 50})
    assert machine.rates[result.step] == pytest.approx(0.001, abs=1e-4)
    longest = after + machine.validation_seconds
    assert 200 - 0.02 * 200 - longest <= machine.seconds <= 200 + longest


def test_a_first_step_that_compiles_is_no_measure_of_the_speed(text_file: Path, machine: Machine) -> None:
    machine.step_seconds = lambda step: 25.0 if step <= 2 else 1.0
    machine.validation_seconds = 1.0
    result = machine.train(text_file, time_limit="200s", **COSINE)
    assert 138 <= result.step <= 150
    assert len(Run.open(result.run).records(SCHEDULE)) <= 4


def test_a_validation_that_takes_long_is_planned_for(text_file: Path, machine: Machine) -> None:
    machine.validation_seconds = 60.0
    result = machine.train(text_file, time_limit="400s", **COSINE)
    assert machine.rates[result.step] == pytest.approx(0.001)
    assert 320 <= machine.seconds <= 400


def test_rates_follow_from_the_recorded_plans(text_file: Path, machine: Machine) -> None:
    machine.step_seconds = lambda step: 1.0 if step < 60 else 2.0
    result = machine.train(text_file, time_limit="200s", warmup_steps=5, **COSINE)
    records = Run.open(result.run).records(SCHEDULE)
    assert len(records) > 1
    assert set(records[0]) == {"step", "from_step", "fraction", "last_step", "elapsed_seconds"}
    progress = progress_of(result.run)
    plan = SchedulePlan(step=5, fraction=0, last_step=machine.all(events.Started)[0].total_steps)
    for step, rate in machine.rates.items():
        assert rate == learning_rate_at(step, plan, progress.optimizer, progress.training)
        for record in records:
            if record["step"] == step:
                plan = SchedulePlan(
                    step=record["from_step"], fraction=record["fraction"], last_step=record["last_step"]
                )
    assert progress.plan == plan
    assert plan.last_step == result.step
    planned = machine.all(events.SchedulePlanned)
    assert [(event.step, event.last_step) for event in planned] == [
        (record["step"], record["last_step"]) for record in records
    ]


def test_resumed_without_a_limit_it_follows_the_plan_to_the_bit(text_file: Path, machine: Machine) -> None:
    unbroken = machine.train(text_file, time_limit="200s", dropout=0.2, **COSINE)
    machine.interrupt_at = 77
    first = machine.train(text_file, time_limit="200s", dropout=0.2, **COSINE)
    assert first.stopped_because == "interrupted"
    machine.step_seconds = lambda _step: 100.0
    second = machine.train(resume=first.run)
    assert second.stopped_because == "time_limit"
    assert_same_run(second, unbroken)
    assert machine.all(events.Started)[0].total_steps == unbroken.step


def test_resumed_with_a_limit_that_suffices_it_follows_the_plan_too(
    text_file: Path, machine: Machine
) -> None:
    unbroken = machine.train(text_file, time_limit="200s", **COSINE)
    machine.interrupt_at = 77
    first = machine.train(text_file, time_limit="200s", **COSINE)
    assert_same_run(machine.train(resume=first.run, time_limit="1000s"), unbroken)


def test_resumed_with_less_time_the_rest_of_the_fall_happens_in_that(
    text_file: Path, machine: Machine
) -> None:
    machine.interrupt_at = 77
    first = machine.train(text_file, time_limit="200s", **COSINE)
    second = machine.train(resume=first.run, time_limit="50s")
    rates = machine.rates
    assert 77 + 30 < second.step < 77 + 50
    assert machine.seconds <= 50
    assert rates[second.step] == pytest.approx(0.001)
    assert abs(rates[78] - rates[77]) < 0.0003


@pytest.mark.parametrize(("warmup", "before"), [(100, 0), (90, 0), (30, 0), (0, 60)])
def test_another_warm_up_draws_the_planned_schedule_anew(
    text_file: Path, machine: Machine, warmup: int, before: int
) -> None:
    """Its end stays, and the rate rises over all of the warm-up and falls over all of the rest."""
    machine.step_seconds = lambda step: 1.0 if step < 45 else 1.5  # so that the plan has begun on its way
    machine.interrupt_at = 77
    first = machine.train(text_file, time_limit="200s", warmup_steps=before, **COSINE)
    plan = progress_of(first.run).plan
    assert plan is not None
    assert plan.step > before
    second = machine.train(resume=first.run, warmup_steps=warmup)
    assert (second.step, second.stopped_because) == (plan.last_step, "time_limit")
    optimizer = OptimizerConfig(learning_rate=0.01)
    training = TrainingConfig(schedule="cosine", learning_rate_floor=0.001, warmup_steps=warmup)
    drawn = plan_until(plan.last_step, training)
    for step in range(78, second.step + 1):
        assert machine.rates[step] == learning_rate_at(step, drawn, optimizer, training)
    changes = [machine.rates[step + 1] - machine.rates[step] for step in range(78, second.step)]
    assert max(map(abs, changes)) < 0.001
    (notice,) = (line for line in machine.all(events.Started)[0].notices if "schedule" in line)
    assert notice == (
        f"the cosine schedule now begins after step {warmup} (previously {before}), so its learning rates have "
        "changed"
    )


def test_after_a_crash_the_plan_of_the_older_checkpoint_holds(text_file: Path, machine: Machine) -> None:
    machine.step_seconds = lambda step: 1.0 if step < 45 else 4.0  # it plans anew after the save at step 40
    machine.crash_at = 59
    with pytest.raises(CrashError):
        machine.train(text_file, run="r", time_limit="200s", **COSINE)
    assert Run.open(Path("r")).records(SCHEDULE)[-1]["step"] > 45
    plan = progress_of(Path("r")).plan
    assert plan is not None
    resumed = machine.train(resume="r")
    assert resumed.step == plan.last_step
    assert Run.open(Path("r")).records(SCHEDULE)[-1]["last_step"] == plan.last_step
    optimizer = OptimizerConfig(learning_rate=0.01)
    training = TrainingConfig(schedule="cosine", learning_rate_floor=0.001)
    assert machine.rates[90] == learning_rate_at(90, plan, optimizer, training)


def test_max_steps_that_come_first_end_the_schedule_as_without_a_limit(
    text_file: Path, machine: Machine
) -> None:
    unlimited = machine.train(text_file, max_steps=60, **COSINE)
    limited = machine.train(text_file, max_steps=60, time_limit="500s", **COSINE)
    assert limited.stopped_because == "max_steps"
    assert_same_run(limited, unlimited)
    assert not (limited.run / SCHEDULE).exists()


def test_at_the_end_of_the_plan_there_must_be_more_time_or_steps(text_file: Path, machine: Machine) -> None:
    first = machine.train(text_file, time_limit="100s", **COSINE)
    with pytest.raises(
        ConfigurationError, match=r"cosine schedule ended with the time limit; give a `time_lim"
    ):
        machine.train(resume=first.run)
    longer = machine.train(resume=first.run, time_limit="100s")
    (notice,) = (line for line in machine.all(events.Started)[0].notices if "schedule" in line)
    assert f"ends at about step {2 * first.step:,} (previously {first.step:,})" in notice
    assert machine.rates[first.step + 1] == pytest.approx(0.0055, abs=1e-3)  # halfway down
    assert machine.rates[longer.step] == pytest.approx(0.001)
    assert machine.seconds <= 100
    more = machine.train(resume=first.run, max_steps=300)
    (notice,) = (line for line in machine.all(events.Started)[0].notices if "schedule" in line)
    assert f"ends at step 300 (previously {longer.step})" in notice
    assert more.step == 300
    assert machine.rates[300] == pytest.approx(0.001)


def test_a_constant_rate_stops_before_the_limit_with_a_validation(text_file: Path, machine: Machine) -> None:
    result = machine.train(text_file, time_limit="105s")
    assert result.stopped_because == "time_limit"
    assert 95 <= machine.seconds <= 105
    assert result.history[-1].validation_loss is not None
    assert progress_of(result.run).step == result.step
    assert progress_of(result.run).plan is None
    assert machine.train(resume=result.run, max_steps=result.step + 3).step == result.step + 3


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_time_left_is_the_limits(text_file: Path, machine: Machine, schedule: str) -> None:
    machine.train(text_file, time_limit="100s", **{**COSINE, "schedule": schedule})
    advanced = machine.all(events.Advanced)
    assert [event.seconds_left for event in advanced[:3]] == [99, 98, 97]
    assert advanced[49].seconds_left == 100 - 50 - 2 * 5
    assert advanced[49].total_steps < 100
    assert advanced[-1].seconds_left == 0


def test_without_a_validation_split_the_limit_holds_too(text_file: Path, machine: Machine) -> None:
    result = machine.train(text_file, time_limit="100s", **{**COSINE, "validation_share": 0.0})
    assert 96 <= result.step <= 100
    assert machine.rates[result.step] == pytest.approx(0.001)


def test_a_step_longer_than_the_limit_ends_the_session(text_file: Path, machine: Machine) -> None:
    machine.step_seconds = lambda _step: 60.0
    result = machine.train(text_file, time_limit="50s", **COSINE)
    assert result.step == 1
    assert result.validation_loss is not None


def test_progress_of_before_plans_is_read() -> None:
    old = json.loads(TrainingProgress(step=7).model_dump_json())
    del old["plan"]
    assert TrainingProgress.model_validate(old).plan is None


def test_a_plan_goes_on_where_the_one_before_it_is() -> None:
    plan = plan_until(100, TrainingConfig(warmup_steps=20))
    assert [fraction_at(step, plan) for step in (20, 60, 100, 200)] == [0, 0.5, 1, 1]
    later = replanned(plan, 60, 70)
    assert later == SchedulePlan(step=60, fraction=0.5, last_step=70)
    assert [fraction_at(step, later) for step in (60, 65, 70)] == [0.5, 0.75, 1]
    assert replanned(plan, 10, 50) == SchedulePlan(step=20, fraction=0, last_step=50)
    ends_in_warm_up = replanned(plan, 5, 15)
    assert replanned(ends_in_warm_up, 10, 50) == SchedulePlan(step=20, fraction=0, last_step=50)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "cooldown"])
def test_a_machine_that_is_slow_during_the_warm_up_does_not_end_the_schedule(
    text_file: Path, machine: Machine, schedule: str
) -> None:
    """At first there seems to be time for fewer steps than the warm-up has."""
    machine.step_seconds = lambda step: 4.0 if step < 20 else 0.5
    machine.validation_seconds = 1.0
    settings = {**COSINE, "schedule": schedule, "warmup_steps": 60, "epochs": 50}
    result = machine.train(text_file, time_limit="200s", **settings)
    assert result.step > 150
    rates = machine.rates
    assert rates[60] == 0.01
    assert rates[80] > 0.0085
    assert rates[result.step] == pytest.approx(0.001, abs=1e-4)


def test_a_run_at_the_end_of_its_plan_uses_all_of_the_new_limit_on_a_faster_machine(
    text_file: Path, machine: Machine
) -> None:
    first = machine.train(text_file, time_limit="100s", **{**COSINE, "epochs": 50})
    machine.step_seconds = lambda _step: 0.25
    machine.validation_seconds = 1.0
    second = machine.train(resume=first.run, time_limit="100s")
    assert second.stopped_because == "time_limit"
    assert 90 < machine.seconds <= 100
    assert second.step > 3 * first.step
    assert machine.rates[second.step] == pytest.approx(0.001, abs=1e-4)


def test_an_estimate_that_no_session_has_checked_can_still_move(text_file: Path, machine: Machine) -> None:
    first = machine.train(text_file, time_limit="100s", **{**COSINE, "epochs": 50})
    machine.step_seconds = lambda _step: 0.25
    machine.validation_seconds = 1.0
    machine.interrupt_at = first.step + 3
    second = machine.train(resume=first.run, time_limit="100s")
    assert (second.stopped_because, second.step) == ("interrupted", first.step + 3)
    third = machine.train(resume=first.run, time_limit="100s")
    assert third.stopped_because == "time_limit"
    assert 90 < machine.seconds <= 100


def test_an_estimate_that_a_session_has_confirmed_stays(text_file: Path, machine: Machine) -> None:
    first = machine.train(text_file, time_limit="100s", **{**COSINE, "epochs": 50})
    machine.interrupt_at = first.step + 60
    machine.train(resume=first.run, time_limit="100s")
    stopped = progress_of(first.run)
    assert not stopped.plan_is_estimate
    assert stopped.plan is not None
    third = machine.train(resume=first.run, time_limit="1000s")
    assert third.step == stopped.plan.last_step


def test_no_step_is_beyond_the_last_one_that_is_shown(text_file: Path, machine: Machine) -> None:
    """The last steps may be slower than the plan, by too little to change it."""
    machine.step_seconds = lambda step: 1.0 if step < 150 else 1.06
    result = machine.train(text_file, time_limit="200s", **{**COSINE, "epochs": 50})
    shown = machine.all(events.Advanced)
    assert shown[-1].step == result.step
    assert all(event.step <= event.total_steps for event in shown)
