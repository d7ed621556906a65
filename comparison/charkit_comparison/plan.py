"""What a comparison runs: the variants that take part, and the settings that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charkit.config import RunConfig

#: The precisions that decide a verdict. bfloat16 rounds too coarsely: it is shown only.
DECIDING_PRECISIONS = ("float32", "float64")
#: Steps drawn at random that are examined, besides those that are always examined.
EXAMINED_AT_RANDOM = 4
#: Sampled characters that are compared.
SAMPLE_LENGTH = 500


@dataclass(frozen=True)
class Variant:
    """A backend in one precision, or a framework's own layers, in some environment."""

    label: str
    backend: str
    precision: str = "float32"
    device: str | None = None
    python: str | None = None  # the interpreter of another environment
    module: str | None = None  # the module of a framework's own layers

    @property
    def decides(self) -> bool:
        """Whether the verdict depends on this variant."""
        return self.module is None and self.precision in DECIDING_PRECISIONS


@dataclass(frozen=True)
class Plan:
    """The settings that are the same for every variant."""

    config: RunConfig
    steps: int
    rounds: int
    threads: int
    folder: Path  # a temporary folder, for arrays that go from process to process
    bound: float | None = None  # the largest difference of two losses, in nats, that the user allows
    examined_at_random: int = EXAMINED_AT_RANDOM
    turn_limit_seconds: float = 600.0
    sample_seed: int = 0
    command: str = ""

    def turns(self) -> list[int]:
        """The steps of each round; their sum is ``steps``."""
        share, rest = divmod(self.steps, self.rounds)
        return [share + (number < rest) for number in range(self.rounds)]

    def scratch_file(self, name: str) -> Path:
        """The path of a file of arrays in the temporary folder."""
        return self.folder / f"{name}.safetensors"
