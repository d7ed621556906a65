"""The lowest version of each direct dependency that a distribution's metadata admits, as constraints for pip.

    python tests/lowest.py pyproject.toml --extra testing --out constraints.txt
    pip install -c constraints.txt -e ".[testing]"
    python tests/lowest.py pyproject.toml --extra testing --check

A dependency without a lower bound is an error: nothing would be known of how old it may be.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

#: Operators whose version is the lowest that they admit.
LOWER = frozenset({">=", "==", "~="})


def lowest(requirement: str) -> str:
    """``numpy>=1.26,<3`` as ``numpy==1.26``. Raises ValueError where there is no lower bound, or more than one."""
    parsed = Requirement(requirement)
    bounds = [specifier.version for specifier in parsed.specifier if specifier.operator in LOWER]
    if len(bounds) != 1:
        raise ValueError(
            f"{requirement!r} has {len(bounds)} lower bounds; give it one, as in {parsed.name}>=1.2"
        )
    return f"{parsed.name}=={bounds[0]}"


def constraints(project: Path, extras: Iterable[str] = ()) -> list[str]:
    """The constraints of a pyproject.toml, for its dependencies and those of the named extras."""
    content = tomllib.loads(project.read_text("utf-8"))["project"]
    optional = content.get("optional-dependencies", {})
    needed = [*content["dependencies"], *(line for extra in extras for line in optional[extra])]
    own = content["name"].partition("-")[0]  # charkit itself is installed from its tree
    return [lowest(line) for line in needed if Requirement(line).name != own]


def differences(expected: Iterable[str]) -> list[str]:
    """Which of the constraints the installed libraries do not meet, a line for each."""
    found = []
    for line in expected:
        requirement = Requirement(line)
        installed = version(requirement.name)
        if not requirement.specifier.contains(installed, prereleases=True):
            found.append(f"{line} is the lowest that is admitted, and {installed} is installed")
    return found


def main(arguments: Sequence[str]) -> str | None:
    """Writes the constraints of a project, or checks that they are what is installed; returns what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path, help="a pyproject.toml")
    parser.add_argument("--extra", action="append", default=[], help="an extra of it; may be repeated")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="the file to write")
    what.add_argument("--check", action="store_true", help="compare with what is installed")
    options = parser.parse_args(arguments)
    lines = constraints(options.project, options.extra)
    if options.check:
        return "\n".join(differences(lines)) or None
    options.out.write_text("\n".join(lines) + "\n", "utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
