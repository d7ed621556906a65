"""One variant of a comparison while it runs: its worker process, and its results so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from charkit.version import version
from charkit_comparison.plan import SAMPLE_LENGTH, Plan, Variant
from charkit_comparison.processes.worker_process import StartWorker, WorkerFailedError, WorkerProcess
from charkit_comparison.report_parts import Outcome, Round, Validation


@dataclass
class Participant:
    """One variant while it runs. A request that fails ends its worker, and its reason is kept."""

    variant: Variant
    plan: Plan
    first_step: int
    start_worker: StartWorker = WorkerProcess
    worker: WorkerProcess | None = None
    details: dict[str, Any] = field(default_factory=dict)  # of the environment, memory and start-up
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    not_finite_at: int | None = None
    sample: str = ""
    sample_step: int | None = None
    reason: str = ""

    def request(self, action: str, **details: Any) -> dict[str, Any]:
        """The worker's response; empty where there is no worker, or it failed."""
        if self.worker is None:
            return {}
        try:
            return self.worker.request(action, **details)
        except WorkerFailedError as error:
            self.end(str(error))
            return {}

    def end(self, reason: str = "") -> None:
        """Ends the worker. The first reason that is given is kept."""
        self.reason = self.reason or reason
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def start(self) -> None:
        """Starts the worker; one that can't be started, or has another charkit, is ended."""
        try:
            self.worker = self.start_worker(self.variant, self.plan)
            details = self.worker.prepare()
        except OSError as error:
            self.end(f"can't run {self.variant.python!r}: {error.strerror}")
            return
        except WorkerFailedError as error:
            self.end(str(error))
            return
        if details.get("charkit") != version():
            self.end(
                f"its environment has charkit {details.get('charkit')}, but this one has {version()}; install the same "
                "version in both"
            )
            return
        self.details |= details

    def take_turn(self, steps: int, progress: Callable[[float], None] | None = None) -> None:
        """Trains, draws a sample and validates; ``progress`` is called with the share of the steps that are done."""
        trained = self.request("train", steps=steps, on_progress=progress)
        if not trained:
            return
        for key in ("peak_memory_bytes", "device_memory_bytes"):
            self.details.setdefault(key, trained[key])  # a later peak can be that of sampling or validation
        if not self._keep_curves(trained):
            return
        if trained["first_step_seconds"] is not None:
            self.details["first_step_seconds"] = trained["first_step_seconds"]
        drawn = self.request("sample", length=SAMPLE_LENGTH, seed=self.plan.sample_seed)
        if drawn:
            self.sample, self.sample_step = drawn["text"], self.first_step - 1 + len(self.losses)
        data = self.plan.config.data
        characters = trained["steps"] * data.batch_size * data.num_steps
        self.rounds.append(
            Round(
                steps=trained["steps"],
                seconds=trained["seconds"],
                other_processors=trained["other_processors"],
                characters_per_second=characters / trained["seconds"] if trained["steps"] else None,
                sampling_characters_per_second=drawn.get("speed"),
            )
        )
        validated = self.request("validate")
        if validated.get("loss") is not None:
            self.validations.append(
                Validation(**{key: validated[key] for key in ("step", "loss", "elapsed_seconds")})
            )

    def _keep_curves(self, trained: dict[str, Any]) -> bool:
        """Keeps losses and norms up to the first loss that is not finite, which ends the worker; False there."""
        index = next((index for index, loss in enumerate(trained["losses"]) if not isfinite(loss)), None)
        if index is not None:
            self.not_finite_at = self.first_step + len(self.losses) + index
            self.end(f"its loss is not finite at step {self.not_finite_at:,}")
        self.losses += trained["losses"][:index]
        self.norms += trained["norms"][:index]
        return index is None

    def outcome(self) -> Outcome:
        """The results so far."""
        is_complete = len(self.losses) == self.plan.steps and not self.reason
        variant, details = self.variant, self.details
        return Outcome(
            label=variant.label,
            backend=variant.backend,
            kind="own layers" if variant.module else "backend",
            precision=variant.precision,
            decides=variant.decides,
            status="failed" if self.reason else "done" if is_complete else "partial",
            reason=as_unicode(self.reason),
            not_finite_at=self.not_finite_at,
            python=as_unicode(variant.python or ""),
            device=details.get("device", ""),
            threads=details.get("threads"),
            versions=details.get("versions", {}),
            notices=tuple(details.get("notices", ())),
            import_seconds=details.get("import_seconds"),
            first_step_seconds=details.get("first_step_seconds"),
            losses=tuple(self.losses),
            gradient_norms=tuple(self.norms),
            validations=tuple(self.validations),
            rounds=tuple(self.rounds),
            peak_memory_bytes=details.get("peak_memory_bytes"),
            device_memory_bytes=details.get("device_memory_bytes"),
            sample=self.sample,
            sample_step=self.sample_step,
        )


def as_unicode(text: str) -> str:
    """The text with a replacement for what is not Unicode: a path on this system can be any bytes."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # surrogates that stand for no bytes
        return text.encode("utf-8", "replace").decode("utf-8")
