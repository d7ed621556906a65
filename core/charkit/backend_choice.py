"""The choice of a backend, a device and threads, which are not settings of a run: it can continue on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charkit.backend import Backend
from charkit.errors import ConfigurationError, shown
from charkit.plugins.backend_creation import NOTHING_REQUIRED, create


@dataclass(frozen=True)
class BackendChoice:
    """A backend by name, with its device and threads (by default what it takes itself), or one that is made already."""

    backend: str | Backend[Any] = "numpy"
    device: str | None = None
    threads: int | None = None

    def create(
        self, precision: str | None = None, required: Mapping[str, str] = NOTHING_REQUIRED
    ) -> Backend[Any]:
        """The backend in this precision, by default float32, with the capabilities that settings require.

        A backend that is made already is returned as it is. Raises BackendError where the backend can't be used, and
        ConfigurationError where the one that is made has another precision, device or number of threads, or is none.
        """
        if isinstance(self.backend, str):
            return create(
                self.backend,
                precision="float32" if precision is None else precision,
                device=self.device,
                threads=self.threads,
                required=required,
            )
        check_is_backend(self.backend, or_name="the name of an installed backend, or ")
        given = {"precision": precision, "device": self.device, "threads": self.threads}
        for name, value in given.items():
            has = getattr(self.backend, name)
            if value is not None and value != has:
                raise ConfigurationError(
                    f"{name} {value!r} does not match the given backend, which was created with {name} {has!r}; "
                    f"leave `{name}` out, or give the backend by name"
                )
        return self.backend


def check_is_backend(backend: Any, *, or_name: str = "") -> None:
    """Raises ConfigurationError for anything but a backend; ``or_name`` says what else is allowed there."""
    if not isinstance(backend, Backend):
        raise ConfigurationError(
            f"backend must be {or_name}an instance of a subclass of charkit.Backend; given {shown(backend)}"
        )
