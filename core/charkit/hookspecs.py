"""The hook with which a plugin registers its backend. ``charkit.hookspecs`` imports neither NumPy nor a framework."""

from __future__ import annotations

from typing import NamedTuple

import pluggy

PROJECT = "charkit"
#: The entry points of all backends are in this group, each under the name of its backend.
ENTRY_POINT_GROUP = "charkit.backends"
#: The version of the contract that this version of charkit implements.
API_VERSION = 1
#: What each version of the contract changed. The author of a plugin for an older version is shown these changes.
CONTRACT_CHANGES = {
    1: (
        "an optimizer returns a new dictionary of weights; Rates holds tensors, including the bias "
        "corrections, which the core computes; versions() is an instance method and names libraries; notices() is new"
    ),
}

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)


class BackendInfo(NamedTuple):
    """What a plugin declares about its backend before any framework is imported.

    ``factory`` names the class as ``"package.module:Class"``, which is imported only when the backend is chosen.
    ``requires`` says what to install if the framework is missing. ``verified`` lists the versions with which it passed
    the conformance kit, as ``toolkit verify`` prints them, such as ``"charkit 0.1.0, torch 2.13.0"``.
    """

    name: str
    factory: str
    summary: str
    #: A plugin that omits this field is written for version 1, whatever version of the contract charkit implements.
    api: int = 1
    requires: str = ""
    verified: str = ""


@hookspec
def charkit_backend() -> BackendInfo:  # type: ignore[empty-body]
    """Returns the description of the plugin's one backend, without importing its framework."""
