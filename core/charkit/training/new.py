"""A new run. All that can be wrong is checked before anything is made, so that bad input leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charkit.backend import Array
from charkit.backend_choice import BackendChoice
from charkit.config import DataConfig, ModelConfig, RunConfig, build
from charkit.errors import (
    ConfigurationError,
    RunError,
    UndecodableError,
    UnknownSymbolsError,
    VocabularySizeError,
    counted,
)
from charkit.events import EventHandler
from charkit.plugins.failures import backend_errors
from charkit.recipe import Recipe
from charkit.runs.checkpoint_content import Checkpoint, TrainingProgress
from charkit.runs.config_file import TEXT
from charkit.runs.creation import reserved
from charkit.runs.folder_files import Existing
from charkit.runs.run import Run
from charkit.settings import Settings, merge
from charkit.text.corpus import Corpus, open_corpus, open_string, training_size
from charkit.text.locations import absolute, is_url, recorded
from charkit.text.sources import with_reading_of_prepared
from charkit.text.vocabulary import Vocabulary
from charkit.training.interrupts import StopRequest
from charkit.training.memory_estimate import with_needed_memory
from charkit.training.patience import refuse_idle_patience
from charkit.training.recipe_settings import check_settings, configure, without_effect
from charkit.training.session import (
    build_model,
    create_backend,
    reading_progress,
    start_session,
    training_batches,
)
from charkit.training.trainer import Trainer
from charkit.training.workers import ALONE, Workers, computation
from charkit.weights import initial_weights

#: A text of fewer symbols is memorized, whatever the settings.
_SHORT_TEXT_SYMBOLS = 1000
#: From a text of fewer, a model learns little but its own pieces.
_LEAST_USEFUL_SYMBOLS = 100


@contextmanager
def new_run(
    settings: Mapping[str, Mapping[str, Any]],
    recipe: Recipe,
    choice: BackendChoice,
    on_event: EventHandler,
    *,
    string: str | None = None,
    path: Path | None = None,
    init_from: Path | None = None,
    keep_dropout: bool = True,
    extend_vocabulary: bool = False,
    overwrite: bool = False,
    workers: Workers = ALONE,
    stop_request: StopRequest | None = None,
) -> Iterator[Trainer]:
    """Makes a new run directory and yields its trainer, holding the run's lock.

    ``settings`` are what was asked for; the rest is the recipe's, but the shape is that of the run in ``init_from``, as
    is the dropout with ``keep_dropout``. A text that is given as a ``string`` is kept in the run directory.

    Raises CharkitError, with nothing left behind, for anything that can't be done.
    """
    _check_arguments(path, init_from, extend_vocabulary, overwrite)
    source = None if init_from is None else _SourceRun.open(init_from, keep_dropout)
    asked = settings
    settings = workers.settings(_settings_of_text(settings, recipe, string, source), recipe.settings)
    requested = check_settings(recipe, settings)
    with ExitStack() as stack:
        existing: Existing = "refuse" if path is None else stack.enter_context(reserved(path, overwrite))
        if path is not None and string is None:
            _refuse_text_inside(path, requested.data)
        backend = create_backend(
            workers.choice(choice), requested.model, requested.optimizer, requested.training.precision
        )
        stack.enter_context(backend_errors(backend))
        try:
            corpus = stack.enter_context(_open(requested.data, string, source, extend_vocabulary, on_event))
        except VocabularySizeError as error:
            symbols = training_size(error.text_symbols, requested.data)
            raise with_needed_memory(error, configure(recipe, settings, symbols, error.size)[0]) from error
        config, chosen = configure(recipe, settings, corpus.split("train")[1], corpus.vocabulary.size)
        refuse_idle_patience(settings, corpus, is_new=True)
        batches = training_batches(corpus, config.data, config.training.seed)
        if string is None:
            config = _with_absolute_paths(config)
        weights = initial_weights(config.model, config.training.seed, config.training.initialization)
        if source is not None:
            weights = source.extended_weights(weights)
        model = build_model(config, config.optimizer, backend, weights)
        computing = stack.enter_context(computation(workers, config, model, on_event, stop_request))
        progress = TrainingProgress(step=0, optimizer=config.optimizer, training=config.training)
        content = (config, corpus.vocabulary, corpus.sha256, Checkpoint(model.snapshot(), progress))
        if path is None:
            run = Run.create_next(corpus.name, *content, string=string, hold=stack)
        else:
            run = Run.create_reserved(path, existing, *content, string=string, hold=stack)
        del content, weights  # this frame lives as long as training does
        notices = (*corpus.notices, *_unrecorded(requested.data), *chosen, *without_effect(asked, config))
        notices += source.notices(corpus.vocabulary, asked) if source else _of_short_text(corpus)
        yield start_session(run, model, corpus, batches, progress, on_event, notices, computing)


def _of_short_text(corpus: Corpus) -> tuple[str, ...]:
    """A line if there is too little text to learn anything but the text itself."""
    symbols = corpus.split("train")[1]
    if symbols >= _SHORT_TEXT_SYMBOLS:
        return ()
    length = f"the text is short ({counted(symbols, 'symbol')} to train on)"
    if symbols < _LEAST_USEFUL_SYMBOLS:
        return (
            f"{length}, too short for a useful model: samples will repeat pieces of it; give at least a thousand "
            "characters, or better, 100,000",
        )
    return (
        f"{length}, so the model will memorize it; to learn words, a model needs about 100,000 characters",
    )


def _check_arguments(
    path: Path | None, init_from: Path | None, extend_vocabulary: bool, overwrite: bool
) -> None:
    """Raises ConfigurationError for an argument that needs another one."""
    if extend_vocabulary and init_from is None:
        raise ConfigurationError(
            "`extend_vocabulary` adds to the vocabulary of a run; name that run with `init_from=RUN`"
        )
    if overwrite and path is None:
        raise ConfigurationError("`overwrite` replaces the run that `run` names; give `run=DIR` too")


def _settings_of_text(
    settings: Mapping[str, Mapping[str, Any]], recipe: Recipe, string: str | None, source: _SourceRun | None
) -> Settings:
    """The settings with what the text decides: a string, a prepared text, or the run that a new one starts from."""
    if string is not None:
        settings = _with_own_text(settings)
    settings = settings if source is None else source.settings(settings)
    return with_reading_of_prepared(settings, recipe.settings, starts_from_run=source is not None)


def _with_own_text(settings: Mapping[str, Mapping[str, Any]]) -> Settings:
    """The settings of a run that holds its text, in UTF-8. Raises ConfigurationError for those about files."""
    for key in ("text", "glob", "encoding"):
        if key in settings.get("data", {}):
            raise ConfigurationError(
                f"`string` is the text itself, and `{key}` is for files; give only one of them"
            )
    return merge(settings, {"data": {"text": (TEXT,), "encoding": "utf-8"}})


def _refuse_text_inside(path: Path, data: DataConfig) -> None:
    """Raises RunError where the text is in the run that would be replaced, and would go with it."""
    for text in data.text:
        if not is_url(text) and Path(text).resolve().is_relative_to(path.resolve()):
            raise RunError(
                f"the text {text!r} is in {str(path)!r}, which would be replaced; move the text elsewhere, or choose "
                "another `run`"
            )


def _with_absolute_paths(config: RunConfig) -> RunConfig:
    """The configuration as it is recorded: with absolute paths of its text, so that a run resumes from any folder."""
    paths = tuple(map(absolute, config.data.text))
    return config.model_copy(update={"data": config.data.model_copy(update={"text": paths})})


def _unrecorded(data: DataConfig) -> tuple[str, ...]:
    """A notice where a record of the text can't hold all that was given."""
    if all(len(recorded(text)) == len(text) for text in data.text):  # a scheme may have been in capitals
        return ()
    return (
        "the query (after ?) and any password in the text's URL are not recorded; to resume the run, give the "
        "whole URL again",
    )


@dataclass(frozen=True)
class _SourceRun:
    """The run whose weights a new one starts from; ``keep_dropout``: its dropout comes before the recipe's."""

    run: Run
    weights: dict[str, Array]
    description: str
    skipped: tuple[str, ...]
    keep_dropout: bool

    @classmethod
    def open(cls, path: Path, keep_dropout: bool) -> _SourceRun:
        """Opens the run and reads the weights of its best checkpoint. Raises RunError."""
        run = Run.open(path)
        checkpoint, folder, skipped = run.checkpoint("best")
        description = f"{path} at step {int(folder.name):,}"
        return cls(run, checkpoint.snapshot.weights, description, skipped, keep_dropout)

    def settings(self, settings: Mapping[str, Mapping[str, Any]]) -> Settings:
        """The settings with this run's shape and kind of vocabulary, which may not be set otherwise.

        Raises RunError for another one, and ConfigurationError for what can't be one.
        """
        model = self.run.config.model
        fixed = {"lstm_size": model.lstm_size, "num_layers": model.num_layers}
        asked = {key: value for key, value in settings.get("model", {}).items() if key in fixed}
        for key, value in asked.items():
            if getattr(build(ModelConfig, {**model.model_dump(), key: value}), key) != fixed[key]:
                raise RunError(
                    f"{str(self.run.path)!r} has `{key}` {fixed[key]}; `init_from` can't change it to {value}; leave "
                    f"`{key}` out"
                )
        kind = self.run.vocabulary.kind
        if str(settings.get("data", {}).get("vocabulary", kind)) != kind:
            raise RunError(
                f"{str(self.run.path)!r} has a {kind} vocabulary; `init_from` can't change it; leave `vocabulary` out"
            )
        own = {"model": {"dropout": model.dropout}} if self.keep_dropout else {}
        return merge(own, settings, {"model": fixed, "data": {"vocabulary": kind}})

    def extended_weights(self, initial: Mapping[str, Array]) -> dict[str, Array]:
        """This run's weights; what belongs to added symbols keeps its initial values."""
        extended = {}
        for name, fresh in initial.items():
            known = self.weights[name]
            extended[name] = np.array(fresh)
            extended[name][tuple(slice(size) for size in known.shape)] = known
        return extended

    def notices(self, vocabulary: Vocabulary, asked: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
        """Where the weights come from, why not from the best checkpoint, and which symbols the vocabulary adds.

        Where it adds none, also which settings that were asked for have no effect.
        """
        added = vocabulary.symbols[self.run.vocabulary.size :]
        origin = (*self.skipped, f"weights from {self.description}")
        if not added:
            return (*origin, *self._without_effect(asked))
        shown = " ".join(repr(symbol) for symbol in added[:40]) + (" ..." if len(added) > 40 else "")
        return (*origin, f"added to the vocabulary: {counted(len(added), 'symbol')}, {shown}")

    def _without_effect(self, asked: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        settings = {"initialization": "training", "max_vocabulary": "data"}
        for key, section in settings.items():
            if key in asked.get(section, {}):
                yield f"`{key}` has no effect: the weights and the vocabulary are those of {str(self.run.path)!r}"


def _open(
    data: DataConfig, string: str | None, source: _SourceRun | None, extend: bool, on_event: EventHandler
) -> Corpus:
    vocabulary = None if source is None else source.run.vocabulary
    progress = reading_progress(on_event)
    try:
        if string is not None:
            return open_string(string, data, vocabulary, extend=extend, progress=progress)
        return open_corpus(data, vocabulary, extend=extend, progress=progress)
    except UndecodableError as error:
        if source is not None:  # whose vocabulary is that of the new run
            raise UndecodableError(error.problem, "name its encoding with `encoding`") from error
        if string is not None:
            raise UndecodableError(error.problem, "read it as bytes with `vocabulary='byte'`") from error
        raise
    except UnknownSymbolsError as error:
        hint = "`extend_vocabulary=True` adds them to the new run's vocabulary"
        raise UnknownSymbolsError(error.found, hint) from error
