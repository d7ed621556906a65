"""Making a worker's service, and carrying out its calls, the same on every engine."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from charkit.distributed.engine import Arrays, Reply, Service, Values
from charkit.errors import CharkitError


class ServiceHolder:
    """A service that is made when it is first called, so that what goes wrong then is the answer to a call."""

    def __init__(self, service: str, values: Values) -> None:
        self._name, self._values = service, values
        self._service: Service | None = None

    def call(self, method: str, values: Values, arrays: Arrays, shared: Arrays) -> tuple[str, Reply]:
        """Carries out a call; returns an error message, empty if there was none, and the reply."""
        try:
            if self._service is None:
                module, _, name = self._name.partition(":")
                made: Any = getattr(import_module(module), name)
                self._service = made(**self._values)
            assert self._service is not None
            return "", self._service.call(method, values, arrays, shared)
        except CharkitError as error:
            return str(error), Reply({}, {})
