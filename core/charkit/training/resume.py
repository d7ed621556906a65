"""Resuming a run exactly where it stopped. Whatever is refused is refused before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from operator import eq
from pathlib import Path
from typing import Any

from charkit.backend_choice import BackendChoice
from charkit.config import DERIVED, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig, build
from charkit.durations import duration_seconds
from charkit.errors import ConfigurationError, RunError, TextError
from charkit.events import EventHandler
from charkit.plugins.failures import backend_errors
from charkit.runs.best_checkpoint import with_intact_best
from charkit.runs.checkpoint_content import TrainingProgress
from charkit.runs.debris import remove_left_over_files, remove_left_over_runs
from charkit.runs.lock import locked
from charkit.runs.planned_end import planned_last_step, total_steps
from charkit.runs.pruning import restore_replaced
from charkit.runs.run import Run
from charkit.settings import check_key, check_section
from charkit.text.corpus import Corpus
from charkit.text.prepared_manifest import same_encoding
from charkit.training.interrupts import StopRequest
from charkit.training.patience import refuse_idle_patience
from charkit.training.schedule import plan_until, replanned
from charkit.training.session import (
    build_model,
    create_backend,
    reading_progress,
    start_session,
    training_batches,
)
from charkit.training.trainer import Trainer
from charkit.training.workers import ALONE, Workers, computation


class FinishedRunError(ConfigurationError):
    """A run is at the end of its steps, its epochs or its time limit, so that there is nothing to resume."""


@contextmanager
def resumed_run(
    path: Path,
    settings: Mapping[str, Mapping[str, Any]],
    choice: BackendChoice,
    on_event: EventHandler,
    workers: Workers = ALONE,
    stop_at: int | None = None,
    stop_request: StopRequest | None = None,
) -> Iterator[Trainer]:
    """Yields the trainer that continues exactly where the run stopped, holding the run's lock.

    ``stop_at`` is the step after which its session will end, which must be one that is still to come.
    Raises CharkitError, with the run as it was, for anything that can't be done.
    """
    run = Run.open(path)
    _refuse_imported(run)
    with ExitStack() as stack:
        stack.enter_context(locked(path))
        _clean_up(path)
        checkpoint, _, notices = run.checkpoint("latest")
        had, best_notices = with_intact_best(path, checkpoint.progress)
        _refuse_changes(run, settings)
        progress = _with_settings(had, settings)
        backend = create_backend(
            workers.choice(choice), run.config.model, progress.optimizer, progress.training.precision
        )
        stack.enter_context(backend_errors(backend))
        corpus = stack.enter_context(_opened(run, settings, on_event))
        refuse_idle_patience(settings, corpus, is_new=False)
        batches = training_batches(corpus, run.config.data, run.config.training.seed)
        progress = _with_plan(checkpoint.progress, progress, settings, batches.count)
        _refuse_if_done(run, progress, batches.count)
        _refuse_past_step(run, progress, stop_at)
        notices = (
            *corpus.notices,
            *notices,
            *best_notices,
            *_changed_optimizer(checkpoint.progress.optimizer, progress.optimizer),
            *_moved_schedule(checkpoint.progress, progress, batches.count),
        )
        model = build_model(run.config, progress.optimizer, backend, checkpoint.snapshot.weights)
        model.restore(checkpoint.snapshot)
        computing = stack.enter_context(computation(workers, run.config, model, on_event, stop_request))
        notices = (*notices, *run.forget_after(progress.step, validation_due=progress.validation_due))
        del checkpoint  # this frame lives as long as training does
        yield start_session(run, model, corpus, batches, progress, on_event, notices, computing)


def _clean_up(path: Path) -> None:
    """Puts back and removes what a process left that was killed while it wrote the run."""
    restore_replaced(path)
    remove_left_over_files(path)
    remove_left_over_runs(path)


def _refuse_imported(run: Run) -> None:
    """Raises RunError for an imported run, which has no training to continue."""
    if not run.text_sha256:
        raise RunError(
            f"{str(run.path)!r} was imported, so it has neither a text nor an optimizer state to continue with; "
            f"start a new run from its weights, with a text: `init_from={str(run.path)!r}`"
        )


#: Of the training settings, those that made the run what it is.
_FIXED = ("seed", "initialization")
#: What a run that starts from the weights of another has from it, too.
_OF_WEIGHTS = ("lstm_size", "num_layers", "vocabulary_size", "vocabulary")


def _refuse_changes(run: Run, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ConfigurationError for an unknown setting, and RunError for one that would make it another run.

    Which files a text is made of may change with its path, since the text itself must be the same.
    """
    for section, values in settings.items():
        check_section(section)
        for key in values:
            if (section, key) not in DERIVED:  # the vocabulary's size may be given as it is
                check_key(section, key)
    is_moved = bool(settings.get("data", {}).get("text"))
    free = {"text", "glob"} if is_moved else {"text"}
    requested = {
        **{("model", key): value for key, value in settings.get("model", {}).items()},
        **{("data", key): value for key, value in settings.get("data", {}).items() if key not in free},
        **{("training", key): value for key, value in settings.get("training", {}).items() if key in _FIXED},
    }
    schemas: dict[str, type[ModelConfig | DataConfig | TrainingConfig]] = {
        "model": ModelConfig,
        "data": DataConfig,
        "training": TrainingConfig,
    }
    for (section, key), value in requested.items():
        had = getattr(run.config, section)
        wanted = getattr(build(schemas[section], {**had.model_dump(), key: value}), key)
        is_same = same_encoding if key == "encoding" else eq
        if not is_same(wanted, getattr(had, key)):
            new = f"a new run from this run's weights: `init_from={str(run.path)!r}`"
            known, given = _typed(getattr(had, key)), _typed(value)
            raise RunError(
                f"{str(run.path)!r} has `{section}.{key}` {known}, but {given} was given; `resume` can't change this "
                f"setting; leave it out, or start {'a new run' if key in _OF_WEIGHTS else new}"
            )


def _typed(value: Any) -> str:
    """A value as it is typed: several, such as patterns of files, side by side."""
    return " ".join(map(repr, value)) if isinstance(value, list | tuple) else str(value)


def _with_settings(progress: TrainingProgress, settings: Mapping[str, Mapping[str, Any]]) -> TrainingProgress:
    """The run's settings with the caller's over them; a time limit was for the session that had it.

    A length that is given in epochs takes the place of one in steps alone, and the other way around.
    """
    optimizer = {**progress.optimizer.model_dump(), **settings.get("optimizer", {})}
    had, given = progress.training.model_dump() | {"time_limit": None}, settings.get("training", {})
    if had["epochs"] is None and given.get("epochs") is not None:
        had["max_steps"] = None
    if had["max_steps"] is None and given.get("max_steps") is not None:
        had["epochs"] = None
    training = {**had, **given}
    return progress.model_copy(
        update={"optimizer": build(OptimizerConfig, optimizer), "training": build(TrainingConfig, training)}
    )


def _opened(run: Run, settings: Mapping[str, Mapping[str, Any]], on_event: EventHandler) -> Corpus:
    """The run's text, at its new place if the settings name one. Raises TextError and RunError."""
    moved = _moved_text(settings)
    try:
        return run.open_text(
            **moved,
            advice=f"give the original text, or start a new run from the run's weights: `init_from={str(run.path)!r}`",
            progress=reading_progress(on_event),
        )
    except TextError as error:
        if moved or run.stores_text or not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise TextError(f"{error}; if the text has moved, give its new path as well as `resume`") from error


def _moved_text(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Where the text is now, and which files in directories are it, if the settings say so."""
    moved = {key: value for key, value in settings.get("data", {}).items() if key in ("text", "glob")}
    if not moved.get("text"):
        return {}
    data = build(DataConfig, moved)
    return {key: getattr(data, key) for key in moved}


def _with_plan(
    before: TrainingProgress,
    now: TrainingProgress,
    settings: Mapping[str, Mapping[str, Any]],
    steps_per_epoch: int,
) -> TrainingProgress:
    """The progress with the plan that its schedule follows from here.

    A schedule that a time limit cut short goes on as it was planned, which is exact. One that is at its end, or whose
    end by steps or epochs has changed, is drawn anew over the whole run, as one without a time limit is. So is one
    whose warm-up has changed, with the same end.
    """
    if now.training.schedule == "constant":
        return now.model_copy(update={"plan": None, "plan_is_estimate": False})
    old, new = (total_steps(progress.training, steps_per_epoch) for progress in (before, now))
    goes_beyond = {"time_limit", "epochs", "max_steps"} & settings.get("training", {}).keys()
    if old == new and not (_planned_end_reached(before) and goes_beyond):
        if now.plan is None or now.training.warmup_steps == before.training.warmup_steps:
            return now
        return now.model_copy(update={"plan": plan_until(now.plan.last_step, now.training)})
    limit, plan = now.training.time_limit, None
    if limit is not None and before.step > 0:
        possible = before.step + int(
            duration_seconds(limit) * before.step / max(1e-9, before.elapsed_seconds)
        )
        last_step = max(before.step + 1, min(new, possible))  # the session itself will know better
        if last_step < new:
            plan = replanned(plan_until(last_step, now.training), before.step, last_step)
    return now.model_copy(update={"plan": plan, "plan_is_estimate": plan is not None})


def _planned_end_reached(progress: TrainingProgress) -> bool:
    """Whether the run is at the end of a schedule that a time limit cut short."""
    return (
        progress.plan is not None and progress.step >= progress.plan.last_step and not progress.validation_due
    )


def _moved_schedule(before: TrainingProgress, now: TrainingProgress, steps_per_epoch: int) -> tuple[str, ...]:
    """A notice where a falling schedule begins or ends elsewhere, and with it the learning rates to come."""
    moved = []
    old, new = (progress.training.warmup_steps for progress in (before, now))
    if old != new:
        moved.append(f"begins after step {new:,} (previously {old:,})")
    old, new = (planned_last_step(progress, steps_per_epoch) for progress in (before, now))
    if old != new:
        about = "about " if now.plan is not None else ""
        moved.append(f"ends at {about}step {new:,} (previously {old:,})")
    if now.training.schedule == "constant" or not moved:
        return ()
    return (
        f"the {now.training.schedule} schedule now {' and '.join(moved)}, so its learning rates have changed",
    )


def _changed_optimizer(before: OptimizerConfig, now: OptimizerConfig) -> tuple[str, ...]:
    """A notice of the optimizer's settings that differ from those of the checkpoint."""
    old, new = before.model_dump(), now.model_dump()
    changed = [
        f"{name} is now {new[name]:g} (previously {old[name]:g})" for name in new if new[name] != old[name]
    ]
    return (f"as requested, {', '.join(changed)}",) if changed else ()


def _refuse_if_done(run: Run, progress: TrainingProgress, steps_per_epoch: int) -> None:
    """Raises ConfigurationError where the run has reached its limit."""
    training = progress.training
    last = total_steps(training, steps_per_epoch)
    if progress.validation_due and progress.step <= last:
        return
    if progress.step < last:
        if _planned_end_reached(progress):
            raise FinishedRunError(
                f"{str(run.path)!r} is at step {progress.step:,}, where its {training.schedule} schedule ended with "
                "the time limit; give a `time_limit`, `epochs` or `max_steps` to continue"
            )
        return
    by_steps = training.max_steps is not None and last == training.max_steps
    limit = f"`max_steps={training.max_steps}`" if by_steps else f"`epochs={training.epochs}`"
    other, its_value = ("`epochs`", training.epochs) if by_steps else ("`max_steps`", training.max_steps)
    instead = "" if its_value is not None else f", or give {other} instead,"  # a limit that is set stays
    raise FinishedRunError(
        f"{str(run.path)!r} is at step {progress.step:,} and has reached its limit, {limit}; raise it{instead} to "
        "continue"
    )


def _refuse_past_step(run: Run, progress: TrainingProgress, stop_at: int | None) -> None:
    """Raises ConfigurationError for a step to stop at that the run has taken already."""
    if stop_at is not None and progress.step >= stop_at and not progress.validation_due:
        raise ConfigurationError(
            f"{str(run.path)!r} is at step {progress.step:,}, so it can't stop at step {stop_at:,}; give a later "
            "`stop_at`, or leave it out"
        )
