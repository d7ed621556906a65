"""What new and resumed runs share once they are known: the model, its batches, the session's record and its trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charkit import events
from charkit.backend import Array, Backend
from charkit.backend_choice import BackendChoice
from charkit.capabilities import required
from charkit.charrnn import CharRNN
from charkit.config import SECTIONS, DataConfig, ModelConfig, OptimizerConfig, RunConfig
from charkit.durations import duration_seconds
from charkit.errors import counted
from charkit.notices import notices_for
from charkit.plugins.discovery import installed
from charkit.plugins.supervision import crash_message
from charkit.runs.checkpoint_content import TrainingProgress
from charkit.runs.planned_end import planned_last_step
from charkit.runs.records import SESSIONS
from charkit.runs.run import Run
from charkit.runs.sessions import describe_session, mixed_before, session_differences
from charkit.text.batches import Batches
from charkit.text.corpus import Corpus
from charkit.text.locations import last_part
from charkit.text.reading_progress import ProgressCallback
from charkit.training.trainer import Trainer
from charkit.training.workers import Computation
from charkit.weights import parameter_count


def backend_of_last_session(path: Path) -> str:
    """The name of the backend that a run was last trained on; NumPy if that is not installed here.

    Raises RunError for a directory that is not a run, or whose sessions can't be read.
    """
    sessions = Run.open(path).records(SESSIONS)
    last = str(sessions[-1]["backend"]) if sessions else "numpy"
    return last if last in {plugin.name for plugin in installed()} else "numpy"


def create_backend(
    choice: BackendChoice, model: ModelConfig, optimizer: OptimizerConfig, precision: str
) -> Backend[Any]:
    """The chosen backend, ready to train with these settings. Raises BackendError, ConfigurationError."""
    return choice.create(precision, required(model=model, optimizer=optimizer))


def build_model(
    config: RunConfig, optimizer: OptimizerConfig, backend: Backend[Any], weights: Mapping[str, Array]
) -> CharRNN:
    """The model of a run with these canonical weights."""
    message = f"error: this process ended while backend {backend.name!r} was building the model"
    with crash_message(f"{message}; to find out where, run toolkit verify --backend {backend.name}"):
        return CharRNN.from_config(
            config.model,
            optimizer,
            backend,
            batch_size=config.data.batch_size,
            num_steps=config.data.num_steps,
            seed=config.training.seed,
            weights=weights,
        )


def training_batches(corpus: Corpus, data: DataConfig, seed: int) -> Batches:
    """The batches of the training split; ``seed`` is the run's. Raises TextError where it is too short for one."""
    start, stop = corpus.split("train")
    return Batches(
        corpus.symbols,
        data.batch_size,
        data.num_steps,
        start=start,
        stop=stop,
        offset_seed=seed if data.epoch_offset == "random" else None,
        release=corpus.release,
    )


def reading_progress(on_event: events.EventHandler) -> ProgressCallback:
    """Emits the progress of reading a text as events."""
    return lambda stage, fraction: on_event(events.Reading(stage, fraction))


def start_session(
    run: Run,
    model: CharRNN,
    corpus: Corpus,
    batches: Batches,
    progress: TrainingProgress,
    on_event: events.EventHandler,
    notices: tuple[str, ...],
    computation: Computation,
) -> Trainer:
    """Records the session, emits ``Started`` with the notices and more of its own, and makes the trainer."""
    backend, limit = model.backend, progress.training.time_limit
    session = describe_session(
        backend, step=progress.step, text_sha256=corpus.sha256, symbols=corpus.symbols.size
    )
    session |= computation.record()
    earlier = run.records(SESSIONS)
    difference = session_differences(earlier[-1], session) if earlier else None
    run.record(SESSIONS, session)
    notices += (*computation.notices(session["threads"]), *mixed_before(earlier))
    if batches.left_over:
        where, others = "at the end of", ""
        if run.config.data.epoch_offset == "random":
            where = "in"
            others = f", {'a different one' if batches.left_over == 1 else 'different ones'} in each epoch"
        are = ("doesn't", "is") if batches.left_over == 1 else ("don't", "are")
        left_over = f"{counted(batches.left_over, 'symbol')} {where} the training split"
        notices += (f"{left_over} {are[0]} fill a batch and {are[1]} skipped{others}",)
    on_event(
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
            total_steps=planned_last_step(progress, batches.count),
            step=progress.step,
            best_validation_loss=progress.best_validation_loss,
            notices=(*notices, *((difference,) if difference else ()), *notices_for(backend)),
            time_limit_seconds=None if limit is None else duration_seconds(limit),
            session=len(earlier) + 1,
            settings=_settings(run.config, progress),
            versions=session["versions"],
            files=corpus.files,
        )
    )
    return Trainer(run, model, corpus, batches, progress, on_event, computation.run_step)


def _settings(config: RunConfig, progress: TrainingProgress) -> dict[str, dict[str, Any]]:
    """The settings of a session by section; the text's files by name alone, since a path says whose they are."""
    current = config.model_copy(update={"optimizer": progress.optimizer, "training": progress.training})
    settings = current.model_dump(mode="json", include=set(SECTIONS))
    settings["data"]["text"] = [last_part(text) for text in config.data.text]
    return settings
