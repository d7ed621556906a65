"""Consecutive updates of an optimizer alone, on given gradients.

Many mistakes look alike in a first step from zero moments, such as a wrong beta and a wrong factor beside it. So if a
check fails, a mistake is named only if it also reproduces a proof: several steps from nonzero moments, with no
parameter of the configuration at its default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from numpy.typing import ArrayLike

from charkit.backend import Moments
from charkit.config import OptimizerConfig
from charkit.testing.agreement import require_agreement
from charkit.testing.backend_parts import Updater
from charkit.testing.cases import gradients_of, make_case, zeros_of
from charkit.testing.oracle import Arrays, Floats, Oracle
from charkit.testing.returned_values import require_precision
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Compute, Mismatch, is_right

#: One layer: the time to compile an update grows with the number of arrays.
MODEL = make_case(num_layers=1).model


@dataclass(frozen=True)
class Updates:
    """The initial values of an optimizer, and the gradients and learning rates of its steps."""

    optimizer: OptimizerConfig
    gradients: Sequence[Arrays]
    rates: Sequence[float] = ()  # empty: the configuration's learning rate
    moments: Moments[Floats] | None = None  # None: zero
    first_step: int = 1
    weights: Arrays = field(default_factory=lambda: zeros_of(MODEL))

    def steps(self) -> list[tuple[int, Arrays, float]]:
        """Number, gradients and learning rate of each step."""
        rates = self.rates or [self.optimizer.learning_rate] * len(self.gradients)
        pairs = zip(self.gradients, rates, strict=True)
        return [(step, *pair) for step, pair in enumerate(pairs, start=self.first_step)]

    def run(self, subject: Subject, precision: str) -> tuple[Updater, dict[str, ArrayLike]]:
        """Runs the updates on the shared optimizer; returns it, and every array by name."""
        return self._run(subject.updater(precision, self.optimizer, self.weights, self.moments))

    def run_fresh(self, subject: Subject, precision: str) -> tuple[Updater, dict[str, ArrayLike]]:
        """Like ``run``, on an optimizer that has not been used before."""
        return self._run(Updater(subject.backend(precision), self.optimizer, self.weights, self.moments))

    def _run(self, updater: Updater) -> tuple[Updater, dict[str, ArrayLike]]:
        norms = [updater.update(gradients, rate, step) for step, gradients, rate in self.steps()]
        return updater, {"the norm before clipping": norms, **updater.observed()}

    def compute(self, oracle: type[Oracle]) -> dict[str, ArrayLike]:
        """The same arrays, computed by an oracle."""
        reference, weights = oracle(MODEL, self.optimizer), self.weights
        moments = self.moments or Moments(zeros_of(MODEL), zeros_of(MODEL))
        norms = []
        for step, gradients, rate in self.steps():
            weights, moments, norm = reference.update(weights, moments, gradients, rate, step)
            norms.append(norm)
        return {
            "the norm before clipping": norms,
            **weights,
            **{f"exp_avg.{name}": array for name, array in moments.exp_avg.items()},
            **{f"exp_avg_sq.{name}": array for name, array in moments.exp_avg_sq.items()},
        }


def moments_of(means: float, squares: float) -> Moments[Floats]:
    """Made-up moments: means up to ``means`` in size, and squares of numbers up to ``squares``."""
    second = {name: array**2 for name, array in gradients_of(MODEL, 230, squares).items()}
    return Moments(gradients_of(MODEL, 200, means), second)


#: Gradients above the clipping bound, below it, and around epsilon; the norm of the first change is above the bound.
PROOF = Updates(
    OptimizerConfig(learning_rate=0.02, beta1=0.7, beta2=0.9, epsilon=1e-3, grad_clip=0.6),
    [gradients_of(MODEL, 300, 2.0), gradients_of(MODEL, 330, 0.02), gradients_of(MODEL, 360, 0.002)],
    rates=(0.05, 0.01, 0.03),
    moments=moments_of(0.1, 0.2),
    first_step=5,
)
_PROOF_DECAY = 0.3


def proof_of(subject: Subject, precision: str, updates: Updates) -> tuple[Mapping[str, ArrayLike], Compute]:
    """The backend's arrays of the proof, and what computes them on an oracle.

    A backend that gets it right is wrong for some configurations only: then the proof has that of ``updates``.
    """
    decay = _PROOF_DECAY if updates.optimizer.weight_decay else 0.0
    optimizer = PROOF.optimizer.model_copy(update={"weight_decay": decay})
    proof = replace(PROOF, optimizer=optimizer, weights=updates.weights)
    observed = proof.run_fresh(subject, precision)[1]
    if is_right(observed, proof.compute, precision, "update"):
        proof = replace(proof, optimizer=updates.optimizer)
        observed = proof.run_fresh(subject, precision)[1]
    return observed, proof.compute


def check_updates(subject: Subject, precision: str, updates: Updates, *, look_at: str) -> Updater:
    """Runs the updates on the backend; raises Mismatch unless norms, weights and moments are the oracle's."""
    updater, observed = updates.run(subject, precision)
    if not is_right(observed, updates.compute, precision, "update"):
        _, fresh = updates.run_fresh(subject, precision)
        require_agreement(
            fresh,
            updates.compute,
            precision=precision,
            kind="update",
            look_at=look_at,
            proof=lambda: proof_of(subject, precision, updates),
        )
        raise Mismatch(
            expected="the same numbers from an optimizer, whether or not it has been used before",
            got="different numbers after the updates of earlier checks",
            look_at="optimizer.py: what it stores between calls",
        )
    require_precision(updater.observed(), precision, "optimizer.py")
    return updater
