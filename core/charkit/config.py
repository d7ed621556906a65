"""The closed schema of a run: what may be set, to what, and the defaults.

Every key has a type, a range and a one-line description; the command line's help shows all three. ``charkit.settings``
reads the values. Configuration is data: nothing here names code, a module or a backend.
"""

# Over 300 lines: every setting, with its range and its description, is in this one file.

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from math import inf
from numbers import Integral
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from charkit.durations import MOST_STEPS, Duration, StepsOrDuration
from charkit.errors import ConfigurationError, counted, nearest, plain_bounds, shown, shown_name

#: The least epsilon of Adam. In float32, and in bfloat16, whose moments are float32 too, a square below 1.2e-38 is
#: rounded to zero, so (1 - beta2) * gradient**2 is lost for gradients up to 3.4e-18 where beta2 is 0.999, and up to
#: 4.4e-16 where it is the last float32 below 1. There a step is learning_rate * gradient / epsilon. From 1e-16 on it
#: stays within a few learning rates, as all steps of Adam do; with 1e-30 it is 1e12 of them, and with 1e-60, which
#: float32 rounds to zero, a weight whose gradients are zero becomes 0 / 0.
LEAST_EPSILON = 1e-16
#: Further than any training goes.
MOST_EPOCHS = 10**9
#: There are fewer characters.
MOST_SYMBOLS = 2_000_000


def _at_least_one(globs: tuple[str, ...]) -> tuple[str, ...]:
    if not globs:
        raise ValueError("give at least one pattern")
    return globs


#: Patterns; a single one is written as plain text, as it was when there could be no more. (If their least number were
#: a bound of the type, pydantic would report it too where the only pattern is empty.)
Globs = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    AfterValidator(_at_least_one),
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    PlainSerializer(lambda globs: globs[0] if len(globs) == 1 else list(globs), return_type=str | list[str]),
]
Initialization = Literal["orthogonal", "embedding", "uniform"]
Precision = Literal["float32", "float64", "bfloat16"]


class Section(BaseModel):
    """One part of the configuration: frozen, and closed to keys that it does not know."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if isinstance(value, bool):  # pydantic would read true as 1
            raise ValueError("true and false are not allowed here")
        # NumPy's integers, which pydantic takes for an int but not for a str
        return int(value) if isinstance(value, Integral) else value


class ModelConfig(Section):
    """The shape of the CharRNN. The defaults are those of the classic CharRNN."""

    vocabulary_size: int = Field(ge=2, description="number of distinct symbols; set by the text")
    lstm_size: int = Field(128, ge=1, le=65536, description="hidden units per layer")
    num_layers: int = Field(2, ge=1, le=64, description="number of stacked LSTM layers")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="fraction of each layer's outputs set to zero during training"
    )


class OptimizerConfig(Section):
    """Adam (Kingma and Ba, 2015) with a bound on the gradient's global norm, and decoupled weight decay."""

    learning_rate: float = Field(
        0.001, gt=0, le=100, description="Adam's step size before the schedule is applied"
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="decay rate of the running mean of the gradient")
    beta2: float = Field(
        0.999, ge=0, lt=1, description="decay rate of the running mean of the squared gradient"
    )
    epsilon: float = Field(
        1e-8, ge=LEAST_EPSILON, le=1, description="added to the square root of the second moment"
    )
    grad_clip: float = Field(
        5.0, ge=0, description="maximum global norm of the gradient; 0 turns clipping off"
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=100,
        description="AdamW's decay of the weight matrices per step, scaled by the learning rate",
    )

    @property
    def clip_threshold(self) -> float:
        """The bound on the global norm: ``grad_clip``, or infinity where clipping is off."""
        return self.grad_clip or inf


class DataConfig(Section):
    """The text, its encoding as symbols, and the shape of batches."""

    text: tuple[str, ...] = Field(
        (), description="text files or directories, read in sorted order; URLs; or a prepared text"
    )
    glob: Globs = Field(("*.txt",), description="pattern for the files to read in a directory")
    vocabulary: Literal["char", "byte"] = Field(
        "char", description="whether a symbol is a code point or a byte"
    )
    max_vocabulary: int = Field(
        30_000,
        ge=2,
        le=0x110000,
        description="maximum number of distinct characters that the text may have, in char mode",
    )
    encoding: str = Field("utf-8", min_length=1, description="encoding of the text, in char mode")
    newlines: Literal["lf", "keep"] = Field(
        "lf", description="in char mode, convert CRLF and CR to LF, or keep them"
    )
    validation_share: float = Field(
        0.05, ge=0, lt=1, description="fraction of the text held out for validation"
    )
    test_share: float = Field(0.05, ge=0, lt=1, description="fraction of the text held out for testing")
    batch_size: int = Field(64, ge=1, le=1_000_000, description="sequences trained in parallel")
    num_steps: int = Field(50, ge=1, le=1_000_000, description="symbols per sequence in one training step")
    epoch_offset: Literal["fixed", "random"] = Field(
        "fixed", description="start each epoch at the beginning of the text, or at a random position"
    )
    shards: int = Field(
        1, ge=1, le=1024, description="number of parts that each batch is divided into; a power of two"
    )

    @model_validator(mode="after")
    def _is_cut_evenly(self) -> Self:
        if self.shards & (self.shards - 1):
            raise ValueError(f"`shards` must be a power of two, such as 1, 2, 4 or 8; given {self.shards}")
        if self.batch_size % self.shards:
            raise ValueError(
                f"`shards` must divide `batch_size`; given {counted(self.shards, 'shard')} and batches of "
                f"{self.batch_size}; choose a `batch_size` that is a multiple of {self.shards}, or fewer `shards`"
            )
        return self

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError(
                f"`validation_share` {self.validation_share} and `test_share` {self.test_share} leave nothing to "
                "train on; their sum must be below 1"
            )
        return self


class TrainingConfig(Section):
    """How long to train, on which schedule, and when to validate, save and report."""

    epochs: int | None = Field(20, ge=1, le=MOST_EPOCHS, description="passes over the training split")
    max_steps: int | None = Field(
        None, ge=1, le=MOST_STEPS, description="stop after this many steps in total"
    )
    time_limit: Duration | None = Field(
        None,
        description="end this session, and any decaying schedule, within this time, such as 90s, 10m or 2h",
    )
    schedule: Literal["constant", "cosine", "linear", "cooldown"] = Field(
        "constant", description="learning-rate schedule"
    )
    cooldown_share: float = Field(
        0.2, gt=0, le=1, description="fraction of the cooldown schedule during which the learning rate falls"
    )
    warmup_steps: int = Field(0, ge=0, le=MOST_STEPS, description="steps of linear warmup")
    learning_rate_floor: float = Field(0.0, ge=0, description="final learning rate of a decaying schedule")
    reset_probability: float = Field(
        0.0, ge=0, le=1, description="probability, per sequence and step, of resetting the state to zero"
    )
    eval_every: int | None = Field(
        None,
        ge=1,
        le=MOST_STEPS,
        description="steps between validations; default: the recipe's, or once per epoch",
    )
    patience: int | None = Field(
        None, ge=1, le=MOST_STEPS, description="stop after this many validations without improvement"
    )
    save_every: StepsOrDuration = Field(
        "10m", description="steps or time between checkpoints, such as 500 or 10m"
    )
    on_save_error: Literal["stop", "continue"] = Field(
        "stop",
        description="stop if a save fails, e.g. on a full disk, or continue and retry at the next save",
    )
    log_every: int = Field(10, ge=1, le=MOST_STEPS, description="steps between progress reports")
    sample_length: int = Field(
        200, ge=0, le=100_000, description="symbols to sample at each validation; 0 for none"
    )
    precision: Precision = Field("float32", description="floating-point precision")
    seed: int = Field(0, ge=0, lt=2**63, description="seed for every random number in the run")
    initialization: Initialization = Field("orthogonal", description="how weights are initialized")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.epochs is None and self.max_steps is None:
            raise ValueError(
                "`epochs` and `max_steps` are both unset, so training would never end; set at least one"
            )
        return self


class SamplingConfig(Section):
    """How text is drawn from a model."""

    length: int = Field(500, ge=1, le=100_000_000, description="symbols to draw per sample")
    count: int = Field(1, ge=1, le=4096, description="number of samples, drawn in parallel")
    temperature: float = Field(
        1.0, ge=0, le=100, description="below 1 is more predictable, above 1 more varied; 0 is greedy"
    )
    top_k: int | None = Field(
        None, ge=1, le=MOST_SYMBOLS, description="draw only from the k most likely symbols"
    )
    top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="draw only from the smallest set of most likely symbols whose probabilities add up to at least p",
    )
    prime: str = Field("", description="text that each sample continues")
    stop: str | None = Field(
        None, min_length=1, description="end a sample once its new text contains this text"
    )
    unknown: Literal["error", "skip"] = Field(
        "error", description="what to do with symbols that the model has never seen"
    )
    seed: int | None = Field(None, ge=0, lt=2**63, description="random seed; default: a new one each time")


class RunConfig(Section):
    """The complete configuration of a run, as saved in its ``config.json``."""

    model: ModelConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    #: The recipe that filled in the settings not given; empty for an imported run and for one made by charkit 0.1.
    recipe: str = ""


#: The sections that may be set, by their names in TOML and in ``section.key=value``.
SECTIONS: dict[str, type[Section]] = {
    "model": ModelConfig,
    "optimizer": OptimizerConfig,
    "data": DataConfig,
    "training": TrainingConfig,
}
#: Keys that the text decides; they can't be set.
DERIVED = {("model", "vocabulary_size")}
#: The section of each key that may be set. Key names are unique across sections.
SECTION_OF = {
    key: section
    for section, schema in SECTIONS.items()
    for key in schema.model_fields
    if (section, key) not in DERIVED
}

SectionT = TypeVar("SectionT", bound=Section)

#: What a text must be to match a pattern, in words.
_PATTERNS = {
    r"^[0-9a-f]{64}$": "must be 64 lowercase hexadecimal digits",
    r"^[a-z0-9][a-z0-9.-]*$": "must consist of lowercase letters, digits, '.' and '-', and begin with a letter "
    "or a digit",
    r"^[^\n]+$": "must be one line of text",
}


def build(schema: type[SectionT], values: Mapping[str, Any]) -> SectionT:
    """Makes a section from plain values. Raises ConfigurationError, with the first that is wrong in one line."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        # Without pydantic's own error, which says the same in many lines.
        raise ConfigurationError(first_problem(error)) from None


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises ConfigurationError, naming the nearest, unless the value is one of the choices."""
    known = list(choices)
    if value not in known:
        raise ConfigurationError(
            f"unknown {name} {shown(value)}{nearest(value, known)}; choose from {_names(known)}"
        )


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: which key, what was given, and what is allowed."""
    first = error.errors(include_url=False)[0]
    place = _place(first["loc"])
    if first["type"] == "value_error":  # one of our own, a sentence
        colon, message = ":", first["msg"].removeprefix("Value error, ")
        if message.startswith("`"):  # it names its settings itself
            place = ""
        elif len(first["loc"]) == 1:
            place = f"`{place}`"
    else:
        colon, message = "", _in_our_words(first["type"], first["msg"], first.get("ctx", {}))
    others = error.error_count() - 1
    more = f" (and {counted(others, 'more problem')})" if others else ""
    given = "" if isinstance(first["input"], dict) else f"; given {shown(first['input'])}"
    if first["type"] == "literal_error":
        given += nearest(str(first["input"]), re.findall("'([^']+)'", first["ctx"]["expected"]))
    shown_place = place if place.startswith("`") else shown_name(place)
    name = f"{shown_place}{colon} " if place else ""  # a whole section has none
    return f"{name}{message}{given}{more}"


def _place(location: Sequence[str | int]) -> str:
    """Where a value is, such as ``rule.by_length[2].dropout``; what is wrong with an item is said of its whole list."""
    place = ""
    for part, after in zip(location, (*location, 0)[1:], strict=True):
        if isinstance(part, str):
            place += f".{part}" if place else part
        elif isinstance(after, str):
            place += f"[{part}]"
    return place


def _in_our_words(kind: str, message: str, bounds: Mapping[str, Any]) -> str:
    """What pydantic says of a value, as our own messages have it, to follow the value's name."""
    if kind == "missing":
        return "is missing"
    if kind in ("dict_type", "model_type"):
        return "must be a mapping of keys to values"
    if kind == "extra_forbidden":
        return "is not a known key"
    if kind == "int_from_float":
        return "must be an integer"
    if kind == "string_pattern_mismatch" and bounds["pattern"] in _PATTERNS:
        return _PATTERNS[bounds["pattern"]]
    message = plain_bounds(message).replace("Input should be", "must be").partition(", unable to")[0]
    for bound in bounds.values():
        if isinstance(bound, float) and bound:  # pydantic writes 1e-16 with all its zeros
            message = message.replace(f"{Decimal(str(bound)):f}", f"{bound:g}")
    return message


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
