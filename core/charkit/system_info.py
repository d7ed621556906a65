"""What a bug report needs to say about this installation and this machine, and nothing private."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any

from threadpoolctl import threadpool_info

from charkit.errors import ConfigurationError, shown
from charkit.html_tables import table_of_fields
from charkit.keyword_suggestions import suggesting_keywords
from charkit.machine import has_bfloat16_instructions, processor_name
from charkit.plugins.listing import InstalledBackends, backends
from charkit.plugins.probe import LIMIT_SECONDS
from charkit.plugins.requirements import required_by_plugins, required_by_this
from charkit.system.memory import total_bytes
from charkit.system.processors import available_processors
from charkit.version import version

#: The only environment variables that are read, unless others are asked for: they change what is computed, on what,
#: or what is shown. The command line adds those of frameworks.
VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CHARKIT_NUMBA"),
    *("LANG", "LC_ALL", "TERM", "NO_COLOR", "COLUMNS"),
)
#: The fields that have parts; they come last.
_PARTS = ("blas", "environment", "backends")
#: What is reported of each backend.
_OF_BACKENDS = ("name", "status", "distribution", "version", "devices", "precisions", "reason")


@dataclass(frozen=True)
class BlasLibrary:
    """A library that multiplies matrices, as this process has loaded it; ``version`` is None if it doesn't say."""

    library: str
    version: str | None
    threads: int


@dataclass(frozen=True)
class SystemInfo:
    """What a bug report needs: versions, the machine, and the installed backends. Notebooks show it as a table.

    ``libraries`` are the installed ones and their versions. In ``environment`` and in the backends' reasons, paths in
    the user's home directory begin with ``~``. ``memory_bytes`` and ``encoding`` are None where they are unknown.
    """

    charkit: str
    python: str
    system: str
    processor: str
    bfloat16_instructions: bool
    processors: int | None
    usable_processors: int
    memory_bytes: int | None
    encoding: str | None  # of standard output
    libraries: dict[str, str]
    blas: tuple[BlasLibrary, ...]
    environment: dict[str, str]
    backends: InstalledBackends

    def describe_processors(self) -> str:
        """How many processors this process may use, such as "2 of 8 usable"; without their number if it is unknown."""
        of_all = "" if self.processors is None else f" of {self.processors}"
        return f"{self.usable_processors}{of_all} usable"

    def as_json(self) -> dict[str, Any]:
        """The facts as ``toolkit info --json`` prints them."""
        return {
            **{name: value for name, value in vars(self).items() if name not in _PARTS},
            "blas": [asdict(each) for each in self.blas],
            "environment": self.environment,
            "backends": [{name: getattr(each, name) for name in _OF_BACKENDS} for each in self.backends],
        }

    def _repr_html_(self) -> str:
        memory = "unknown" if self.memory_bytes is None else f"{self.memory_bytes / 2**30:.1f} GiB"
        return table_of_fields(
            [
                ("charkit", self.charkit),
                ("Python", self.python),
                ("system", self.system),
                ("processor", self.processor),
                ("processors", self.describe_processors()),
                ("memory", memory),
                ("libraries", ", ".join(f"{name} {each}" for name, each in self.libraries.items())),
                *(("variable", f"{name}={value}") for name, value in self.environment.items()),
                *(("backend", f"{each.name} {each.status} {each.reason}".strip()) for each in self.backends),
            ]
        )


@suggesting_keywords
def info(
    *,
    libraries: Iterable[str] | None = None,
    variables: Iterable[str] = VARIABLES,
    limit_seconds: float = LIMIT_SECONDS,
    progress: Callable[[float], None] | None = None,
) -> SystemInfo:
    """Collects what a bug report needs to say about this installation and this machine, and nothing private.

        print(charkit.info().libraries)

    The versions are those of ``libraries``, names of distributions that may or may not be installed, and of what the
    installed plugins require. By default, ``libraries`` are those that charkit requires, with all extras.
    ``variables`` are the only environment variables that are read; a secret should not be among them.

    Backends are tried as ``charkit.backends`` does it: ``limit_seconds`` is the time that each may take to import, and
    ``progress`` is called with the fraction of backends tried. One that fails is listed with the reason.

    Raises ConfigurationError if ``libraries`` or ``variables`` are not names, or ``limit_seconds`` is out of range.
    """
    named = required_by_this() if libraries is None else _names("libraries", libraries)
    read = _names("variables", variables)
    found = backends(limit_seconds=limit_seconds, progress=progress)
    return SystemInfo(
        charkit=version(),
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        system=platform.platform(),
        processor=processor_name(),
        bfloat16_instructions=has_bfloat16_instructions(),
        processors=os.cpu_count(),
        usable_processors=available_processors(),
        memory_bytes=total_bytes(),
        encoding=getattr(sys.stdout, "encoding", None),
        libraries=_versions([*named, *required_by_plugins(known=named)]),
        blas=tuple(
            BlasLibrary(each["internal_api"], each["version"], each["num_threads"])
            for each in threadpool_info()
        ),
        environment={name: _without_home(os.environ[name]) for name in read if name in os.environ},
        backends=InstalledBackends(replace(each, reason=_without_home(each.reason)) for each in found),
    )


def _names(field: str, given: Iterable[str]) -> list[str]:
    """The names in a list. Raises ConfigurationError for anything else, such as a single name."""
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [None]
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(
                f"`{field}` must be a list of names, as in ['NAME']; given {shown(given)}"
            )
    return [str(name) for name in names]


def _versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of the installed ones."""
    found = {}
    for name in names:
        try:
            found[name] = version_of(name)
        except PackageNotFoundError:
            continue
    return found


def _without_home(text: str) -> str:
    """The text without the path of the home directory, which holds the user's name."""
    home = os.path.expanduser("~")  # it stays so where there is none, as in some containers
    return text.replace(home, "~") if len(home) > 1 else text
