"""The one hook through which a backend makes itself known. Imports no NumPy and no framework."""

from __future__ import annotations

from typing import NamedTuple

import pluggy

PROJECT = "charkit"
ENTRY_POINT_GROUP = "charkit.backends"
#: The version of the contract in ``charkit.backend`` that this charkit speaks.
API_VERSION = 1
#: What each version of the contract changed, told to the author of a plugin that speaks an older one.
CONTRACT_CHANGES = {
    1: (
        "an optimiser returns a new dictionary of weights; Rates are tensors, with the bias corrections from the "
        "core; versions() is a method of the instance and names libraries; notices() is new"
    ),
}

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class BackendInfo(NamedTuple):
    """What a plugin says of its backend before any framework is imported.

    ``factory`` names the class as ``"package.module:Class"``; it is imported only when the backend is
    chosen. ``requires`` is what to install where the framework is missing, in words for a user.
    """

    name: str
    factory: str
    summary: str
    api: int = (
        1  # for good: a plugin that does not say speaks the first version, whatever this charkit speaks
    )
    requires: str = ""


@hookspec
def charkit_backend() -> BackendInfo:  # type: ignore[empty-body]
    """Returns what there is to know of the plugin's one backend, without importing its framework."""
