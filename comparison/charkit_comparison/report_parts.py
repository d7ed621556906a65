"""The parts of a report: frozen, and documented field by field.

Losses are in nats per symbol, times in seconds, memory in bytes. The descriptions are those of the JSON schema.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A piece of the report: frozen, and closed to fields that it does not know."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class Round(Part):
    """One turn of one variant."""

    steps: int = Field(description="training steps of this turn that were timed")
    seconds: float = Field(description="duration of those steps")
    other_processors: float | None = Field(
        None, description="processors that other programs kept busy during that time, on average"
    )
    characters_per_second: float | None = Field(description="training speed; null if nothing was timed")
    sampling_characters_per_second: float | None = Field(description="speed of one sampled stream")


class Validation(Part):
    """The loss on the validation split after some training."""

    step: int
    loss: float
    elapsed_seconds: float = Field(
        description="time spent on import, the first step and training up to this point, excluding validation"
    )


class Outcome(Part):
    """What came of one variant."""

    label: str = Field(description="its unique name in this report")
    backend: str = Field(
        description="the backend's name, or that of the framework whose own layers were used"
    )
    kind: Literal["backend", "own layers"] = Field(
        description="a charkit backend, or a framework's own layers"
    )
    precision: str
    decides: bool = Field(description="whether the verdict depends on this variant")
    status: Literal["done", "partial", "failed"]
    reason: str = Field("", description="why it did not finish, in one line")
    python: str = Field("", description="another environment's interpreter, if one was named")
    device: str = ""
    threads: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    notices: tuple[str, ...] = ()
    import_seconds: float | None = Field(
        None, description="from the start of its process until the model was ready"
    )
    first_step_seconds: float | None = Field(None, description="the first step, including compilation")
    losses: tuple[float, ...] = Field(
        (), description="the loss of each step, ending before the first that is not finite"
    )
    not_finite_at: int | None = Field(
        None, description="the step whose loss was not finite, if there was one"
    )
    gradient_norms: tuple[float, ...] = Field(
        (), description="the gradient norm of each step, before clipping"
    )
    validations: tuple[Validation, ...] = ()
    rounds: tuple[Round, ...] = ()
    peak_memory_bytes: int | None = Field(
        None, description="the peak resident memory until the end of its first round of training"
    )
    device_memory_bytes: int | None = Field(
        None, description="the peak memory on its device until the end of its first round of training"
    )
    sample: str = ""
    sample_step: int | None = Field(None, description="the step after which the sample was drawn")


class Pair(Part):
    """Two variants of one precision beside each other."""

    first: str
    second: str
    steps: int = Field(description="how many steps both have completed")
    largest_loss_difference: float
    mean_loss_difference: float
    largest_norm_difference: float | None = Field(description="relative to the larger norm")
    weights_difference: float | None = Field(
        description="at the end: max|difference| / max|weight| of the worst array"
    )
    equal_characters: int | None = Field(
        description="how many of the 500 sampled characters match before the first difference"
    )
    times_the_control: float | None = Field(
        description="the largest ratio, at any step, of the loss difference to what rounding alone has caused by then; "
        "null if not judged"
    )
    left_band_at: int | None = Field(
        description="the first step at which the losses differ by more than rounding explains"
    )
    agrees: bool | None = Field(description="whether the two agree; null if not part of the verdict")


class Control(Part):
    """What rounding alone does: the reference trained again from weights moved by one rounding unit."""

    precision: str
    variant: str = Field(description="the backend that trained it, which is the reference of its precision")
    rounding_unit: float = Field(description="by what fraction of its magnitude each weight was changed")
    trained: int = Field(
        description="how many controls were trained; more than one only if the first was inconclusive"
    )
    losses: tuple[float, ...] = Field(description="the loss of each step of the first control")
    largest_loss_difference: float = Field(
        description="between the losses of any control and the reference's own"
    )
    band: tuple[float, ...] = Field(
        description="how far rounding alone may have changed the loss by each step, in nats"
    )
    factor: float = Field(description="by how many times the band's width two curves may differ")


class Examination(Part):
    """Single training steps of one variant, held against the float64 oracle from the same arrays."""

    variant: str
    steps: tuple[int, ...] = Field(
        description="the steps that were examined, up to and including the first that is wrong"
    )
    matching: int = Field(description="how many of them match the float64 reference within the kit's bounds")
    largest_share_of_bound: float | None = Field(
        description="the largest difference in any array, as a share of the allowed difference"
    )
    reason: str = Field("", description="why the examination could not be completed")


class Finding(Part):
    """A wrong step, or curves that differ by more than rounding explains."""

    variant: str
    reference: str = Field(
        description="the variant that its losses are compared with; empty if the variant is itself the reference"
    )
    differs_from_step: int | None = Field(
        None, description="the first step at which the losses differ by more than rounding explains"
    )
    by_nats: float = Field(description="the largest difference in loss; infinite if any loss is not finite")
    step: int | None = Field(
        None,
        description="the first step whose own arithmetic differs from the float64 reference's; null if none was found",
    )
    array: str = Field("", description="the first array of that step that differs from the float64 reference")
    expected: str = ""
    got: str = ""
    look_at: str = Field(
        "",
        description="the recognized mistake, if any, and its location; without a wrong step, the result of the "
        "search for one",
    )


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
