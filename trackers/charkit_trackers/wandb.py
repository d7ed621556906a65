"""Weights & Biases: a run of the project "charkit", or of the one that ``WANDB_PROJECT`` names.

Without an account on this machine, or with ``WANDB_MODE=offline``, all is written into ``tracking/wandb`` of the run;
``wandb sync`` uploads it later.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any

# W&B reports its own errors to its makers unless told otherwise; a user who wants that sets the variable.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

from charkit import events, hookimpl
from charkit_trackers.run_folder import (
    in_quotes,
    metrics_of,
    own_folder,
    parameters_of,
    read_identity,
    write_identity,
)

_PROJECT = "charkit"
#: A run's identity, as it is drawn here.
_OWN_ID = re.compile("[0-9a-f]{8}")
#: In each session's folder, W&B makes a link with this name to its log in the user's cache.
_OUTWARD_LINKS = ("debug-core.log",)


class WandbObserver:
    """Records metrics, settings as the configuration, and samples as a table's rows."""

    def __init__(self) -> None:
        self._run: Any = None  # wandb's own types need its generated modules

    @hookimpl
    def charkit_event(self, event: events.Event) -> str | None:
        """Records what W&B shows."""
        if isinstance(event, events.Started):
            return self._start(event)
        if self._run is None:
            return None
        match event:
            case events.StepMetrics():
                self._run.log({"step": event.step, **metrics_of(event)})
            case events.Sampled():
                self._run.log({"step": event.step, "sample": wandb.Html(_preformatted(event.text))})
            case events.Ended():
                self._run.summary["stopped_because"] = event.reason
                self._run.finish(exit_code=int(event.reason == "failed"))
        return None

    def _start(self, event: events.Started) -> str:
        folder = own_folder(event.run, "wandb", outward_links=_OUTWARD_LINKS)
        identity = read_identity(event.run, "wandb", "id")
        if not _OWN_ID.fullmatch(identity.get("id", "")):  # it becomes a part of the names of files
            identity = {"id": secrets.token_hex(4)}
        write_identity(event.run, "wandb", identity)
        offline = _is_offline()
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=event.run.resolve().name,
            id=identity["id"],
            resume=None if offline else "allow",
            dir=str(folder.parent),  # to which W&B adds its own name
            mode="offline" if offline else None,
            config=parameters_of(event),
            allow_val_change=True,  # a later session may have other settings
            settings=_settings(),
        )
        self._run.define_metric("*", step_metric="step")
        if offline:
            return (
                f"the run is recorded offline; upload it with: wandb sync {in_quotes(_folder_of(self._run))}"
            )
        return f"view the run at {self._run.url}"


def _is_offline() -> bool:
    """Whether nothing is to be uploaded: the user said so, or has no account here. It never asks for one."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None:
        return mode in ("offline", "dryrun")
    return not wandb.login(prompt=False)


def _settings() -> Any:
    """No code, git state, command, user, machine or output: nothing that may hold what is secret."""
    return wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        host="",
        save_code=False,
        silent=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
    )


def _folder_of(run: Any) -> str:
    """The folder of an offline run."""
    return str(Path(run.dir).parent)


def _preformatted(text: str) -> str:
    from html import escape

    return f"<pre>{escape(text)}</pre>"
