"""The Python interface of sweeps. The command line calls the same function, so both can do the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

from charkit.argument_checks import as_path, integer
from charkit.backend import available_threads
from charkit.config import SECTION_OF
from charkit.durations import duration_seconds
from charkit.errors import BackendError, ConfigurationError, RunError, shown
from charkit.keyword_suggestions import advising_on_keywords
from charkit.machine import most_threads
from charkit.notebook import default_progress
from charkit.plugins import find
from charkit.plugins.backend_creation import check_device, check_precision
from charkit.plugins.probe import probe
from charkit.runs.sessions import command_of_process
from charkit.synonyms import counterpart, suggestion
from charkit.text.corpus import open_corpus
from charkit.text.locations import recorded
from charkit.text.reading_progress import ProgressCallback
from charkit.text.sources import with_reading_of_prepared
from charkit.training.interrupts import StopRequest, catching_signals
from charkit.training.recipe_settings import check_settings, configure
from charkit.training.session import training_batches
from charkit_sweep import journal
from charkit_sweep.commands import command_to_train
from charkit_sweep.decisions import SweepState, state_of
from charkit_sweep.folder import (
    SWEEPS_FOLDER,
    SweepFolder,
    check_free,
)
from charkit_sweep.keys import SHORT_NAMES
from charkit_sweep.page import write_report
from charkit_sweep.result import SweepProgress, SweepResult, SweepStoppedBecause
from charkit_sweep.resuming import existing_folder, prepared, refuse_changes
from charkit_sweep.scheduler import Scheduler
from charkit_sweep.search import values_of
from charkit_sweep.shown_trials import shown_trial, trial_as_saved
from charkit_sweep.spec import SweepSpec
from charkit_sweep.spec_reading import read_spec, spec_from_table
from charkit_sweep.tpe import check_installed

#: No more trials are trained side by side.
MOST_PARALLEL = 256


def _advice(keyword: str, known: Collection[str]) -> str:
    """Where a keyword belongs that is a setting of ``train``, or another toolkit's name for one."""
    setting = keyword if keyword in SECTION_OF else counterpart(keyword, SECTION_OF)
    if setting is None or counterpart(keyword, known):
        return suggestion(keyword, known)
    full = f"{SECTION_OF[setting]}.{setting}"
    key = SHORT_NAMES.get(full, full)
    return f'; set it in the spec: "fixed": {{"{key}": VALUE}}, or "axes": {{"{key}": [VALUE, ...]}}'


# Long, since each argument has a line of documentation: that is what editors and help() show.
@advising_on_keywords(_advice)
def sweep(
    spec: str | PathLike[str] | Mapping[str, Any] | None = None,
    *,
    resume: str | PathLike[str] | bool | None = False,
    name: str | None = None,
    trials: int | None = None,
    parallel: int = 1,
    time_limit: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    on_event: Callable[[SweepProgress], None] | None = None,
    progress: ProgressCallback | None = None,
) -> SweepResult:
    """Trains many runs that vary a few settings, and returns a table of them with the best one.

        result = charkit.sweep("learning-rates.toml", parallel=2)
        print(result.best, result.to_pandas())
        charkit.sweep({
            "name": "seeds", "text": "anna.txt",
            "fixed": {"model.lstm_size": 256}, "axes": {"seed": [0, 1, 2]},
        })

    Each trial is an ordinary run in the sweep's directory, ``sweeps/NAME``. With ``[halving]``, trials stop at rungs,
    and the best continue from their checkpoints. Ctrl-C, SIGTERM and SIGHUP save all trials and return; a second Ctrl-C
    raises KeyboardInterrupt immediately. However a sweep ended, resuming it continues as if it had never stopped. An
    exception raised by ``on_event`` ends the sweep and propagates.

    - ``spec``: the path of a TOML file, or its content as a mapping: ``name``, ``text``, ``fixed``, ``axes``,
      ``search`` ("grid", "random" or "tpe"), ``search_seed``, ``trials``, ``halving``
    - ``resume``: the directory or the name of a sweep to continue; True for that of ``spec``, or else the most recent
      sweep
    - ``name``: the name of the sweep, instead of the one in ``spec``
    - ``trials``: the number of trials, instead of the number in ``spec``; a resumed sweep may be given more
    - ``parallel``: the number of trials trained in parallel, each in its own process
    - ``time_limit``: saves all trials and stops after this time, such as 90s, 10m or 2h
    - ``threads``, ``device``: of each trial; by default the processors are divided among parallel trials. A resumed
      sweep keeps both
    - ``on_event``: called with a ``SweepProgress`` for each event
    - ``progress``: called with "reading" or "encoding" and the fraction done, while the text is read, and with
      "loading" and the name of each backend

    Raises:

    - ConfigurationError: for an invalid spec or argument
    - TextError, BackendError: for a text or a backend that can't be used
    - RunError: for a directory that is not a sweep, is damaged or is in use
    - StorageError: when the disk is full

    A failed trial is reported in the result, and the others continue.
    """
    parallel = integer("`parallel`", parallel, 1, MOST_PARALLEL)
    threads = None if threads is None else integer("`threads`", threads, 1, most_threads())
    trials = None if trials is None else integer("`trials`", trials, 1)
    limit = _seconds(time_limit)
    given = _given_spec(spec, {"name": name, "trials": trials})
    resume = False if resume is None else resume  # "" and 0 are not, and are refused
    if resume is False:
        if given is None:
            raise ConfigurationError(
                "no sweep was given; give the path of a TOML file to start one (docs/sweeping.md shows an example), or "
                "`resume=True` to continue the newest"
            )
        each = threads or max(1, available_threads() // parallel)
        reading = progress or default_progress()
        folder = _new_folder(given, each, device, reading, trials_given=trials is not None)
    else:
        folder = existing_folder(resume, given, name, trials)
        refuse_changes(folder, threads, device)
    with folder.held():
        entries = journal.read_journal(folder.path)
        state = _state(folder, entries)
        if resume is not False:
            state = prepared(folder, state, trials)
        stop_request = StopRequest()
        bar = None if on_event else default_progress()
        scheduler = Scheduler(folder, state, parallel, limit, on_event or _shown_by(bar))
        with catching_signals(stop_request):
            reason = scheduler.run(stop_request)
        if bar is not None and reason == "done":
            bar("sweep", 1.0)  # trials that were stopped early leave it below
        result = result_of(folder, scheduler.state, reason)
        write_report(result, folder)
        return result


def result_of(folder: SweepFolder, state: SweepState, reason: SweepStoppedBecause) -> SweepResult:
    """What a sweep has come to: its journal, and how far the trials are that are to go on."""
    result = SweepResult(
        name=state.spec.name,
        folder=folder.path,
        trials=tuple(shown_trial(folder, trial_as_saved(folder, trial)) for trial in state.trials),
        planned_trials=state.spec.most_trials,
        rungs=state.spec.rungs,
        stopped_because=reason,
        command="",
        sweep=state.spec.table(),
    )
    best = result.best
    return result if best is None else replace(result, command=command_to_train(folder, best.values))


def _seconds(time_limit: str | None) -> float | None:
    """The time limit in seconds, None for none. Raises ConfigurationError for what is no duration."""
    if time_limit is None:
        return None
    if not isinstance(time_limit, str):
        raise ConfigurationError(
            f"`time_limit` must be a string, such as '90s', '10m' or '2h'; given {shown(time_limit)}"
        )
    try:
        return duration_seconds(time_limit)
    except ValueError as error:
        raise ConfigurationError(f"`time_limit` {time_limit!r}: {error}") from error


def _given_spec(
    spec: str | PathLike[str] | Mapping[str, Any] | None, beside: Mapping[str, Any]
) -> SweepSpec | None:
    if spec is None:
        return None
    beside = {key: value for key, value in beside.items() if value is not None}
    if isinstance(spec, Mapping):
        return spec_from_table({**spec, **beside})
    if not isinstance(spec, str | PathLike):
        raise ConfigurationError(
            f"`spec` must be the path of a TOML file, or a mapping with the same content; given {shown(spec)}"
        )
    return read_spec(as_path("`spec`", spec), beside)


def _new_folder(
    spec: SweepSpec,
    threads: int,
    device: str | None,
    progress: ProgressCallback | None,
    *,
    trials_given: bool,
) -> SweepFolder:
    """Checks what can be known before the first trial, and makes the sweep's folder."""
    check_free(SWEEPS_FOLDER / spec.name)
    if spec.search == "tpe":
        check_installed()
    for backend in _values_of_key(spec, "backend") or [spec.backend({})]:
        _check_backend(spec, backend, device, progress)
    for text in _values_of_key(spec, "text") or [None]:
        _check_text(spec, text, progress)
    return SweepFolder.create(
        spec,
        threads=threads,
        device=device,
        command=command_of_process("charkit.sweep"),
        trials_given=trials_given,
    )


def _check_backend(spec: SweepSpec, name: str, device: str | None, progress: ProgressCallback | None) -> None:
    """Raises BackendError for a backend that can't be used, or lacks the device or a precision of the trials.

    It is tried in a process of its own: this one, which trains nothing, never loads a framework.
    """
    plugin = find(name)
    if progress is not None:
        progress(f"loading {name}", 0.0)
    tried = probe(plugin)
    if not tried.usable:
        raise BackendError(f"backend {name!r} can't be used: {tried.reason}")
    if device is not None:
        check_device(name, tried.devices, device)
    for precision in _values_of_key(spec, "precision"):
        check_precision(name, tried.precisions, precision)


def _values_of_key(spec: SweepSpec, key: str) -> list[Any]:
    axis = next((axis for axis in spec.axes if axis.key == key), None)
    if axis is not None:
        return list(axis.values or ())
    return [spec.fixed[key]] if key in spec.fixed else []


def _check_text(spec: SweepSpec, text: Any, progress: ProgressCallback | None) -> None:
    """Raises TextError for a text that the first trial could not be trained on, ConfigurationError for its settings."""
    values = values_of(spec, 1, ()) | ({} if text is None else {"text": text})
    recipe = spec.recipe(values)
    settings = spec.settings(values)
    for each in settings.get("data", {}).get("text") or ():
        if recorded(str(each)) != each:
            raise ConfigurationError(
                f"the URL {recorded(str(each))!r} contains a query string or a password, which a sweep would record; "
                "prepare the text on this machine with `charkit.prepare`, and give the prepared text"
            )
    settings = with_reading_of_prepared(settings, recipe.settings)
    with open_corpus(check_settings(recipe, settings).data, progress=progress) as corpus:
        config, _ = configure(recipe, settings, corpus.split("train")[1], corpus.vocabulary.size)
        training_batches(corpus, config.data, config.training.seed)
        start, stop = corpus.split("validation")
        if stop - start < 2:
            raise ConfigurationError(
                "the text is too short for a validation split, which is needed to compare trials; give a longer text, "
                "or a larger `data.validation_share`"
            )


def _state(folder: SweepFolder, entries: Iterable[journal.Entry]) -> SweepState:
    """The state of a sweep by its journal. Raises RunError for one that no sweep writes."""
    try:
        return state_of(folder.spec, entries)
    except RunError as error:
        raise RunError(f"{str(folder.path)!r} is damaged: {error}") from error


def _shown_by(bar: ProgressCallback | None) -> Callable[[SweepProgress], None]:
    """What shows the sweep by a bar; nothing without one, since a library prints only what it is asked to."""
    return (lambda _event: None) if bar is None else lambda event: bar("sweep", event.fraction)
