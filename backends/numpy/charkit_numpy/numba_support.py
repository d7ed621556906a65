"""Whether Numba compiles the time steps: if it is installed, unless the environment says no."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from types import ModuleType

import numpy as np
from packaging.requirements import Requirement
from packaging.version import Version

from charkit.errors import BackendError

#: Set to 0, it keeps the backend from using Numba where it is installed, as for the bits of a machine without it.
SWITCH = "CHARKIT_NUMBA"
#: The oldest release that the extra ``fast`` admits; an older one is not used.
OLDEST = Version("0.64")


def numba_version() -> str | None:
    """The version of Numba to compile with; None without a Numba to use, or if the environment says to do without.

    Raises BackendError if the environment variable has another value than 0 or 1, or is 1 without a Numba to use.
    """
    wanted = os.environ.get(SWITCH)
    if wanted not in (None, "0", "1"):
        raise BackendError(f"the environment variable {SWITCH} must be 0 or 1; given {wanted!r}")
    if wanted == "0":
        return None
    try:
        found = version("numba")
        problem = _problem(found)
    except PackageNotFoundError:
        found, problem = "", "Numba isn't installed"
    if not problem:
        return found
    if wanted == "1":
        raise BackendError(
            f"{SWITCH} is 1, but {problem}; install a suitable release with "
            f"`pip install --upgrade 'numba>={OLDEST}'`, or unset {SWITCH}"
        )
    return None


def _problem(found: str) -> str:
    """Why this release is not used, or nothing; its metadata say which NumPy it takes, without an import."""
    if Version(found) < OLDEST:
        return f"Numba {found} is older than {OLDEST}"
    wanted = [Requirement(line) for line in requires("numba") or ()]
    if all(one.specifier.contains(np.__version__, prereleases=True) for one in wanted if one.name == "numpy"):
        return ""
    return f"Numba {found} doesn't support NumPy {np.__version__}"


@cache
def load_kernels() -> ModuleType:
    """The compiled loops, which a single stream doesn't need. Raises BackendError if Numba can't be imported."""
    try:
        from charkit_numpy import kernels
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise BackendError(
            f"can't import Numba {version('numba')}: {reason}; install a newer release with "
            f"`pip install --upgrade numba`, or set {SWITCH}=0 to train without it"
        ) from error
    return kernels
