"""The NumPy engine, with something that happens at one training step."""

from collections.abc import Sequence
from typing import Any

from charkit.backend import FunctionT
from charkit_numpy.backend import NumpyBackend


class AtStepBackend(NumpyBackend):
    """Calls ``act`` with the arguments of the training step of that number, counted from 1."""

    step = 5

    def act(self, arguments: list[Any]) -> None:
        """What happens."""

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """Counts the calls of the core's function ``train``."""
        compiled = super().compile(function, consumes=consumes)
        if function.__name__ != "train":
            return compiled
        count = 0

        def counted(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            given = list(arguments)
            if count == self.step:
                self.act(given)
            return compiled(*given)

        return counted  # type: ignore[return-value] # it is called as the function was
