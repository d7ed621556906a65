"""Finds what keeps an exception, and with it the memory of its call, until the garbage collector runs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from charkit.plugins.failures import is_inside


def variable_with(error: BaseException, sources: Collection[Path]) -> str:
    """The variable of a function in these folders that is the exception or has it as an attribute, or nothing.

    The exception's traceback refers back to the variable, so they keep each other alive.
    """
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_inside(code.co_filename, sources):
            for name, value in trace.tb_frame.f_locals.items():
                if value is error or _has_attribute(value, error):
                    return f"the variable {name} at {code.co_filename}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return ""


def _has_attribute(value: object, error: BaseException) -> bool:
    """Whether an attribute of the value is the exception."""
    return any(attribute is error for attribute in getattr(value, "__dict__", {}).values())
