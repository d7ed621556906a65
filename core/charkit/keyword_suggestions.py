"""Keyword arguments of other toolkits in calls from Python: the error names charkit's own, as on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from charkit.synonyms import suggestion

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def suggesting_keywords(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """The function, whose TypeError for an unknown keyword says which one may have been meant."""
    known = list(inspect.signature(function).parameters)

    @wraps(function)
    def checked(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Returned:
        for keyword in keywords:
            if keyword not in known:
                raise TypeError(
                    f"{function.__qualname__}() got an unexpected keyword argument {keyword!r}"
                    f"{suggestion(keyword, known)}"
                )
        return function(*arguments, **keywords)

    return checked
