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
    """The lock that is held while the backend is called, an attribute of it; its holder may take it again."""
    attributes = vars(backend)
    return attributes.get(_name) or attributes.setdefault(_name, RLock())


def _rename() -> None:
    """Gives a forked process locks of its own, since a thread that holds one of its parent's does not exist there."""
    global _name  # noqa: PLW0603 - sampling reads it for each symbol
    _name = f"_charkit_lock_{os.getpid()}"


_name = "_charkit_lock"
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_rename)


def one_thread_at_a_time(
    method: Callable[Concatenate[Owner, Parameters], Returned],
) -> Callable[Concatenate[Owner, Parameters], Returned]:
    """The method of a network; a thread that calls it waits while another one uses the same backend."""

    @wraps(method)
    def locked(network: Owner, /, *arguments: Parameters.args, **keywords: Parameters.kwargs) -> Returned:
        with lock_of(network.backend):
            return method(network, *arguments, **keywords)

    return locked
