"""Prints the lowest version of each direct dependency that a distribution's metadata admits, as constraints for pip.

    python tests/lowest.py pyproject.toml --extra testing > constraints.txt
    pip install -c constraints.txt -e ".[testing]"

A dependency without a lower bound is an error: nothing would be known of how old it may be.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Sequence
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


def main(arguments: Sequence[str]) -> int:
    """Prints the constraints of the projects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("projects", nargs="+", type=Path, help="pyproject.toml files")
    parser.add_argument("--extra", action="append", default=[], help="an extra of theirs; may be repeated")
    options = parser.parse_args(arguments)
    lines = [line for project in options.projects for line in constraints(project, options.extra)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
