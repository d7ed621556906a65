"""Planted faults of what is raised when memory runs out. Installed as plugins by the tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit_numpy.backend import NumpyBackend


class OwnMemoryError(NumpyBackend):
    """Passes on the framework's own error for exhausted memory."""

    name = "ownmemoryerror"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except MemoryError as error:
                raise RuntimeError(f"allocator: {error}") from error

        return run


class EveryErrorIsMemoryError(NumpyBackend):
    """Takes every error of the framework's type for exhausted memory."""

    name = "every-error-is-memory-error"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (MemoryError, ArithmeticError) as error:
                raise MemoryError("out of memory") from ArithmeticError(str(error))

        return run


class OomError(MemoryError):
    """A framework's own kind of MemoryError."""


class TensorsOwnMemoryError(NumpyBackend):
    """Copies arrays in with an allocator of its own, whose error stays as it is."""

    name = "tensors-own-memory-error"

    def tensor(self, array: Any) -> Any:
        try:
            return super().tensor(array)
        except MemoryError as error:
            raise RuntimeError(f"allocator: {error}") from error


class CopiesOwnMemoryError(NumpyBackend):
    """Raises another error where memory for the copy itself runs out."""

    name = "copies-own-memory-error"

    def tensor(self, array: Any) -> Any:
        readable = np.ascontiguousarray(array)
        try:
            return super().tensor(readable)
        except MemoryError as error:
            raise RuntimeError(f"allocator: {error}") from error


class KeepsItsError(NumpyBackend):
    """Keeps the last error, whose traceback refers to the arrays of the call that failed."""

    name = "keeps-its-error"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except MemoryError as error:
                self.last_error = error
                raise

        return run


class RaisesOom(NumpyBackend):
    """Correct: raises a subclass of MemoryError."""

    name = "raises-oom"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except MemoryError as error:
                raise OomError(str(error)) from None

        return run


class TranslatesOom(RaisesOom):
    """Correct: raises MemoryError for its framework's subclass, whatever that says."""

    name = "translates-oom"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        framework = super().compile(function, consumes=consumes)

        def run(*arguments: Any) -> Any:
            try:
                return framework(*arguments)
            except OomError as error:
                raise MemoryError("out of memory") from error

        return run


class NamesItsError(NumpyBackend):
    """Keeps the error that it raises in a variable, and so itself and its call alive."""

    name = "names-its-error"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except MemoryError as error:
                failure = MemoryError(f"allocator: {error}")
                raise failure from error

        return run


class RefusesForGood(NumpyBackend):
    """Remembers the shapes of the training steps that ran out of memory, and refuses them from then on."""

    name = "refuses-for-good"

    def differentiate(self, forward: Any) -> Any:
        inner, refused = super().differentiate(forward), set[tuple[int, ...]]()

        def backward(weights: Any, symbols: Any, *rest: Any) -> Any:
            if symbols.shape in refused:
                raise MemoryError("there is not enough memory")
            try:
                return inner(weights, symbols, *rest)
            except MemoryError:
                refused.add(symbols.shape)
                raise

        return backward
