"""The Python interface of comparisons. The command line goes through the same ``ComparisonRequest``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from charkit.argument_checks import as_paths, check_booleans
from charkit.config import SECTION_OF, Precision
from charkit.errors import ConfigurationError, shown
from charkit.keyword_suggestions import suggesting_keywords
from charkit.notebook import default_progress
from charkit.settings import checked_settings, merge, settings_from_keywords
from charkit.text.reading_progress import ProgressCallback
from charkit_comparison.plan import EXAMINED_AT_RANDOM
from charkit_comparison.report import ComparisonReport
from charkit_comparison.request import ComparisonRequest, SourcePaths


# Long, since each setting is a parameter with a line of documentation: that is what editors and help() show.
@suggesting_keywords
def compare(
    source: SourcePaths | None = None,
    *,
    backends: Sequence[str] | None = None,
    max_steps: int = 300,
    rounds: int = 3,
    precisions: Sequence[Precision] | None = None,
    pythons: Mapping[str, str | PathLike[str]] | None = None,
    own_layers: bool = False,
    bound: float | None = None,
    examine: int = EXAMINED_AT_RANDOM,
    turn_limit: str = "10m",
    device: str | None = None,
    threads: int | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    progress: ProgressCallback | None = None,
    on_notice: Callable[[str], None] | None = None,
    lstm_size: int | None = None,
    num_layers: int | None = None,
    dropout: float | None = None,
    learning_rate: float | None = None,
    beta1: float | None = None,
    beta2: float | None = None,
    epsilon: float | None = None,
    grad_clip: float | None = None,
    weight_decay: float | None = None,
    glob: str | Sequence[str] | None = None,
    vocabulary: Literal["char", "byte"] | None = None,
    max_vocabulary: int | None = None,
    encoding: str | None = None,
    newlines: Literal["lf", "keep"] | None = None,
    validation_share: float | None = None,
    test_share: float | None = None,
    batch_size: int | None = None,
    num_steps: int | None = None,
    epoch_offset: Literal["fixed", "random"] | None = None,
    shards: int | None = None,
    seed: int | None = None,
) -> ComparisonReport:
    """Trains the same model on several backends, judges whether they agree, and measures their speed and memory.

        report = charkit.compare("anna.txt", backends=["numpy", "torch"], lstm_size=64)
        print(report.verdict)

    Ctrl-C or a termination signal ends it early, and the report then says that it is partial. A failing backend is not
    an error but a result in the report. ``charkit_comparison.write_report`` writes the report's files.

    What to compare:

    - ``source``: a text file, a directory, or several of them; or one run, which is then trained further with its own
      settings. The default is Python's language reference
    - ``backends``: names of installed backends; by default every usable one
    - ``precisions``: any of float32, float64 and bfloat16; by default the one in ``settings`` or of the run. bfloat16
      doesn't affect the verdict
    - ``pythons``: interpreters of other environments by variant name, which is a backend's name, a dash and a suffix:
      ``{"torch-old": "/envs/old/bin/python"}``
    - ``own_layers``: whether to train each framework's own layers too; they don't affect the verdict

    How to compare:

    - ``max_steps``: training steps of each variant
    - ``rounds``: number of rounds that the steps are divided into
    - ``bound``: the largest allowed difference between two losses, in nats, whatever causes it; by default none
    - ``examine``: steps drawn at random for the float64 reference to judge, in addition to those always judged
    - ``turn_limit``: time limit for each task in a variant's turn, such as training or validation: "90s" or "10m", say
    - ``device``, ``threads``: of every variant; by default a backend's first device, and all threads
    - ``progress``: called with the current task and the fraction of all work done
    - ``on_notice``: called with each notice before the work begins, such as which backends are left out
    - ``settings``: the settings below by section, as ``{"model": {"lstm_size": 256}}``; a keyword overrides them

    The settings of a new model, and their defaults:

    - ``lstm_size`` (128): hidden units per layer
    - ``num_layers`` (2): number of stacked LSTM layers
    - ``dropout`` (0.0): fraction of each layer's outputs set to zero during training
    - ``learning_rate`` (0.001): Adam's step size before the schedule is applied
    - ``beta1`` (0.9): decay rate of the running mean of the gradient
    - ``beta2`` (0.999): decay rate of the running mean of the squared gradient
    - ``epsilon`` (1e-08): added to the square root of the second moment
    - ``grad_clip`` (5.0): maximum global norm of the gradient; 0 turns clipping off
    - ``weight_decay`` (0.0): AdamW's decay of the weight matrices per step, scaled by the learning rate
    - ``glob`` ('*.txt'): pattern for the files to read in a directory, or several patterns
    - ``vocabulary`` ('char'): whether a symbol is a code point or a byte
    - ``max_vocabulary`` (30000): maximum number of distinct characters that the text may have, in char mode
    - ``encoding`` ('utf-8'): encoding of the text, in char mode
    - ``newlines`` ('lf'): in char mode, convert CRLF and CR to LF, or keep them
    - ``validation_share`` (0.05): fraction of the text held out for validation
    - ``test_share`` (0.05): fraction of the text held out for testing
    - ``batch_size`` (64): sequences trained in parallel
    - ``num_steps`` (50): symbols per sequence in one training step
    - ``epoch_offset`` ('fixed'): start each epoch at the beginning of the text, or at a random position
    - ``shards`` (1): number of parts that each batch is divided into; a power of two
    - ``seed`` (0): seed of every random number

    Raises:

    - ConfigurationError: for an argument out of range, or settings given for a run
    - TextError: for a text that is missing, unreadable or too short
    - RunError: for a run that is damaged, or whose text has changed
    - BackendError: for a backend that is unknown, or lacks something that a setting requires
    """
    keywords = {name: value for name, value in locals().items() if name in SETTINGS and value is not None}
    check_booleans(own_layers=own_layers)
    if source is not None:
        advice = "give the paths of one or more texts, or the path of a run"
        source = as_paths("`source`", source, if_empty="or leave `source` out", advice=advice)
    request = ComparisonRequest(
        source,
        merge(checked_settings(settings), settings_from_keywords(keywords)),
        backends=_names("backends", backends),
        precisions=_names("precisions", precisions),
        pythons=_checked_pythons(pythons),
        own_layers=own_layers,
        max_steps=max_steps,
        rounds=rounds,
        bound=bound,
        examine=examine,
        turn_limit=turn_limit,
        device=device,
        threads=threads,
    )
    return request.run(progress or default_progress(), on_notice)


#: The keywords of ``compare`` that are settings of the model, the optimizer and the text, and the seed.
SETTINGS = frozenset(
    key for key, section in SECTION_OF.items() if section in {"model", "optimizer", "data"} or key == "seed"
)


def _names(parameter: str, given: Any) -> Sequence[str]:
    """The names that were given, none for None. Raises ConfigurationError for an empty list, and for what is none."""
    if given is None or isinstance(given, str):  # a string is refused with the list that it should be
        return given or ()
    if not isinstance(given, Iterable):
        raise ConfigurationError(f"`{parameter}` must be a sequence of names; given {shown(given)}")
    names = tuple(given)
    if not names:
        raise ConfigurationError(
            f"`{parameter}` is empty; give one or more names, or leave `{parameter}` out"
        )
    return names


def _checked_pythons(given: Any) -> Mapping[str, Any]:
    """The interpreters by name. Raises ConfigurationError for anything but a mapping."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            "`pythons` must be a mapping of names to interpreters, such as {'torch-old': 'old/bin/python'}; given "
            f"{shown(given)}"
        )
    return given
