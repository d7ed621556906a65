"""From what the user asked for to a trainer that is ready: for a new run, and for one to go on with.

Everything that can be wrong is checked before anything is made, so bad input leaves nothing behind.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charkit import plugins
from charkit.backend import Array, Backend
from charkit.capabilities import required
from charkit.charrnn import CharRNN
from charkit.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    Settings,
    TrainingConfig,
    build,
    merge,
    resolve,
)
from charkit.errors import ConfigurationError, RunError, UnknownSymbolsError
from charkit.plugins.declared import notices_of
from charkit.runs.checkpoint import Checkpoint, Progress, repair_best
from charkit.runs.run import SESSIONS, Run, check_free, locked
from charkit.runs.sessions import describe_session, session_differences
from charkit.text.batches import Batches
from charkit.text.corpus import Corpus, open_corpus
from charkit.text.vocabulary import Vocabulary
from charkit.training import events
from charkit.training.trainer import Listener, Trainer, total_steps
from charkit.weights import initial_weights, parameter_count


@dataclass(frozen=True)
class Where:
    """The caller's choice of engine, which no run ever makes, and the command that is recorded."""

    backend: str
    device: str | None
    threads: int | None
    command: str

    def create(self, model: ModelConfig, optimizer: OptimizerConfig, precision: str) -> Backend[Any]:
        """Makes the backend ready to train with these settings. Raises BackendError."""
        return plugins.create(
            self.backend,
            precision=precision,
            device=self.device,
            threads=self.threads,
            required=required(model=model, optimizer=optimizer),
        )


@contextmanager
def new_run(
    settings: Mapping[str, Mapping[str, Any]],
    where: Where,
    tell: Listener,
    *,
    path: Path | None = None,
    init_from: Path | None = None,
    extend_vocabulary: bool = False,
    overwrite: bool = False,
) -> Iterator[Trainer]:
    """Makes a new run directory and yields its trainer, holding the run's lock."""
    base = None if init_from is None else _Base.read(init_from)
    if base is None and extend_vocabulary:
        raise ConfigurationError(
            "--extend-vocabulary adds to the vocabulary of a run; name it with --init-from RUN"
        )
    if overwrite and path is None:
        raise ConfigurationError("--overwrite replaces the run that --run names; give --run DIR too")
    settings = settings if base is None else base.settings(settings)
    asked = resolve(settings, vocabulary_size=2)  # the text decides the size; all else is checked now
    if path is not None:
        check_free(path, overwrite)
    backend = where.create(asked.model, asked.optimizer, asked.training.precision)
    with ExitStack() as stack:
        corpus = stack.enter_context(_open(asked.data, base, extend_vocabulary, tell))
        batches = _batches(corpus, asked.data)
        config = _complete(resolve(settings, corpus.vocabulary.size))
        weights = initial_weights(config.model, config.training.seed)
        if base is not None:
            weights = base.extend(weights)
        model = _model(config, config.optimizer, backend, weights)
        progress = Progress(step=0, optimizer=config.optimizer, training=config.training)
        first = Checkpoint(model.snapshot(), progress)
        made = (config, corpus.vocabulary, corpus.sha256, first)
        run = Run.create(path, *made, overwrite=overwrite) if path else Run.create_next(corpus.name, *made)
        stack.enter_context(locked(run.path))
        del first, weights  # this frame lives as long as training does
        notes = (*corpus.notes, *(base.notes(corpus.vocabulary) if base else ()))
        yield _trainer(run, model, corpus, batches, progress, where, tell, notes)


@contextmanager
def resumed_run(
    path: Path, settings: Mapping[str, Mapping[str, Any]], where: Where, tell: Listener
) -> Iterator[Trainer]:
    """Yields the trainer that goes on exactly where the run stands, holding the run's lock."""
    run = Run.open(path)
    _refuse_imported(run)
    with ExitStack() as stack:
        stack.enter_context(locked(path))
        checkpoint, _, notes = run.checkpoint("latest")
        repair_best(path, checkpoint.progress)
        _refuse_changes(run, settings)
        progress = _with_settings(checkpoint.progress, settings)
        backend = where.create(run.config.model, progress.optimizer, progress.training.precision)
        data = _data_for_resume(run, settings)
        corpus = stack.enter_context(_open_unchanged(run, data, tell))
        batches = _batches(corpus, data)
        _refuse_if_done(run, progress, batches.count)
        notes += _moved_schedule(checkpoint.progress, progress, batches.count)
        model = _model(run.config, progress.optimizer, backend, checkpoint.snapshot.weights)
        model.restore(checkpoint.snapshot)
        run.forget_after(progress.step)
        del checkpoint  # this frame lives as long as training does
        yield _trainer(run, model, corpus, batches, progress, where, tell, (*corpus.notes, *notes))


def _trainer(
    run: Run,
    model: CharRNN,
    corpus: Corpus,
    batches: Batches,
    progress: Progress,
    where: Where,
    tell: Listener,
    notes: tuple[str, ...],
) -> Trainer:
    """Records the session, tells that it starts, and makes its trainer."""
    backend = model.backend
    session = describe_session(backend, command=where.command, step=progress.step, text_sha256=corpus.sha256)
    earlier = run.records(SESSIONS)
    differs = session_differences(earlier[-1], session) if earlier else None
    run.record(SESSIONS, session)
    if batches.left_over:
        notes += (f"{batches.left_over:,} symbols of the training split fill no batch and are left out",)
    tell(
        events.Started(
            run=run.path,
            backend=backend.name,
            precision=backend.precision,
            device=backend.device,
            threads=session["threads"],
            parameters=parameter_count(run.config.model),
            vocabulary_size=run.config.model.vocabulary_size,
            training_symbols=corpus.split("train")[1],
            steps_per_epoch=batches.count,
            total_steps=total_steps(progress.training, batches.count),
            step=progress.step,
            best_validation_loss=progress.best_validation_loss,
            notes=(*notes, *((differs,) if differs else ()), *notices_of(backend)),
        )
    )
    return Trainer(run, model, corpus, batches, progress, tell)


def _model(
    config: RunConfig, optimizer: OptimizerConfig, backend: Backend[Any], weights: Mapping[str, Array]
) -> CharRNN:
    return CharRNN.from_config(
        config.model,
        optimizer,
        backend,
        batch_size=config.data.batch_size,
        num_steps=config.data.num_steps,
        seed=config.training.seed,
        weights=weights,
    )


def _batches(corpus: Corpus, data: DataConfig) -> Batches:
    start, stop = corpus.split("train")
    return Batches(
        corpus.symbols, data.batch_size, data.num_steps, start=start, stop=stop, release=corpus.release
    )


def _complete(config: RunConfig) -> RunConfig:
    """The configuration with absolute paths, so that a run resumes from any folder."""
    paths = tuple(str(Path(text).resolve()) for text in config.data.text)
    return config.model_copy(update={"data": config.data.model_copy(update={"text": paths})})


def _told(tell: Listener) -> Callable[[str, float], None]:
    return lambda stage, fraction: tell(events.Reading(stage, fraction))


# ---- starting from another run's weights -----------------------------------------------------------------


@dataclass(frozen=True)
class _Base:
    """The run whose weights a new one starts from."""

    run: Run
    weights: dict[str, Array]
    source: str

    @classmethod
    def read(cls, path: Path) -> _Base:
        run = Run.open(path)
        checkpoint, folder, _ = run.checkpoint("best")
        return cls(run, checkpoint.snapshot.weights, f"{path} at step {int(folder.name):,}")

    def settings(self, settings: Mapping[str, Mapping[str, Any]]) -> Settings:
        """The settings with this run's shape and kind of vocabulary, which may not be set otherwise."""
        model = self.run.config.model
        fixed = {"lstm_size": model.lstm_size, "num_layers": model.num_layers}
        for key, value in settings.get("model", {}).items():
            if key in fixed and str(value) != str(fixed[key]):
                raise RunError(
                    f"{self.run.path} has model.{key} {fixed[key]}, given {value}; its weights fit no other"
                )
        kind = self.run.vocabulary.kind
        if str(settings.get("data", {}).get("vocabulary", kind)) != kind:
            raise RunError(f"{self.run.path} has a {kind} vocabulary; its weights fit no other")
        dropout = {"dropout": model.dropout}
        return merge({"model": dropout}, settings, {"model": fixed, "data": {"vocabulary": kind}})

    def extend(self, initial: Mapping[str, Array]) -> dict[str, Array]:
        """This run's weights; what belongs to added symbols keeps its initial values."""
        extended = {}
        for name, fresh in initial.items():
            known = self.weights[name]
            extended[name] = np.array(fresh)
            extended[name][tuple(slice(size) for size in known.shape)] = known
        return extended

    def notes(self, vocabulary: Vocabulary) -> tuple[str, ...]:
        added = vocabulary.symbols[self.run.vocabulary.size :]
        told = (f"weights from {self.source}",)
        if not added:
            return told
        shown = " ".join(repr(symbol) for symbol in added[:40]) + (" ..." if len(added) > 40 else "")
        return (*told, f"added to the vocabulary: {len(added)} symbols, {shown}")


def _open(data: DataConfig, base: _Base | None, extend: bool, tell: Listener) -> Corpus:
    vocabulary = None if base is None else base.run.vocabulary
    try:
        return open_corpus(data, vocabulary, extend=extend, progress=_told(tell))
    except UnknownSymbolsError as error:
        raise UnknownSymbolsError(error.found, "--extend-vocabulary adds them to the new run") from error


# ---- going on with a run -----------------------------------------------------------------------------------


def _refuse_imported(run: Run) -> None:
    """Raises RunError for a run that never was trained here, so that there is no place to go on from."""
    if not run.text_sha256:
        raise RunError(
            f"{str(run.path)!r} was imported, so it has neither a text nor an optimizer's state to go on with; "
            f"start a new run from its weights: toolkit train TEXT --init-from {shlex.quote(str(run.path))}"
        )


def _refuse_changes(run: Run, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises RunError for a setting that would make it another run."""
    asked = {
        **{("model", key): value for key, value in settings.get("model", {}).items()},
        **{("data", key): value for key, value in settings.get("data", {}).items() if key != "text"},
        **{("training", key): value for key, value in settings.get("training", {}).items() if key == "seed"},
    }
    schemas: dict[str, type[ModelConfig | DataConfig | TrainingConfig]] = {
        "model": ModelConfig,
        "data": DataConfig,
        "training": TrainingConfig,
    }
    for (section, key), value in asked.items():
        had = getattr(run.config, section)
        wanted = getattr(build(schemas[section], {**had.model_dump(), key: value}), key)
        if wanted != getattr(had, key):
            raise RunError(
                f"{str(run.path)!r} has {section}.{key} {getattr(had, key)}, given {value}; a run is resumed as it "
                f"is; to change it, start a new run from its weights: --init-from {shlex.quote(str(run.path))}"
            )


def _with_settings(progress: Progress, settings: Mapping[str, Mapping[str, Any]]) -> Progress:
    """The run's settings with the caller's over them; a time limit was for the session that had it."""
    optimizer = {**progress.optimizer.model_dump(), **settings.get("optimizer", {})}
    training = {**progress.training.model_dump(), "time_limit": None, **settings.get("training", {})}
    return progress.model_copy(
        update={"optimizer": build(OptimizerConfig, optimizer), "training": build(TrainingConfig, training)}
    )


def _data_for_resume(run: Run, settings: Mapping[str, Mapping[str, Any]]) -> DataConfig:
    """The run's data, with the text where it is now if the caller names it."""
    text = settings.get("data", {}).get("text")
    return run.config.data if not text else run.config.data.model_copy(update={"text": tuple(text)})


def _open_unchanged(run: Run, data: DataConfig, tell: Listener) -> Corpus:
    changed = f"the text is not the one of {str(run.path)!r} (its SHA-256 was {run.text_sha256[:12]}..."
    advice = (
        f"; give that text, or start a new run from these weights: --init-from {shlex.quote(str(run.path))}"
    )
    try:
        corpus = open_corpus(data, run.vocabulary, progress=_told(tell))
    except UnknownSymbolsError as error:
        raise RunError(f"{changed}; it has other symbols){advice}") from error
    if corpus.sha256 != run.text_sha256:
        corpus.close()
        raise RunError(f"{changed}, this one's is {corpus.sha256[:12]}...){advice}")
    return corpus


def _moved_schedule(before: Progress, now: Progress, steps_per_epoch: int) -> tuple[str, ...]:
    """Tells that the cosine's end has moved, so that the rates to come are not those that were planned."""
    old, new = (total_steps(progress.training, steps_per_epoch) for progress in (before, now))
    if now.training.schedule != "cosine" or old == new:
        return ()
    return (
        f"the cosine schedule now ends at step {new:,} (before: {old:,}), so its learning rates have changed",
    )


def _refuse_if_done(run: Run, progress: Progress, steps_per_epoch: int) -> None:
    last = total_steps(progress.training, steps_per_epoch)
    if progress.step < last or progress.validation_due:
        return
    training = progress.training
    by_steps = training.max_steps is not None and last == training.max_steps
    limit = f"--max-steps {training.max_steps}" if by_steps else f"--epochs {training.epochs}"
    raise ConfigurationError(
        f"{str(run.path)!r} is at step {progress.step:,}, the end of its {limit}; give more to go on"
    )
