"""Only one thread at a time calls a backend, as the contract promises to plugins: the others wait for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from charkit.backend import Backend


class HasBackend(Protocol):
    """A network on a backend."""

    @property
    def backend(self) -> Backend[Any]:
        """Where it computes."""
        ...


Owner = TypeVar("Owner", bound=HasBackend)
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def lock_of(backend: object) -> Any:
    """The lock that is held while the backend is called, an attribute of it; its holder may take it again.

    A forked process has a lock of its own, since a thread that held that of its parent does not exist there.
    """
    attributes, name = vars(backend), f"_charkit_lock_{os.getpid()}"
    return attributes.get(name) or attributes.setdefault(name, RLock())


def one_thread_at_a_time(
    method: Callable[Concatenate[Owner, Parameters], Returned],
) -> Callable[Concatenate[Owner, Parameters], Returned]:
    """The method of a network; a thread that calls it waits while another one uses the same backend."""

    @wraps(method)
    def locked(network: Owner, /, *arguments: Parameters.args, **keywords: Parameters.kwargs) -> Returned:
        with lock_of(network.backend):
            return method(network, *arguments, **keywords)

    return locked
