"""MLflow: a run of the experiment "charkit", or of the one that ``MLFLOW_EXPERIMENT_NAME`` names.

Where the records go is MLflow's own matter: ``MLFLOW_TRACKING_URI``, or else MLflow's default in this folder.
"""

from __future__ import annotations

import os
import time

# MLflow reports its use to its makers unless told otherwise; a user who wants that sets the variable.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from charkit import events, hookimpl
from charkit_trackers.mlflow_store import absolute_uri, new_note, noted_run, why_new
from charkit_trackers.run_folder import as_text, metrics_of, parameters_of, read_identity, write_identity

_EXPERIMENT = "charkit"
#: MLflow takes so many parameters in one call, and refuses longer values.
_MOST_PARAMETERS, _MOST_CHARACTERS = 100, 500
#: How MLflow calls the ways in which a session ends.
_STATUS = {"failed": "FAILED", "interrupted": "KILLED", "terminated": "KILLED", "hung_up": "KILLED"}


class MlflowObserver:
    """Records metrics, settings as parameters, and samples as texts."""

    def __init__(self) -> None:
        self._client: MlflowClient | None = None
        self._run_id = ""

    @hookimpl
    def charkit_event(self, event: events.Event) -> str | None:
        """Records what MLflow shows."""
        if isinstance(event, events.Started):
            return self._start(event)
        if self._client is None:
            return None
        match event:
            case events.StepMetrics():
                now = int(time.time() * 1000)
                found = metrics_of(event).items()
                self._client.log_batch(
                    self._run_id, metrics=[Metric(name, value, now, event.step) for name, value in found]
                )
            case events.Sampled():
                self._client.log_text(self._run_id, event.text, f"samples/step-{event.step:08d}.txt")
            case events.Ended():
                self._client.set_terminated(self._run_id, _STATUS.get(event.reason, "FINISHED"))
        return None

    def _start(self, event: events.Started) -> str:
        note = read_identity(event.run, "mlflow", "run_id")
        store = absolute_uri(mlflow.get_tracking_uri())
        self._client = MlflowClient()
        noted = noted_run(note, store)
        resumed = noted is not None and self._resume(noted)
        if not resumed:
            self._create(event, note, store)
        parameters = [
            Param(name, as_text(value)[:_MOST_CHARACTERS]) for name, value in parameters_of(event).items()
        ]
        known = self._client.get_run(self._run_id).data.params
        new = [one for one in parameters if one.key not in known]
        for first in range(0, len(new), _MOST_PARAMETERS):
            self._client.log_batch(self._run_id, params=new[first : first + _MOST_PARAMETERS])
        for one in parameters:  # MLflow never changes a parameter; what a later session changed is a tag
            if known.get(one.key, one.value) != one.value:
                self._client.set_tag(self._run_id, f"session-{event.session}.{one.key}", one.value)
        lost = why_new(note, store) if note and not resumed else ""
        return f"{lost}{'the new one is run' if lost else 'run'} {self._run_id}; view it with: mlflow ui"

    def _resume(self, run_id: str) -> bool:
        """Continues the tracked run of the last session; returns whether MLflow has it."""
        assert self._client is not None
        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException:
            return False
        self._run_id = run_id
        return True

    def _create(self, event: events.Started, note: dict[str, str], store: str) -> None:
        assert self._client is not None
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        made = self._client.create_run(experiment, run_name=event.run.resolve().name)
        self._run_id = made.info.run_id
        write_identity(event.run, "mlflow", new_note(note, self._run_id, store))
