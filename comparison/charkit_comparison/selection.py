"""Which variants take part in a comparison: backends in each precision, here and in other environments."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from charkit.errors import ConfigurationError
from charkit.plugins import InstalledBackend, find, listing
from charkit.plugins.backend_creation import NOTHING_REQUIRED, check_capabilities, missing_capability
from charkit.plugins.probe import probe_all
from charkit_comparison.plan import Variant


def select_variants(
    backends: Sequence[str],
    precisions: Sequence[str],
    pythons: Mapping[str, str],
    device: str | None,
    required: Mapping[str, str] = NOTHING_REQUIRED,
) -> tuple[list[Variant], list[str]]:
    """The variants that take part, and notices about those that don't. Raises BackendError, ConfigurationError.

    Without ``backends`` it is every usable one. ``pythons`` are interpreters of other environments by the name of the
    variant, such as ``torch-old``. ``required`` are the capabilities that the settings need: a backend that lacks one
    is left out, or refused where it was named.
    """
    notices: list[str] = []
    if backends:
        chosen = list(dict.fromkeys(backends))
        rows = _named(chosen, required)
    else:
        rows = {row.name: row for row in listing.backends()}
        usable = [row for row in rows.values() if row.status == "usable"]
        chosen = [row.name for row in usable if required.keys() <= set(row.capabilities)]
        notices += _absence_notices(rows.values(), required)
    elsewhere = {name: _interpreter(name, python) for name, python in pythons.items()}
    variants = []
    for precision in precisions:
        for name in chosen:
            supported = rows[name].precisions
            if supported and precision not in supported and (len(precisions) > 1 or not backends):
                notices.append(
                    f"{name} doesn't support {precision}, so it is left out of the comparison in that precision"
                )
                continue
            variants.append(Variant(_label(name, precision, precisions), name, precision, device))
        for name, python in elsewhere.items():
            backend, _, _ = name.partition("-")
            label = _label(name, precision, precisions)
            variants.append(Variant(label, backend, precision, device, python=python))
    _check_labels(variants)
    return variants, notices


def _named(names: Iterable[str], required: Mapping[str, str]) -> dict[str, InstalledBackend]:
    """What was found of these backends, by name; no other is imported, which takes seconds for some frameworks.

    Refuses unknown backends and those that lack a capability. Why another can't be used is its outcome.
    """
    rows = {row.name: row for row in probe_all([find(name) for name in names])}
    for name, row in rows.items():
        if row.status == "usable":
            check_capabilities(name, row.capabilities, required)
    return rows


def _absence_notices(rows: Iterable[InstalledBackend], required: Mapping[str, str]) -> list[str]:
    """Why installed backends take no part."""
    rows = list(rows)
    notices = [
        f"{missing_capability(row.name, row.capabilities, capability, setting)}, so it is left out"
        for row in rows
        if row.status == "usable"
        for capability, setting in required.items()
        if capability not in row.capabilities
    ]
    notices += [row.explanation for row in rows if row.status != "usable"]
    return notices


def _label(name: str, precision: str, precisions: Sequence[str]) -> str:
    return name if len(precisions) == 1 else f"{name} {precision}"


def _interpreter(name: str, python: str) -> str:
    """The path of an interpreter whose variant has this name."""
    if not re.fullmatch(r"[\w.]+-[\w.-]+", name, re.ASCII):
        raise ConfigurationError(
            f"`pythons` names a variant {name!r}; the name must be a backend's name, a hyphen and a suffix, as in "
            "torch-old, and may contain only letters, digits, _, . and -"
        )
    found = shutil.which(str(Path(python).expanduser()))
    if found is None:
        raise ConfigurationError(
            f"`pythons`: no program {python!r} was found for {name}; "
            "give the path of an environment's Python interpreter"
        )
    return found


def _check_labels(variants: Iterable[Variant]) -> None:
    labels = [variant.label for variant in variants]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ConfigurationError(f"two variants are named {twice[0]!r}; choose another name in `pythons`")
