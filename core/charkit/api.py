"""The Python interface to training. The command line calls the same function, so both can do the same.

What a run can do once it is trained is in ``charkit.loaded_run``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from charkit.argument_checks import as_path, check_booleans, integer
from charkit.backend_choice import BackendChoice
from charkit.config import SECTION_OF, Initialization, Precision
from charkit.durations import MOST_STEPS
from charkit.errors import ConfigurationError, shown
from charkit.events import Ended, EventHandler
from charkit.keyword_suggestions import suggesting_keywords
from charkit.notebook import default_event_handler
from charkit.observers.observers import Observers, chosen_names
from charkit.recipe import DEFAULT_RECIPE, find_recipe
from charkit.scored_text import TextPaths, text_paths
from charkit.settings import checked_settings, merge, settings_from_keywords, without_none
from charkit.training.interrupts import StopRequest, announcing_stop, catching_signals, stoppable
from charkit.training.new import new_run
from charkit.training.result import TrainResult
from charkit.training.resume import resumed_run
from charkit.training.session import backend_of_last_session
from charkit.training.workers import Workers


# Long, since each setting is a parameter with a line of documentation: that is what editors and help() show.
@suggesting_keywords
def train(
    text: TextPaths | None = None,
    *,
    string: str | None = None,
    run: str | PathLike[str] | None = None,
    resume: str | PathLike[str] | None = None,
    init_from: str | PathLike[str] | None = None,
    extend_vocabulary: bool = False,
    overwrite: bool = False,
    recipe: str | PathLike[str] | None = None,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    engine: str | None = None,
    address: str | None = None,
    mixed_machines: bool = False,
    stop_at: int | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    on_event: EventHandler | None = None,
    track: str | Sequence[str] = (),
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
    epochs: int | None = None,
    max_steps: int | None = None,
    time_limit: str | None = None,
    schedule: Literal["constant", "cosine", "linear", "cooldown"] | None = None,
    cooldown_share: float | None = None,
    warmup_steps: int | None = None,
    learning_rate_floor: float | None = None,
    reset_probability: float | None = None,
    eval_every: int | None = None,
    patience: int | None = None,
    save_every: int | str | None = None,
    on_save_error: Literal["stop", "continue"] | None = None,
    log_every: int | None = None,
    sample_length: int | None = None,
    precision: Precision | None = None,
    seed: int | None = None,
    initialization: Initialization | None = None,
) -> TrainResult:
    """Trains a new run, or continues one, and returns how it ended.

        result = charkit.train("anna.txt", lstm_size=256, epochs=5)
        result = charkit.train("anna.txt", recipe="anna-20-epochs")
        result = charkit.train(resume=result.run, epochs=30, backend="torch")

    Ctrl-C, SIGTERM and SIGHUP save first and return (see ``TrainResult.stopped_because``); a second Ctrl-C raises
    KeyboardInterrupt immediately. If ``on_event`` raises ``charkit.StopTraining``, training saves and returns, too; any
    other exception ends it without a save and propagates.

    What to train:

    - ``text``: a text file, a directory, or several of them, read in the order of their paths; the default is Python's
      language reference
    - ``string``: the text itself, instead of files; the run stores it in its directory (``text.txt``), so that it can
      be moved, evaluated and resumed like any other
    - ``run``: the new run's directory; by default ``runs/NAME-N``
    - ``resume``: a run to continue exactly where it stopped, on any backend
    - ``init_from``: a run whose weights and vocabulary the new run starts from, and, unless a recipe is named, its
      dropout
    - ``extend_vocabulary``: with ``init_from``, adds the symbols that only the new text has
    - ``overwrite``: whether to replace an existing run in ``run``

    Where to compute, and what to report:

    - ``backend``, ``device``, ``threads``: an installed backend, by default the recipe's or NumPy, or, on resuming,
      that of the last session if it is installed; by default its first device, and all threads
    - ``workers``: the number of workers that compute the gradients, each with one thread unless ``threads`` is given.
      With the same ``shards``, the run is bit-for-bit the same for any number of workers. By default, a new run with
      workers has 8 shards, or 16 for 9 to 16 workers, and so on. One machine runs at most four workers per processor,
      or 64 workers if that is more
    - ``engine``, ``address``: what runs the workers, and its address; the default is "local", processes on this machine
    - ``stop_at``: ends this session after that step of the run, with a validation and a save. The run's schedule
      doesn't change: a run resumed from there gets the same weights as one that never stopped
    - ``mixed_machines``: whether to accept workers whose processors or versions differ from this process's, which may
      change the last bits of the result; the run records it
    - ``on_event``: called with every event of training (``charkit.events``); in a notebook, it replaces the progress
      display, and ``on_event=lambda event: None`` shows nothing
    - ``track``: observers that record the run, such as "csv", "tensorboard", "mlflow" and "wandb", or that of an
      installed plugin. They run in separate processes; one that fails is reported and dropped
    - ``recipe``: the source of settings that are not given: a name in ``charkit.recipes()``, or the path of a TOML
      file. The default, "auto", derives them from the length of the text, and from ``time_limit`` if given; "classic"
      has the defaults of ``CharRNN``. A resumed run takes no recipe
    - ``settings``: the settings below by section, as ``{"model": {"lstm_size": 256}}``; a keyword overrides them. Here,
      ``epochs`` or ``max_steps`` may be None beside a value for the other, for a run without that limit

    The settings, with their values in the recipe "classic". A setting that is None is not set: a new run takes the
    recipe's value, a resumed run keeps its own. A length, in ``epochs`` or in ``max_steps``, replaces the recipe's. On
    resuming, the model, the data, the seed and the initialization can't be changed.

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
    - ``epochs`` (20): passes over the training split
    - ``max_steps`` (None): stop after this many steps in total
    - ``time_limit`` (None): end this session, and any decaying schedule, within this time, such as 90s, 10m or 2h
    - ``schedule`` ('constant'): learning-rate schedule
    - ``cooldown_share`` (0.2): fraction of the cooldown schedule during which the learning rate falls
    - ``warmup_steps`` (0): steps of linear warmup
    - ``learning_rate_floor`` (0.0): final learning rate of a decaying schedule
    - ``reset_probability`` (0.0): probability, per sequence and step, of resetting the state to zero
    - ``eval_every`` (None): steps between validations; default: the recipe's, or once per epoch
    - ``patience`` (None): stop after this many validations without improvement
    - ``save_every`` ('10m'): steps or time between checkpoints, such as 500 or 10m
    - ``on_save_error`` ('stop'): stop if a save fails, e.g. on a full disk, or continue and retry at the next save
    - ``log_every`` (10): steps between progress reports
    - ``sample_length`` (200): symbols to sample at each validation; 0 for none
    - ``precision`` ('float32'): floating-point precision
    - ``seed`` (0): seed for every random number in the run
    - ``initialization`` ('orthogonal'): how weights are initialized

    Raises:

    - ConfigurationError: for a setting out of range, an unknown recipe, or parameters that exclude each other
    - TextError: for a text that is missing, empty, unreadable, not in its stated encoding, or too short
    - RunError: for a directory that is not a run, is damaged, exists already or is being trained
    - BackendError: for a backend that can't be used, or lacks a requested feature
    - ObserverError: for an observer that is unknown, lacks its library or can't be loaded
    - EngineError: for an engine that is unknown or can't be reached, or whose workers can't be used together
    - NotFiniteError: when the loss or the gradient is no longer finite; the last checkpoint is kept
    - StorageError: when the disk is full
    - TerminatedError: for SIGTERM or SIGHUP before there is anything to save, and KeyboardInterrupt for Ctrl-C

    All but KeyboardInterrupt are subclasses of CharkitError. Invalid input is found before a run is created.
    """
    given = {name: value for name, value in locals().items() if name in SECTION_OF and value is not None}
    if text is not None:
        given["text"] = text_paths(text)
    chosen = without_none(merge(checked_settings(settings), settings_from_keywords(given)))
    check_booleans(overwrite=overwrite, extend_vocabulary=extend_vocabulary, mixed_machines=mixed_machines)
    count = None if workers is None else integer("`workers`", workers, 1)
    chosen_workers = Workers(count, engine, address, mixed_machines)
    chosen_workers.check()
    if stop_at is not None:
        integer("`stop_at`", stop_at, 1, MOST_STEPS)
    if on_event is not None and not callable(on_event):
        raise ConfigurationError(f"`on_event` must be a function of one event; given {shown(on_event)}")
    stop_request = StopRequest()
    handler = default_event_handler() if on_event is None else stoppable(on_event, stop_request)
    observers = Observers(chosen_names(track), handler)
    emit = announcing_stop(observers, stop_request)
    if resume is not None:
        if recipe is not None:
            raise ConfigurationError(
                "`resume` continues a run with its own settings; leave `recipe` out, and give only the settings "
                "that change"
            )
        if string is not None:
            raise ConfigurationError("`resume` continues a run on its own text; leave `string` out")
        if run is not None or init_from is not None or overwrite or extend_vocabulary:
            raise ConfigurationError(
                "`resume` continues an existing run and can't be combined with `run`, `init_from`, `overwrite` or "
                "`extend_vocabulary`"
            )
        resumed = as_path("`resume`", resume)
        choice = BackendChoice(
            backend_of_last_session(resumed) if backend is None else backend, device, threads
        )
        session = resumed_run(resumed, chosen, choice, emit, chosen_workers, stop_at, stop_request)
    else:
        found = find_recipe(DEFAULT_RECIPE if recipe is None else recipe)
        choice = BackendChoice((found.backend or "numpy") if backend is None else backend, device, threads)
        session = new_run(
            chosen,
            found,
            choice,
            emit,
            string=string,
            path=None if run is None else as_path("`run`", run),
            init_from=None if init_from is None else as_path("`init_from`", init_from),
            keep_dropout=recipe is None,
            extend_vocabulary=extend_vocabulary,
            overwrite=overwrite,
            workers=chosen_workers,
            stop_request=stop_request,
        )
    with observers, catching_signals(stop_request), session as trainer:
        result = trainer.run_until_stopped(stop_request, stop_at)
        emit(Ended(result.step, result.stopped_because))
    return result
