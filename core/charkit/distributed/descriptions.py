"""What decides the bits of a process's results, and whether the workers of a run are like its driver in it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import numpy as np

from charkit.backend import Backend
from charkit.distributed.engine import Values
from charkit.errors import EngineError
from charkit.machine import processor_flags, processor_name
from charkit.plugins.declared import versions_of
from charkit.version import version

#: What may differ between processes without a bit of their results differing.
_MAY_DIFFER = frozenset({"python"})
#: How the names of instructions begin by which libraries of linear algebra choose their programs, on x86 and ARM.
_INSTRUCTIONS = ("avx", "amx", "fma", "sse4", "asimd", "sve", "sme", "bf16", "i8mm")


def describe(backend: Backend[Any]) -> Values:
    """What decides the bits of this process's results."""
    return {
        "charkit": version(),
        "backend": backend.name,
        "precision": backend.precision,
        "device": backend.device.partition(":")[0],  # its kind: which of several equal ones decides no bit
        "threads": backend.threads,
        "processor": processor_name(),
        "instructions": sorted(flag for flag in processor_flags() if flag.startswith(_INSTRUCTIONS)),
        "python": platform.python_version(),
        "versions": {"numpy": np.__version__, **versions_of(backend)},
    }


class Descriptions:
    """The descriptions of a run's processes, the driver's first."""

    def __init__(self, driver: Values, *, mixed_machines: bool) -> None:
        #: Those that differ from each other, in the order in which they were met.
        self.distinct = [driver]
        self._mixed = mixed_machines

    def admit(self, description: Values) -> str:
        """Adds the description of a worker; returns in what it differs from the driver, empty if in nothing.

        Raises EngineError for another version of charkit, and for what differs without ``mixed_machines``.
        """
        driver = self.distinct[0]
        if description["charkit"] != driver["charkit"]:
            raise EngineError(
                f"a worker has charkit {description['charkit']}, but this process has {driver['charkit']}; install the "
                "same version everywhere"
            )
        differing = ", ".join(_differences(driver, description))
        if differing and not self._mixed:
            raise EngineError(
                f"a worker differs from this process: {differing}; its results could differ in the last bits; "
                "use machines and installations that match, or allow the difference with "
                "`mixed_machines=True`"
            )
        if differing and description not in self.distinct:
            self.distinct.append(description)
        return differing


def _differences(driver: Values, worker: Values) -> Iterator[str]:
    """What differs between two descriptions, as ``threads 2 (here: 1)``."""
    here, there = ({**values, **values["versions"]} for values in (driver, worker))
    for key in dict.fromkeys((*here, *there)):
        if key in _MAY_DIFFER | {"versions"} or here.get(key) == there.get(key):
            continue
        if key == "instructions":
            only = sorted(set(here[key]) ^ set(there[key]))
            more = " ..." if len(only) > 6 else ""
            yield f"processor instructions that only one of them has ({' '.join(only[:6])}{more})"
        else:
            yield f"{key} {there.get(key, 'none')} (here: {here.get(key, 'none')})"
