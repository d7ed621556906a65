"""Resuming a sweep: which one, with what, and from which state."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike

from charkit.argument_checks import as_path
from charkit.errors import ConfigurationError, counted, shown
from charkit_sweep import journal
from charkit_sweep.decisions import SweepState
from charkit_sweep.folder import SweepFolder, changed_recipe, differing_key, find_sweep
from charkit_sweep.journal import Extended, Retried
from charkit_sweep.spec import SweepSpec


def existing_folder(
    resume: str | PathLike[str] | bool, given: SweepSpec | None, name: str | None, trials: int | None
) -> SweepFolder:
    """The sweep that goes on. Raises RunError where it is none, and ConfigurationError where another is asked for.

    The spec's own number of trials does not count where another is given beside it, now or when the sweep began.
    """
    if isinstance(resume, bool):
        wanted = name if given is None else given.name
        if not isinstance(wanted, str | None):
            raise ConfigurationError(f"`name` must be the name of a sweep; given {shown(wanted)}")
        path = find_sweep(None if wanted is None else as_path("`name`", wanted))
    else:
        path = find_sweep(as_path("`resume`", resume))
    if name is not None and not isinstance(resume, bool) and name != path.name:
        raise ConfigurationError(
            f"`resume` names the sweep {str(path)!r}, but `name` is {name!r}; leave `name` out to resume that sweep"
        )
    folder = SweepFolder.open(path)
    if given is not None and (trials is not None or folder.trials_given):
        given = replace(given, trials=folder.spec.trials)
    difference = None if given is None else differing_key(folder.spec, given)
    if difference is not None:
        raise ConfigurationError(
            f"in the sweep {str(path)!r}, {difference}; a resumed sweep keeps its spec, so leave the spec out, or "
            "start a new sweep with a different `name`"
        )
    recipe = None if given is None else changed_recipe(folder.spec)
    if recipe is not None:
        raise ConfigurationError(
            f"the recipe {recipe!r} has changed since the sweep {str(path)!r} began; leave the spec out to "
            "resume it with the recipe as it was, or start a new sweep with a different `name`"
        )
    return folder


def refuse_changes(folder: SweepFolder, threads: int | None, device: str | None) -> None:
    """Raises ConfigurationError for a setting of the sweep that is given otherwise than it was."""
    for name, value, had in (("threads", threads, folder.threads), ("device", device, folder.device)):
        if value is not None and value != had:
            setting = "not set" if had is None else f"set to {had}"
            raise ConfigurationError(
                f"in the sweep {str(folder.path)!r}, `{name}` is {setting}, but {value} was given; "
                f"a resumed sweep keeps its settings, so leave `{name}` out"
            )


def prepared(folder: SweepFolder, state: SweepState, trials: int | None) -> SweepState:
    """The state of a sweep that is resumed: with more trials, if wanted, and failed ones to be tried again.

    Those that diverged are not: they would diverge again.
    """
    entries: list[journal.Entry] = []
    if trials is not None and trials != state.spec.most_trials:
        if trials < len(state.trials):
            raise ConfigurationError(
                f"the sweep {str(folder.path)!r} has already started {counted(len(state.trials), 'trial')}, "
                f"so `trials` must be at least {len(state.trials)}; given {trials}"
            )
        state.spec.extended(trials)
        entries.append(Extended(trials=trials))
    entries += [Retried(trial=one.number) for one in state.having("failed") if not one.diverged]
    if entries:
        journal.append(folder.path, entries)
    for entry in entries:
        state = state.after(entry)
    return state
