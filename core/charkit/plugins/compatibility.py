"""Whether a plugin fits this charkit, the contract, and what is installed; decided before its framework is imported."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution

from charkit.errors import BackendError, advice_to_install
from charkit.hookspecs import API_VERSION, CONTRACT_CHANGES, PROJECT
from charkit.plugins.failures import describe_error
from charkit.plugins.requirements import Unmet, install_command, unmet


class FrameworkMissingError(BackendError):
    """The plugin is intact, but the framework that it needs is not installed."""


class WrongVersionError(BackendError):
    """The plugin, its framework and this charkit may each be intact, but their versions are incompatible."""


def check_contract(api: int, label: str, distribution_name: str) -> None:
    """Raises WrongVersionError unless the plugin implements the version of the contract that this charkit does.

    ``label`` begins the message, as ``Plugin.label`` has it.
    """
    if api == API_VERSION:
        return
    versions = (
        f"{label} implements contract version {api}, but this version of charkit supports {API_VERSION}"
    )
    if api > API_VERSION:
        raise WrongVersionError(f"{versions}; upgrade charkit")
    changes = "; ".join(f"{version}: {what}" for version, what in CONTRACT_CHANGES.items() if version > api)
    raise WrongVersionError(
        f"{versions}; ask the author of {distribution_name} for a release that supports version {API_VERSION}; "
        f"changes in version {changes}"
    )


def check_charkit(distribution: Distribution | None, label: str) -> None:
    """Raises WrongVersionError for a plugin that requires another charkit, before anything of it is imported."""
    if distribution is None:
        return
    for need in _unmet(distribution, label):
        if need.name.lower() == PROJECT:
            raise WrongVersionError(
                f"{label} needs {need}, but charkit {need.installed} is installed; "
                f"install a compatible version of charkit or of {distribution.name}"
            )


def check_requirements(distribution: Distribution | None, label: str, install_hint: str) -> None:
    """Raises FrameworkMissingError for requirements that are not installed, or else WrongVersionError.

    ``install_hint`` says what to install, as ``BackendInfo.requires`` does; empty, it is made from the metadata.
    """
    needs = _unmet(distribution, label)
    missing = [need for need in needs if need.installed is None]
    if missing:
        are = "are" if len(missing) > 1 else "is"
        command = install_hint or install_command(missing)
        raise FrameworkMissingError(
            f"{label} needs {enumerated(missing)}, which {are} not installed; {advice_to_install(command)}"
        )
    if needs:
        found = enumerated(f"{need.name} {need.installed}" for need in needs)
        are = "are" if len(needs) > 1 else "is"
        raise WrongVersionError(
            f"{label} needs {enumerated(needs)}, but {found} {are} installed; run: {install_command(needs)}"
        )


def _unmet(distribution: Distribution | None, label: str) -> list[Unmet]:
    """The plugin's requirements that the environment doesn't meet. Raises BackendError for unreadable metadata."""
    try:
        return [] if distribution is None else unmet(distribution)
    except ValueError as error:
        raise BackendError(
            f"{label} is broken: its requirements can't be read: {describe_error(error)}"
        ) from error


def enumerated(things: Iterable[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``. Raises ValueError for none."""
    *before, last = map(str, things)
    return f"{', '.join(before)} and {last}" if before else last
