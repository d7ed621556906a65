"""The commands that train a trial, anew and whole or on from where it stands, and that go on with a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charkit.config import MOST_EPOCHS
from charkit.recipe import Recipe
from charkit.settings import Settings, merge
from charkit.system.command_lines import joined
from charkit_sweep.folder import SWEEPS_FOLDER, SweepFolder

#: With one of these in its recipe, a run that is given steps alone has no number of epochs.
_LENGTH = ("epochs", "max_steps")


def command_to_train(folder: SweepFolder, values: Mapping[str, Any]) -> str:
    """The command that trains the trial with these values whole, in a new run with the same weights, to the bit."""
    settings = _with_explicit_epochs(folder.spec.settings(values), folder.spec.recipe(values))
    words = ["toolkit", "train", *settings.get("data", {}).get("text", ())]
    chosen = {
        "recipe": folder.spec.recipe_source(values),
        "backend": folder.spec.own_setting("backend", values),
    }
    for name, value in chosen.items():
        words += [] if value is None else [f"--{name}", str(value)]
    words += [] if folder.device is None else ["--device", folder.device]
    words += ["--threads", str(folder.threads)]
    for section, keys in settings.items():
        for key, value in keys.items():
            if (section, key) != ("data", "text") and value is not None:
                several = value if isinstance(value, tuple) else (value,)
                words += [word for each in several for word in (f"--{key.replace('_', '-')}", str(each))]
    return joined(words)


def _with_explicit_epochs(settings: Settings, recipe: Recipe) -> Settings:
    """The settings with a number of epochs where the trial has none and the command would get the default.

    No option unsets the default. With as many epochs as steps, the steps end the training: an epoch has one or more.
    """
    training = settings.get("training", {})
    has_length = recipe.rule or not recipe.settings.get("training", {}).keys().isdisjoint(_LENGTH)
    if has_length or "epochs" not in training or training["epochs"] is not None:
        return settings
    return merge(settings, {"training": {"epochs": min(int(training["max_steps"]), MOST_EPOCHS)}})


def command_to_resume_sweep(sweep: Path) -> str:
    """The command that resumes the sweep in a folder, by its name if that is enough."""
    name = sweep.name if sweep == SWEEPS_FOLDER / sweep.name else str(sweep)
    return joined(["toolkit", "sweep", "--resume", name])


def command_to_resume(folder: SweepFolder, values: Mapping[str, Any], run: Path) -> str:
    """The command that trains on from where the trial's run stands."""
    words = ["toolkit", "train", "--resume", str(run)]
    backend = folder.spec.backend(values)
    words += [] if backend == "numpy" else ["--backend", backend]
    words += [] if folder.device is None else ["--device", folder.device]
    return joined([*words, "--threads", str(folder.threads)])
