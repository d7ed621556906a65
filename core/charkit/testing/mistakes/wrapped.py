"""Mistakes in the inputs or outputs of a part."""

from __future__ import annotations

from typing import Any

from charkit.backend import State
from charkit.testing.oracle import Arrays, Floats, Ints, Oracle, Result, Step


class Wrapped(Oracle):
    """The oracle with changed inputs or outputs; a mistake overrides one of the hooks."""

    # ---- inputs ---------------------------------------------------------------------------------------

    def weights_in(self, weights: Arrays) -> Arrays:
        return weights

    def symbols_in(self, symbols: Ints) -> Ints:
        return symbols

    def targets_in(self, targets: Ints, symbols: Ints) -> Ints:
        return targets

    def state_in(self, state: State[Floats]) -> State[Floats]:
        return state

    # ---- outputs --------------------------------------------------------------------------------------

    def logits_out(self, logits: Floats) -> Floats:
        """The returned logits ``(batch, time, vocabulary)``; the loss uses the unchanged ones."""
        return logits

    def nats_out(self, nats: Floats) -> Floats:
        return nats

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        return gradients

    def state_out(self, after: State[Floats], before: State[Floats]) -> State[Floats]:
        return after

    # ---- the oracle between them ----------------------------------------------------------------------

    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        result = super().forward(
            self.weights_in(weights), self.symbols_in(symbols), self.state_in(state), masks
        )
        return Result(self.logits_out(result.logits), self.state_out(result.state, state))

    def nats(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> tuple[Floats, State[Floats]]:
        nats, after = super().nats(*self._changed_inputs(weights, symbols, targets, state), masks)
        return self.nats_out(nats), self.state_out(after, state)

    def step(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Step:
        right = super().step(*self._changed_inputs(weights, symbols, targets, state), masks)
        return Step(
            self.gradients_out(right.gradients, symbols),
            self.nats_out(right.nats),
            self.state_out(right.state, state),
        )

    def _changed_inputs(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats]
    ) -> tuple[Arrays, Ints, Ints, State[Floats]]:
        return (
            self.weights_in(weights),
            self.symbols_in(symbols),
            self.targets_in(targets, symbols),
            self.state_in(state),
        )
