"""The backends that mutants are made of: their files, and how they come to be imported."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path

from guide.pages import example_files

ROOT = Path(__file__).parents[2]
#: The page of the documentation that holds the plain backend.
EXAMPLE = "backend-example"


@dataclass(frozen=True)
class Target:
    """A backend: its name, and what is imported and set once, before any mutant is run."""

    name: str
    preload: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict, compare=False)
    while_importing: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def package(self) -> str:
        return f"charkit_{self.name}"

    def files(self) -> dict[str, str]:
        """The package's files with their text, by name, as they were when this process first asked."""
        return _files(self)

    def write(self, folder: Path, changes: dict[str, str]) -> None:
        """Writes the package into the folder with some of its files changed, and the example's metadata beside it."""
        package = folder / self.package
        package.mkdir(parents=True)
        for name, text in {**self.files(), **changes}.items():
            (package / name).write_text(text, "utf-8")
        if self.name == "plain":  # charkit's own are installed; only their code is found elsewhere
            _describe(folder)

    def prepare(self) -> None:
        """Imports the framework, with which each mutant's process then begins, and forgets the package itself."""
        os.environ.update({**self.environment, **self.while_importing})
        for module in self.preload:
            import_module(module)
        for name in self.while_importing:
            del os.environ[name]
        for name in [name for name in sys.modules if name.partition(".")[0] == self.package]:
            del sys.modules[name]


#: What XLA compiled for one mutant serves the others: most of a mutant's functions are those of the original.
_KEPT_PROGRAMS = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / f"charkit-mutants-jax-{os.getuid()}"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
TARGETS = {
    target.name: target
    for target in (
        Target("plain", ("threadpoolctl",)),
        Target("numpy", ("threadpoolctl",)),
        # Where cores are busy, threads that spin cost the most. libgomp reads this once, while it is loaded.
        Target("torch", ("charkit_torch.framework",), while_importing={"OMP_WAIT_POLICY": "passive"}),
        Target("jax", ("jax", "jax.numpy"), _KEPT_PROGRAMS),
    )
}


@cache
def _files(target: Target) -> dict[str, str]:
    return _from_the_guide(target.package) if target.name == "plain" else _from_the_tree(target)


def _from_the_guide(package: str) -> dict[str, str]:
    found = {Path(path): text for path, text in example_files(EXAMPLE).items()}
    return {path.name: text for path, text in found.items() if path.parent.name == package}


def _from_the_tree(target: Target) -> dict[str, str]:
    folder = ROOT / "backends" / target.name / target.package
    return {file.name: file.read_text("utf-8") for file in sorted(folder.glob("*.py"))}


def _describe(folder: Path) -> None:
    """Writes what says that a distribution is installed: its name, its version and its entry point."""
    described = folder / "charkit_plain-0.1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: charkit-plain\nVersion: 0.1.0\n")
    (described / "entry_points.txt").write_text("[charkit.backends]\nplain = charkit_plain.plugin\n")
