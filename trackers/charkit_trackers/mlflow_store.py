"""Where MLflow keeps its records, as a URI that holds in any folder, and what a run notes of it. It needs no MLflow.

The note only finds the tracked run in the store that the user chose. A run may be a stranger's, so it never chooses
the store: neither a server, nor a path on this machine, nor a store inside the run, whose records hold paths again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.request import url2pathname

from charkit.errors import shown

#: Stores on this machine, whose place is noted. Others may hold a password.
_LOCAL = ("file:", "sqlite:")
#: URIs of servers that look like paths.
_SERVERS = ("databricks", "databricks-uc")
#: Before a path as SQLAlchemy has it: a relative one begins here, an absolute one has a fourth slash.
_SQLITE = "sqlite:///"
#: What SQLite takes for something else than a path.
_NO_PATH = (":memory:", "file:")


def absolute_uri(uri: str) -> str:
    """The URI of a store that may be a path, or a URI with a relative path; others are returned as they are."""
    if uri.startswith(_SQLITE):
        path, question, options = uri.removeprefix(_SQLITE).partition("?")
        if not path or path.startswith(_NO_PATH):
            return uri
        return f"{_SQLITE}{Path(path).resolve().as_posix()}{question}{options}"
    if "://" in uri or uri in _SERVERS:
        return uri
    path = url2pathname(uri.removeprefix("file:")) if uri.startswith("file:") else uri
    return Path(path).resolve().as_uri()


def noted_run(note: Mapping[str, str], store: str) -> str | None:
    """The tracked run that a note names for a store, an absolute URI; None without a note."""
    return note.get(store) or note.get("run_id")


def new_note(note: Mapping[str, str], run_id: str, store: str) -> dict[str, str]:
    """The note about a new tracked run, which keeps those in other stores on this machine."""
    others = {uri: each for uri, each in note.items() if uri.startswith(_LOCAL)}
    if note.get("tracking_uri", "").startswith(_LOCAL):
        others[note["tracking_uri"]] = note["run_id"]
    others.pop(store, None)
    place = {"tracking_uri": store} if store.startswith(_LOCAL) else {}
    return {**others, "run_id": run_id, **place}


def why_new(note: Mapping[str, str], store: str) -> str:
    """Why a resumed run is not continued in its tracked run, and what to do about it; begins a message."""
    noted = note.get("tracking_uri", "")
    if noted.startswith(_LOCAL) and noted != store:
        return (
            f"the tracked run of the last session is in {shown(noted)}, which is not the store in use, so a new "
            "run was started; to continue the old run, set MLFLOW_TRACKING_URI to its store; "
        )
    return "the tracked run of the last session was not found, so a new one was started; "
