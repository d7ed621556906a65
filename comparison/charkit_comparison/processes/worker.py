"""A child of a comparison: one backend, or one framework's own layers, that works when it is told to.

Run as ``python -m charkit_comparison.processes.worker``. It reads one order per line from standard input, as JSON, and
answers each with one line of JSON on what was standard output; whatever a framework prints goes to standard
error. An answer with the key ``error`` says in one line why an order could not be carried out.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from charkit import machine, plugins
from charkit.capabilities import required
from charkit.charrnn import CharRNN
from charkit.config import SamplingConfig
from charkit.contention import Others
from charkit.errors import CharkitError
from charkit.evaluation import evaluate
from charkit.network import StepResult
from charkit.notices import notices_for
from charkit.plugins.declared import device_memory_bytes_of, versions_of
from charkit.sampling import sample_texts
from charkit.snapshot import Snapshot
from charkit.text.batches import Batches
from charkit.text.corpus import open_corpus
from charkit.training.schedule import learning_rate_at
from charkit.training.steps import TrainingStep, run_step, training_steps, upcoming_steps
from charkit.training.trainer import total_steps
from charkit.version import version
from charkit_comparison.agreement.control import MOVED_EVERY, moved_weights
from charkit_comparison.agreement.steps import RecordedStep, StepResults
from charkit_comparison.processes.spec import Job, load_arrays, save_arrays


class OwnLayers(Protocol):
    """A framework's own way: made from a job, precision, device and threads; it knows no charkit backend."""

    versions: dict[str, str]
    notices: tuple[str, ...]  # what a reader should know of its numbers

    def step(self, inputs: Any, targets: Any, learning_rate: float) -> float:
        """One update on int32 ``(batch, time)`` arrays; returns the loss in nats per symbol."""


class Worker:
    """What the orders are carried out on."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.job = Job.read(Path(order["folder"]))
        config = self.job.config
        self.corpus = open_corpus(config.data, self.job.vocabulary)
        if self.corpus.sha256 != self.job.sha256:
            raise CharkitError("the text has changed since the comparison began")
        start, stop = self.corpus.split("train")
        self.batches = Batches(
            self.corpus.symbols, config.data.batch_size, config.data.num_steps, start=start, stop=stop
        )
        self.control, self.precision = int(order["control"]), order["precision"]
        self.start = self._moved(self.job.start) if self.control else self.job.start
        self._make(order)
        planned = self.job.start.step + int(
            order["planned_steps"]
        )  # one schedule, however far this child goes
        self._upcoming = self._upcoming_steps(
            self.job.start.step + int(order["steps"]),
            max(planned, total_steps(config.training, self.batches.count)),
        )
        self.import_seconds = time.time() - float(order["started"])
        self.elapsed_seconds = self.import_seconds
        self.step = self.job.start.step

    def _moved(self, snapshot: Snapshot) -> Snapshot:
        weights = moved_weights(
            snapshot.weights, self.precision, self.job.config.training.seed, self.control, snapshot.step
        )
        return replace(snapshot, weights=weights)

    def _make(self, order: dict[str, Any]) -> None:
        config, precision, device = self.job.config, order["precision"], order["device"]
        self.model: CharRNN | None = None
        self.own: OwnLayers | None = None
        if order["module"]:
            make = import_module(order["module"]).make
            self.own = make(self.job, framework=order["backend"], threads=order["threads"])
            return
        backend = plugins.create(
            order["backend"],
            precision=precision,
            device=device,
            threads=order["threads"],
            required=required(model=config.model, optimizer=config.optimizer),
        )
        self.model = CharRNN.from_config(
            config.model,
            config.optimizer,
            backend,
            batch_size=config.data.batch_size,
            num_steps=config.data.num_steps,
            seed=config.training.seed,
            weights=self.start.weights,
        )
        self.model.restore(self.start)

    def prepare(self, order: dict[str, Any]) -> dict[str, Any]:
        """Says what it is made of; the work was done when it was made."""
        told = {"charkit": version(), "import_seconds": self.import_seconds}
        if self.model is None:
            assert self.own is not None
            return {
                **told,
                "versions": self.own.versions,
                "device": "cpu",
                "threads": order["threads"],
                "notices": list(self.own.notices),
            }
        backend = self.model.backend
        return {
            **told,
            "versions": {"numpy": np.__version__, **versions_of(backend)},
            "device": backend.device,
            "threads": backend.threads,
            "notices": list(notices_for(backend)),
        }

    def train(self, order: dict[str, Any]) -> dict[str, Any]:
        """Makes so many steps. The first step of all is timed by itself, for it compiles."""
        losses: list[float] = []
        norms: list[float] = []
        first_step_seconds = None
        count = int(order["steps"])
        if self.step == self.job.start.step and count:
            began = time.perf_counter()
            self._steps(1, losses, norms)
            first_step_seconds = time.perf_counter() - began
            self.elapsed_seconds += first_step_seconds
            count -= 1
        others = Others()
        began = time.perf_counter()
        self._steps(count, losses, norms)
        seconds = time.perf_counter() - began
        self.elapsed_seconds += seconds
        return {
            "losses": losses,
            "norms": norms,
            "steps": count,
            "seconds": seconds,
            "other_processors": others.processors(),
            "first_step_seconds": first_step_seconds,
        }

    def _steps(self, count: int, losses: list[float], norms: list[float]) -> None:
        if self.model is None:
            assert self.own is not None
            for step in islice(self._upcoming, count):
                losses.append(self.own.step(step.inputs, step.targets, step.learning_rate))
            return
        results: list[StepResult] = []
        for result in islice(training_steps(self.model, self._upcoming), count):
            results.append(result)
            if len(results) == 2:  # looks at a loss while the next step is under way, as training does
                _take(results.pop(0), losses, norms)
        for result in results:
            _take(result, losses, norms)

    def _upcoming_steps(self, last_step: int, total_steps: int) -> Iterator[TrainingStep]:
        """The steps that training would run. A control's weights are moved before every few of them."""
        config, start = self.job.config, self.job.start.step
        learning_rate = partial(
            learning_rate_at, total_steps=total_steps, optimizer=config.optimizer, training=config.training
        )
        for step in upcoming_steps(self.model, self.batches, start + 1, last_step, learning_rate):
            made = step.number - 1 - start
            if self.control and self.model is not None and made and made % MOVED_EVERY == 0:
                self.model.restore(self._moved(self.model.snapshot()))
            self.step = step.number
            yield step

    def validate(self, order: dict[str, Any]) -> dict[str, Any]:
        """The loss on the validation split; own layers have none."""
        start, stop = self.corpus.split("validation")
        if self.model is None or stop <= start:
            return {"loss": None}
        result = evaluate(self.model, self.corpus.symbols, self.corpus.vocabulary, start, stop)
        return {"loss": result.loss, "step": self.step, "elapsed_seconds": self.elapsed_seconds}

    def sample(self, order: dict[str, Any]) -> dict[str, Any]:
        """Draws a sample, and how fast; own layers draw none."""
        if self.model is None:
            return {"text": "", "speed": None}
        length = int(order["length"])
        config = SamplingConfig(length=length, seed=int(order["seed"]))
        sample_texts(self.model, self.corpus.vocabulary, config.model_copy(update={"length": 5}))  # compiles
        began = time.perf_counter()
        text = sample_texts(self.model, self.corpus.vocabulary, config)[0]
        return {"text": text, "speed": length / (time.perf_counter() - began)}

    def save(self, order: dict[str, Any]) -> dict[str, Any]:
        """Writes the model as it stands; own layers have nothing to write."""
        if self.model is not None:
            save_arrays(Path(order["to"]), self.model.snapshot().arrays())
        return {"saved": self.model is not None}

    # ---- single steps, for the float64 oracle to judge ---------------------------------------------------

    def record(self, order: dict[str, Any]) -> dict[str, Any]:
        """Writes what the next step starts from, then makes that step."""
        step, recorded, model = self._recorded()
        save_arrays(Path(order["to"]), recorded.arrays())
        result = run_step(model, step)
        return {"losses": [result.loss], "norms": [result.gradient_norm]}

    def inspect(self, order: dict[str, Any]) -> dict[str, Any]:
        """Writes what the next step starts from, makes that step, and writes what came of it."""
        _, recorded, model = self._recorded()
        save_arrays(Path(order["recorded"]), recorded.arrays())
        results = StepResults.of(model, recorded)
        save_arrays(Path(order["results"]), results.arrays())
        return {"step": recorded.step}

    def _recorded(self) -> tuple[TrainingStep, RecordedStep, CharRNN]:
        assert self.model is not None, "own layers are not examined"
        step = next(self._upcoming)
        return step, RecordedStep.of(self.model, step), self.model

    def examine(self, order: dict[str, Any]) -> dict[str, Any]:
        """Makes a recorded step, on all of its batch or on some sequences, and writes what came of it.

        The model stands after that step then: training can't be resumed from where it was.
        """
        assert self.model is not None, "own layers are not examined"
        recorded = RecordedStep.from_arrays(load_arrays(Path(order["recorded"])))
        self.model.restore(recorded.before)
        self.step = recorded.step
        if order.get("sequences") is None:
            save_arrays(Path(order["results"]), StepResults.of(self.model, recorded).arrays())
        else:
            few = recorded.sequences(order["sequences"])
            gradients, _, _ = self.model.gradients(
                few.inputs, few.targets, state=few.before.state, masks=few.masks
            )
            save_arrays(Path(order["results"]), gradients)
        return {"step": recorded.step}


def _take(result: StepResult, losses: list[float], norms: list[float]) -> None:
    losses.append(result.loss)
    norms.append(result.gradient_norm)


def _carry_out(worker: Worker | None, order: dict[str, Any]) -> tuple[Worker, dict[str, Any]]:
    if worker is None or order["do"] == "prepare":
        worker = Worker(order)
    act: Callable[[dict[str, Any]], dict[str, Any]] = getattr(worker, order["do"])
    answer = act(order)
    model = worker.model
    return worker, {
        **answer,
        "peak_memory_bytes": machine.peak_bytes(),
        "device_memory_bytes": None if model is None else device_memory_bytes_of(model.backend),
    }


def main() -> None:
    """Carries out orders until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a framework prints is no answer
    worker: Worker | None = None
    for line in sys.stdin:
        try:
            worker, answer = _carry_out(worker, json.loads(line))
        except MemoryError as error:
            answer = {"error": f"out of memory: {error}"}
        except Exception as error:  # noqa: BLE001 - whatever a framework raises is this variant's outcome
            kind = "" if isinstance(error, CharkitError) else f"{type(error).__name__}: "
            answer = {"error": f"{kind}{' '.join(str(error).split())}"[:500]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if "error" in answer:
            break
    answers.flush()
    os._exit(0)  # a framework's threads must not keep the process


if __name__ == "__main__":
    main()
