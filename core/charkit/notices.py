"""What a user should read before training on a backend: what follows from precision and device, and its own notices."""

from __future__ import annotations

from typing import Any

from charkit.backend import Backend
from charkit.machine import has_bfloat16_instructions
from charkit.plugins.declared import devices_of, notices_of
from charkit.plugins.supervision import stdout_to_stderr


def notices_for(backend: Backend[Any]) -> tuple[str, ...]:
    """The notices, a line each. Raises BackendError where a backend declares its own or its devices wrongly."""
    with stdout_to_stderr():  # a plugin that prints must not spoil what a command prints
        return (*_of_precision(backend), *_of_device(backend), *notices_of(backend))


def _of_precision(backend: Backend[Any]) -> tuple[str, ...]:
    if backend.precision != "bfloat16":
        return ()
    notices = []
    if backend.bfloat16_rounds:
        notices.append(
            f"in bfloat16, {backend.name} rounds the operands of matrix products, as well as {backend.bfloat16_rounds}"
        )
    if backend.device == "cpu" and not has_bfloat16_instructions():
        notices.append(
            "this processor has no bfloat16 instructions: bfloat16 can be far slower here than float32"
        )
    return tuple(notices)


def _of_device(backend: Backend[Any]) -> tuple[str, ...]:
    others = [device for device in devices_of(type(backend)) if device != "cpu"]
    if backend.device != "cpu" or not others:
        return ()
    what = "a GPU" if others[0].startswith("cuda") else f"the device {others[0]}"
    return (f"{what} is available but not used; choose it with `device={others[0]!r}`",)
