"""What is to be compared: the model, the text, and who takes part."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from charkit.config import RunConfig

#: The largest difference of two losses, in nats, that counts as agreement; bfloat16 has none.
BOUNDS = {"float32": 1e-4, "float64": 1e-9}
#: Sampled characters that are compared.
SAMPLE_LENGTH = 500


@dataclass(frozen=True)
class Variant:
    """One who takes part: a backend in a precision, or a framework's own layers, in some environment."""

    label: str
    backend: str
    precision: str = "float32"
    device: str | None = None
    python: str | None = None  # the interpreter of another environment
    module: str | None = None  # the program of a framework's own layers

    @property
    def decides(self) -> bool:
        """Whether a gap to this variant decides the verdict."""
        return self.module is None and self.precision in BOUNDS


@dataclass(frozen=True)
class Plan:
    """The common part: everything but who computes."""

    config: RunConfig
    steps: int
    rounds: int
    threads: int
    folder: Path  # scratch, for arrays that go from process to process
    bounds: dict[str, float] = field(default_factory=lambda: dict(BOUNDS))
    turn_limit_seconds: float = 600.0
    sample_seed: int = 0
    command: str = ""

    def turns(self) -> list[int]:
        """The steps of each round; together they are ``steps``."""
        share, rest = divmod(self.steps, self.rounds)
        return [share + (number < rest) for number in range(self.rounds)]
