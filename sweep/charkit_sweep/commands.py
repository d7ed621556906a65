"""The commands that train a trial, anew and whole or on from where it stands, and that go on with a sweep."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charkit_sweep.folder import SWEEPS_FOLDER, SweepFolder

#: Texts stand before the options, and a length in epochs is what a length in steps is instead of.
_NOT_OPTIONS = {("data", "text"), ("training", "epochs")}


def command_to_train(folder: SweepFolder, values: Mapping[str, Any]) -> str:
    """The command that trains the trial with these values whole, in a new run with the same weights, to the bit."""
    settings = folder.spec.settings(values)
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
            if (section, key) not in _NOT_OPTIONS or (key == "epochs" and value is not None):
                words += [f"--{key.replace('_', '-')}", str(value)]
    return shlex.join(words)


def command_to_resume_sweep(sweep: Path) -> str:
    """The command that resumes the sweep in a folder, by its name if that is enough."""
    name = sweep.name if sweep == SWEEPS_FOLDER / sweep.name else str(sweep)
    return shlex.join(["toolkit", "sweep", "--resume", name])


def command_to_resume(folder: SweepFolder, values: Mapping[str, Any], run: Path) -> str:
    """The command that trains on from where the trial's run stands."""
    words = ["toolkit", "train", "--resume", str(run)]
    backend = folder.spec.backend(values)
    words += [] if backend == "numpy" else ["--backend", backend]
    words += [] if folder.device is None else ["--device", folder.device]
    return shlex.join([*words, "--threads", str(folder.threads)])
