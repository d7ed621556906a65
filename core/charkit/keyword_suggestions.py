"""Keyword arguments of other toolkits in calls from Python: the error names charkit's own, as on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import ParamSpec, TypeVar

from charkit.synonyms import suggestion

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def suggesting_keywords(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """The function, whose TypeError for an unknown keyword says which one may have been meant."""
    return advising_on_keywords(suggestion)(function)


def advising_on_keywords(
    advise: Callable[[str, Collection[str]], str],
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """A decorator: the function's TypeError for an unknown keyword ends with what ``advise`` says.

    ``advise`` is called with that keyword and those that the function has.
    """

    def decorate(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        known = list(inspect.signature(function).parameters)

        @wraps(function)
        def checked(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Returned:
            for keyword in keywords:
                if keyword not in known:
                    raise TypeError(
                        f"{function.__qualname__}() got an unexpected keyword argument {keyword!r}"
                        f"{advise(keyword, known)}"
                    )
            return function(*arguments, **keywords)

        return checked

    return decorate
