"""A worker process of a comparison: one backend, or one framework's own layers, that acts on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from charkit import machine, plugins
from charkit.capabilities import required
from charkit.charrnn import CharRNN
from charkit.config import SamplingConfig
from charkit.cpu_contention import ContentionMeter
from charkit.errors import CharkitError
from charkit.evaluation import evaluate
from charkit.network import StepResult
from charkit.notices import notices_for
from charkit.plugins.declared import device_memory_bytes_of, versions_of
from charkit.runs.planned_end import total_steps
from charkit.sampling import sample_texts
from charkit.snapshot import Snapshot
from charkit.text.corpus import open_corpus
from charkit.training.schedule import learning_rate_at, plan_until
from charkit.training.session import training_batches
from charkit.training.sharded_step import runner_in_process
from charkit.training.steps import (
    CarriesState,
    TrainingStep,
    reset_before_step,
    training_steps,
    upcoming_steps,
)
from charkit.version import version
from charkit_comparison.agreement.recorded_step import RecordedStep, StepResults
from charkit_comparison.agreement.rounding_control import PERTURBED_EVERY, perturbed_weights
from charkit_comparison.processes.spec import ComparisonSpec, load_arrays, save_arrays

#: Characters that are sampled before sampling is timed, since the first call may compile.
WARM_UP_CHARACTERS = 5
#: Seconds between two lines about the progress of a turn: few enough to cost nothing that is measured.
PROGRESS_SECONDS = 0.5

Item = TypeVar("Item")


class OwnLayers(CarriesState, Protocol):
    """The layers of a framework itself; they know no charkit backend. Their state starts at zero."""

    versions: dict[str, str]
    notices: tuple[str, ...]  # what a reader should know of its numbers

    def step(self, inputs: Any, targets: Any, learning_rate: float) -> float:
        """One update on int32 ``(batch, time)`` arrays; returns the loss in nats per symbol."""


class VariantWorker:
    """A model and its text; each public method carries out the request of its name and returns the response."""

    #: Called now and then with the share of a turn's steps that are done.
    report_progress: Callable[[float], None] | None = None

    def __init__(self, request: dict[str, Any]) -> None:
        self.spec = ComparisonSpec.read(Path(request["folder"]))
        data = self.spec.config.data
        self.corpus = open_corpus(data, self.spec.vocabulary)
        if self.corpus.sha256 != self.spec.sha256:
            raise CharkitError("the text has changed since the comparison began")
        self.batches = training_batches(self.corpus, data, self.spec.config.training.seed)
        self.control, self.precision = int(request["control"]), request["precision"]
        self.model: CharRNN | None = None
        self.own: OwnLayers | None = None
        if request["module"]:
            make = import_module(request["module"]).make
            self.own = make(self.spec, framework=request["backend"], threads=request["threads"])
        else:
            self.model = self._make_model(request)
        self._run_step = runner_in_process(data.shards)
        self.step = self.spec.start.step  # the last one that was run
        self._upcoming = self._upcoming_steps(int(request["steps"]), int(request["planned_steps"]))
        self.import_seconds = time.time() - float(request["started"])
        self.elapsed_seconds = self.import_seconds

    def _make_model(self, request: dict[str, Any]) -> CharRNN:
        config = self.spec.config
        backend = plugins.create(
            request["backend"],
            precision=request["precision"],
            device=request["device"],
            threads=request["threads"],
            required=required(model=config.model, optimizer=config.optimizer),
        )
        start = self._perturbed(self.spec.start) if self.control else self.spec.start
        model = CharRNN.from_config(
            config.model,
            config.optimizer,
            backend,
            batch_size=config.data.batch_size,
            num_steps=config.data.num_steps,
            seed=config.training.seed,
            weights=start.weights,
        )
        model.restore(start)
        return model

    def _perturbed(self, snapshot: Snapshot) -> Snapshot:
        weights = perturbed_weights(
            snapshot.weights, self.precision, self.spec.config.training.seed, self.control, snapshot.step
        )
        return replace(snapshot, weights=weights)

    def close(self) -> None:
        """Ends the thread that prepares batches, and releases the model, of which the steps are a part."""
        self._upcoming.close()

    def _upcoming_steps(self, steps: int, planned_steps: int) -> Generator[TrainingStep, None, None]:
        """The steps that training would run. A control's weights are perturbed again every few steps.

        The learning rates are those of the whole plan, even if this worker runs fewer steps of it. The state of own
        layers is reset where charkit's is.
        """
        config, start = self.spec.config, self.spec.start.step
        seed, reset_probability = config.training.seed, config.training.reset_probability
        last_step = max(start + planned_steps, total_steps(config.training, self.batches.count))
        learning_rate = partial(
            learning_rate_at,
            plan=plan_until(last_step, config.training),
            optimizer=config.optimizer,
            training=config.training,
        )
        coming = upcoming_steps(
            self.model, self.batches, start + 1, start + steps, learning_rate, reset_probability
        )
        with closing(coming):
            for step in coming:
                done = step.number - 1 - start
                if self.control and self.model is not None and done and done % PERTURBED_EVERY == 0:
                    self.model.restore(self._perturbed(self.model.snapshot()))
                if self.own is not None:
                    reset_before_step(self.own, step.number, self.batches, seed, reset_probability)
                self.step = step.number
                yield step

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Describes the model and its environment; both were made by ``__init__``."""
        common = {"charkit": version(), "import_seconds": self.import_seconds}
        if self.model is None:
            assert self.own is not None
            return {
                **common,
                "versions": self.own.versions,
                "device": "cpu",
                "threads": request["threads"],
                "notices": list(self.own.notices),
            }
        backend = self.model.backend
        return {
            **common,
            "versions": {"numpy": np.__version__, **versions_of(backend)},
            "device": backend.device,
            "threads": backend.threads,
            "notices": list(notices_for(backend)),
        }

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Runs some steps. The very first is timed by itself, because it compiles.

        The peak of the memory is that of everything that the process has done so far. Before the first validation and
        the first sample it is that of training alone, which own layers have as well.
        """
        losses: list[float] = []
        norms: list[float] = []
        first_step_seconds = None
        count = int(request["steps"])
        if self.step == self.spec.start.step and count:
            began = time.perf_counter()
            self._run_steps(1, losses, norms, of=count)
            first_step_seconds = time.perf_counter() - began
            self.elapsed_seconds += first_step_seconds
            count -= 1
        meter = ContentionMeter()
        began = time.perf_counter()
        self._run_steps(count, losses, norms, of=len(losses) + count)
        seconds = time.perf_counter() - began
        self.elapsed_seconds += seconds
        return {
            "losses": losses,
            "norms": norms,
            "steps": count,
            "seconds": seconds,
            "other_processors": meter.processors(),
            "first_step_seconds": first_step_seconds,
            "peak_memory_bytes": machine.peak_bytes(),
            "device_memory_bytes": None if self.model is None else device_memory_bytes_of(self.model.backend),
        }

    def _run_steps(self, count: int, losses: list[float], norms: list[float], *, of: int) -> None:
        """Runs ``count`` of a turn's ``of`` steps; ``losses`` has those of the steps before."""
        begun = len(losses)
        if self.model is None:
            assert self.own is not None
            for step in self._reporting(islice(self._upcoming, count), begun, of):
                losses.append(self.own.step(step.inputs, step.targets, step.learning_rate))
            return
        pending: list[StepResult] = []
        run = islice(training_steps(self.model, self._upcoming, self._run_step), count)
        for result in self._reporting(run, begun, of):
            pending.append(result)
            if len(pending) == 2:  # reads a loss while the next step is computed, as training does
                _append(pending.pop(0), losses, norms)
        for result in pending:
            _append(result, losses, norms)

    def _reporting(self, each: Iterable[Item], begun: int, of: int) -> Iterator[Item]:
        """The items, with a report of progress in the whole turn every ``PROGRESS_SECONDS``."""
        reported = time.perf_counter()
        for done, item in enumerate(each, start=begun + 1):
            yield item
            now = time.perf_counter()
            if self.report_progress is not None and now - reported >= PROGRESS_SECONDS:
                reported = now
                self.report_progress(done / of)

    def validate(self, _request: dict[str, Any]) -> dict[str, Any]:
        """The loss on the validation split; own layers have none."""
        start, stop = self.corpus.split("validation")
        if self.model is None or stop <= start:
            return {"loss": None}
        result = evaluate(self.model, self.corpus.symbols, self.corpus.vocabulary, start, stop)
        return {"loss": result.loss, "step": self.step, "elapsed_seconds": self.elapsed_seconds}

    def sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Draws a sample and measures how fast; own layers draw none."""
        if self.model is None:
            return {"text": "", "speed": None}
        length = int(request["length"])
        config = SamplingConfig(length=length, seed=int(request["seed"]))
        warm_up = config.model_copy(update={"length": WARM_UP_CHARACTERS})
        sample_texts(self.model, self.corpus.vocabulary, warm_up)
        began = time.perf_counter()
        text = sample_texts(self.model, self.corpus.vocabulary, config)[0]
        return {"text": text, "speed": length / (time.perf_counter() - began)}

    def save(self, request: dict[str, Any]) -> dict[str, Any]:
        """Writes the model as it is; own layers have nothing to write."""
        if self.model is not None:
            save_arrays(Path(request["to"]), self.model.snapshot().arrays())
        return {"saved": self.model is not None}

    # ---- single steps, for the float64 oracle to judge ---------------------------------------------------

    def record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Writes what the next step starts from, then runs that step."""
        model, step = self._next_step()
        save_arrays(Path(request["to"]), RecordedStep.of(model, step).arrays())
        result = self._run_step(model, step)
        return {"losses": [result.loss], "norms": [result.gradient_norm]}

    def inspect(self, request: dict[str, Any]) -> dict[str, Any]:
        """Writes what the next step starts from, runs that step, and writes its results."""
        model, step = self._next_step()
        recorded = RecordedStep.of(model, step)
        save_arrays(Path(request["recorded"]), recorded.arrays())
        save_arrays(Path(request["results"]), StepResults.of(model, recorded).arrays())
        return {"step": recorded.step}

    def _next_step(self) -> tuple[CharRNN, TrainingStep]:
        assert self.model is not None, "own layers are not examined"
        return self.model, next(self._upcoming)

    def examine(self, request: dict[str, Any]) -> dict[str, Any]:
        """Runs a recorded step, on all of its batch or on some sequences, and writes its results.

        This leaves the model after that step, so training can't continue from where it was.
        """
        assert self.model is not None, "own layers are not examined"
        recorded = RecordedStep.from_arrays(load_arrays(Path(request["recorded"])))
        self.model.restore(recorded.before)
        self.step = recorded.step
        if request.get("sequences") is None:
            save_arrays(Path(request["results"]), StepResults.of(self.model, recorded).arrays())
        else:
            few = recorded.sequences(request["sequences"])
            gradients, _, _ = self.model.gradients(
                few.inputs, few.targets, state=few.before.state, masks=few.masks
            )
            save_arrays(Path(request["results"]), gradients)
        return {"step": recorded.step}


def _append(result: StepResult, losses: list[float], norms: list[float]) -> None:
    losses.append(result.loss)
    norms.append(result.gradient_norm)
