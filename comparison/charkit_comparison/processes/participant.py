"""One variant of a comparison while it is under way: its child, and what it has said so far."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from charkit.version import version
from charkit_comparison.plan import SAMPLE_LENGTH, Plan, Variant
from charkit_comparison.processes.worker_process import Child, ChildFailedError, StartChild
from charkit_comparison.report import Outcome, Round, Validation


@dataclass
class Contestant:
    """One variant while it is under way: what it has said so far."""

    variant: Variant
    plan: Plan
    first_step: int
    start_child: StartChild = Child
    child: Child | None = None
    said: dict[str, Any] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    not_finite_at: int | None = None
    sample: str = ""
    sample_step: int | None = None
    reason: str = ""

    def order(self, what: str, **details: Any) -> dict[str, Any]:
        """Has the child do something; what fails is kept as the reason, and ends the child."""
        if self.child is None:
            return {}
        try:
            answer = self.child.order(what, **details)
        except ChildFailedError as error:
            self.end(str(error))
            return {}
        self.said |= {key: answer.get(key) for key in ("peak_memory_bytes", "device_memory_bytes")}
        return answer

    def end(self, reason: str = "") -> None:
        """Ends the child."""
        self.reason = self.reason or reason
        if self.child is not None:
            self.child.close()
            self.child = None

    def start(self) -> None:
        """Begins the child; one that can't be begun, or has another charkit, is ended."""

        try:
            self.child = self.start_child(self.variant, self.plan)
            said = self.child.prepare()
        except OSError as error:
            self.end(f"can't run {self.variant.python!r}: {error.strerror}")
            return
        except ChildFailedError as error:
            self.end(str(error))
            return
        if said.get("charkit") != version():
            self.end(f"its charkit is {said.get('charkit')}, this one is {version()}; they must match")
            return
        self.said |= said

    def take_turn(self, steps: int) -> None:
        """Trains, draws a sample and validates."""
        trained = self.order("train", steps=steps)
        if not trained:
            return
        lost = next((index for index, loss in enumerate(trained["losses"]) if not isfinite(loss)), None)
        if lost is not None:
            step = self.first_step + len(self.losses) + lost
            self.not_finite_at = step
            self.end(f"its loss is not finite at step {step:,}")
        self.losses += trained["losses"][:lost]
        self.norms += trained["norms"][:lost]
        if lost is not None:
            return
        if trained["first_step_seconds"] is not None:
            self.said["first_step_seconds"] = trained["first_step_seconds"]
        drawn = self.order("sample", length=SAMPLE_LENGTH, seed=self.plan.sample_seed)
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
        validated = self.order("validate")
        if validated.get("loss") is not None:
            self.validations.append(
                Validation(**{key: validated[key] for key in ("step", "loss", "elapsed_seconds")})
            )

    def outcome(self) -> Outcome:
        """What came of it so far."""
        whole = len(self.losses) == self.plan.steps and not self.reason
        variant, said = self.variant, self.said
        return Outcome(
            label=variant.label,
            backend=variant.backend,
            kind="own layers" if variant.module else "backend",
            precision=variant.precision,
            decides=variant.decides,
            status="failed" if self.reason else "done" if whole else "partial",
            reason=readable(self.reason),
            not_finite_at=self.not_finite_at,
            python=readable(variant.python or ""),
            device=said.get("device", ""),
            threads=said.get("threads"),
            versions=said.get("versions", {}),
            notices=tuple(said.get("notices", ())),
            import_seconds=said.get("import_seconds"),
            first_step_seconds=said.get("first_step_seconds"),
            losses=tuple(self.losses),
            gradient_norms=tuple(self.norms),
            validations=tuple(self.validations),
            rounds=tuple(self.rounds),
            peak_memory_bytes=said.get("peak_memory_bytes"),
            device_memory_bytes=said.get("device_memory_bytes"),
            sample=self.sample,
            sample_step=self.sample_step,
        )


def readable(text: str) -> str:
    """The text with a replacement for what is no Unicode: a path on this system can be any bytes."""
    return os.fsencode(text).decode("utf-8", "replace")
