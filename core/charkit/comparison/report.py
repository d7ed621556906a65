"""What a comparison found: the content of ``report.json``. Frozen, versioned, and documented field by field.

Losses are in nats per symbol, times in seconds, memory in bytes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from charkit.config import RunConfig

SCHEMA_VERSION = 1


class Part(BaseModel):
    """A piece of the report: frozen, and closed to fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Round(Part):
    """One turn of one variant."""

    steps: int = Field(description="training steps of this turn that were timed")
    seconds: float = Field(description="their time")
    other_processors: float | None = Field(
        None, description="processors that other programs kept busy meanwhile, on average"
    )
    characters_per_second: float | None = Field(description="training speed; none where nothing was timed")
    sampling_characters_per_second: float | None = Field(description="speed of one sampled stream")


class Validation(Part):
    """The loss on the validation split after some training."""

    step: int
    loss: float
    elapsed_seconds: float = Field(description="import, first step and training until then; no validation")


class Outcome(Part):
    """What came of one variant."""

    label: str = Field(description="its name in this report, unique")
    backend: str = Field(description="the backend's name, or the framework of own layers")
    kind: Literal["backend", "own layers"] = Field(description="charkit's backend, or a framework's own way")
    precision: str
    decides: bool = Field(description="whether a gap to this variant decides the verdict")
    status: Literal["done", "partial", "failed"]
    reason: str = Field("", description="why it is not done, in one line")
    python: str = Field("", description="the interpreter, where one of another environment was named")
    device: str = ""
    threads: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    notices: tuple[str, ...] = ()
    import_seconds: float | None = Field(None, description="from the start of its process to a model")
    first_step_seconds: float | None = Field(None, description="the first step, compiling included")
    losses: tuple[float, ...] = Field((), description="of each step, as long as they were finite")
    not_finite_at: int | None = Field(
        None, description="the step whose loss was not finite, if there was one"
    )
    gradient_norms: tuple[float, ...] = Field((), description="of each step, before clipping")
    validations: tuple[Validation, ...] = ()
    rounds: tuple[Round, ...] = ()
    peak_memory_bytes: int | None = None
    device_memory_bytes: int | None = None
    sample: str = ""
    sample_step: int | None = Field(None, description="the step after which the sample was drawn")


class Pair(Part):
    """Two variants of one precision beside each other."""

    first: str
    second: str
    steps: int = Field(description="steps that both have made")
    largest_loss_difference: float
    mean_loss_difference: float
    largest_norm_difference: float | None = Field(description="relative to the larger norm")
    weights_difference: float | None = Field(
        description="at the end: max|difference| / max|weight|, worst array"
    )
    equal_characters: int | None = Field(description="equal sampled characters, from the beginning, of 500")
    bound: float | None = Field(
        description="what the largest loss difference may be; none: it decides nothing"
    )
    agrees: bool | None = Field(description="whether it is within the bound")


class Finding(Part):
    """Where a variant left the others."""

    variant: str
    reference: str
    differs_from_step: int = Field(description="the first step whose loss differs beyond the bound")
    by_nats: float = Field(description="the largest difference of a loss; infinite where one is not finite")
    step: int | None = Field(
        None, description="the first step whose own arithmetic differs from the oracle's"
    )
    array: str = Field("", description="the first array of that step that differs from the float64 oracle")
    expected: str = ""
    got: str = ""
    look_at: str = Field("", description="the recognised mistake, if there is one, and where it is made")


class Machine(Part):
    """Where it ran."""

    processor: str
    cores: int
    memory_bytes: int | None
    system: str
    python: str


class Text(Part):
    """What was trained on."""

    name: str
    sha256: str
    symbols: int
    vocabulary_size: int


class Report(Part):
    """A whole comparison."""

    schema_version: int = SCHEMA_VERSION
    charkit: str
    created: str
    command: str
    partial: bool = Field(description="whether it was interrupted before its end")
    agree: bool = Field(description="whether no pair of exact precision differs beyond the bound")
    verdict: str
    text: Text
    machine: Machine
    config: RunConfig
    start: str = Field(
        "", description="the run that it started from, and its step; empty: from initial weights"
    )
    first_step: int = Field(description="the number of the first step")
    steps: int = Field(description="steps that were asked of each variant")
    planned_rounds: int
    threads: int
    bounds: dict[str, float] = Field(description="by precision")
    sample_seed: int
    variants: tuple[Outcome, ...]
    pairs: tuple[Pair, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
