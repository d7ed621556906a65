"""What a user installs: built, looked into, and used from empty environments outside of the source tree."""

# Over 300 lines: all tests share the wheels, which take long to build.

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import parse_sdist_filename, parse_wheel_filename

ROOT = Path(__file__).parents[2]
HOST_PACKAGES = {
    "charkit": "core",
    "charkit_cli": "cli",
    "charkit_formats": "formats",
    "charkit_comparison": "comparison",
    "charkit_pages": "pages",
    "charkit_sweep": "sweep",
    "charkit_reports": "reports",
    "charkit_trackers": "trackers",
    "charkit_numpy": "backends/numpy",
}
#: Where the source of each plugin is.
PLUGINS = {
    "torch": "backends/torch",
    "tensorflow": "backends/tensorflow",
    "jax": "backends/jax",
    "ray": "engines/ray",
}


#: Prints why an engine can't be used.
ASK_FOR_ENGINE = """
from charkit.distributed.discovery import find_engine
from charkit.errors import EngineError
try:
    find_engine({!r})
except EngineError as error:
    print(error)
"""


class Built(NamedTuple):
    """A distribution's two files."""

    sdist: Path
    wheel: Path

    def wheel_names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def sdist_names(self) -> set[str]:
        """The names in the sdist, without the folder that they all lie in."""
        with tarfile.open(self.sdist) as archive:
            paths = [PurePosixPath(member.name) for member in archive if not member.isdir()]
        assert {path.parts[0] for path in paths} == {self.sdist.name.removesuffix(".tar.gz")}
        return {str(PurePosixPath(*path.parts[1:])) for path in paths}

    def in_wheel(self, suffix: str) -> str:
        """The text of the one file of the wheel whose name ends so."""
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(suffix))
            return archive.read(name).decode("utf-8")

    def metadata(self) -> Metadata:
        """The validated metadata. Raises for what a package index would refuse."""
        return Metadata.from_email(self.in_wheel(".dist-info/METADATA"), validate=True)


class Plugin(NamedTuple):
    """A backend or an engine of charkit's own, built: its name, which is also its library's on a package index."""

    name: str
    folder: str
    built: Built

    @property
    def packages(self) -> dict[str, str]:
        """Its one package and where its source is."""
        return {f"charkit_{self.name}": self.folder}


class Environment:
    """An empty virtual environment, whose programs run in a folder outside of the source tree."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=True)
        self.programs = folder / "venv" / "bin"
        self.work = folder / "work"
        self.work.mkdir()

    def run(self, program: str, *arguments: str) -> str:
        """Runs one of the environment's programs and returns what it prints."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "COVERAGE", "VIRTUAL_ENV"))
        }
        result = subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.work,
            env=clean,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{program} {arguments}:\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def backends(self) -> dict[str, dict[str, Any]]:
        """The rows of ``toolkit backends``, by name."""
        rows = json.loads(self.run("toolkit", "backends", "--json"))["backends"]
        return {row["name"]: row for row in rows}


def build(source: Path, to: Path) -> Built:
    """Builds an sdist, and the wheel from that sdist, which shows that the sdist is complete."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(to), str(source)], check=True)
    (sdist,), (wheel,) = to.glob("*.tar.gz"), to.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(ROOT, tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="module", params=PLUGINS)
def plugin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    name = str(request.param)
    return Plugin(name, PLUGINS[name], build(ROOT / PLUGINS[name], tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module")
def from_wheel(host: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("from_wheel"))
    environment.run("pip", "install", str(host.wheel))
    return environment


@pytest.fixture(scope="module")
def from_sdist(host: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("from_sdist"))
    environment.run("pip", "install", str(host.sdist))
    return environment


def expected_in_wheel(packages: dict[str, str]) -> set[str]:
    """The packages' files as the source tree has them, with the marker that says that they are typed."""
    return {
        str(path.relative_to(ROOT / folder))
        for package, folder in packages.items()
        for path in (ROOT / folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_hosts_wheel_holds_its_packages_and_nothing_else(host: Built) -> None:
    check_wheel(host, HOST_PACKAGES)


def test_the_plugins_wheel_holds_its_package_and_nothing_else(plugin: Plugin) -> None:
    check_wheel(plugin.built, plugin.packages)


def check_wheel(built: Built, packages: dict[str, str]) -> None:
    """Holds the wheel against the source tree."""
    modules = {name for name in built.wheel_names() if ".dist-info/" not in name}
    assert modules == expected_in_wheel(packages)
    assert {f"{package}/py.typed" for package in packages} <= modules
    assert built.in_wheel(".dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")


def test_the_hosts_sdist_holds_what_belongs_to_it_and_nothing_else(host: Built) -> None:
    names = host.sdist_names()
    tops = {PurePosixPath(name).parts[0] for name in names}
    files = {
        *("README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md"),
        *("hatch_build.py", "pyproject.toml", "tox.ini"),
    }
    assert tops == {
        *files,
        "core",
        "cli",
        "formats",
        "comparison",
        "trackers",
        "sweep",
        "reports",
        "pages",
        "backends",
        "docs",
        "tests",
        "PKG-INFO",
        ".gitignore",
    }
    assert {name.split("/")[1] for name in names if name.startswith("backends/")} == {"numpy"}
    packages = {f"{HOST_PACKAGES[name.split('/')[0]]}/{name}" for name in expected_in_wheel(HOST_PACKAGES)}
    assert packages == {
        name
        for name in names
        if name.partition("/")[0] in {*(package.partition("/")[0] for package in packages), "backends"}
    }
    scraps = (".pyc", ".safetensors", ".jsonl", ".log", ".whl", ".tar.gz")
    found = [name for name in names if name.endswith(scraps) or "/." in name or "__pycache__" in name]
    assert {
        name for name in found if not name.startswith(("tests/mutation/results/", "tests/data/"))
    } == set()


def test_the_hosts_wheel_says_what_it_is_made_of(host: Built) -> None:
    with zipfile.ZipFile(host.wheel) as archive:
        (name,) = (name for name in archive.namelist() if ".dist-info/sboms/" in name)
        bill = json.loads(archive.read(name))
    metadata = host.metadata()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    own = bill["metadata"]["component"]
    assert (own["name"], own["version"]) == ("charkit", str(metadata.version))
    assert own["licenses"] == [{"license": {"id": metadata.license_expression}}]
    ranges = {
        (component["name"], component["scope"]): component["properties"][0]["value"]
        for component in bill["components"]
    }
    assert ranges == {
        (requirement.name, "optional" if requirement.marker else "required"): str(requirement.specifier)
        for requirement in metadata.requires_dist or []
    }
    assert set(bill["dependencies"][0]["dependsOn"]) == {
        f"pkg:pypi/{name}" for name, scope in ranges if scope == "required"
    }


def test_the_plugins_sdist_holds_what_belongs_to_it_and_nothing_else(plugin: Plugin) -> None:
    files = {"README.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert plugin.built.sdist_names() == expected_in_wheel(plugin.packages) | files


def test_the_hosts_metadata_is_valid_and_complete(host: Built) -> None:
    check_metadata(host)


def test_the_plugins_metadata_is_valid_and_complete(plugin: Plugin) -> None:
    check_metadata(plugin.built)


def check_metadata(built: Built) -> None:
    """What a package index asks for, and what a reader of its page needs."""
    metadata = built.metadata()
    name, version, _, tags = parse_wheel_filename(built.wheel.name)
    assert {str(tag) for tag in tags} == {"py3-none-any"}
    assert parse_sdist_filename(built.sdist.name) == (name, version)
    assert metadata.version == version
    assert str(metadata.requires_python) == ">=3.11"
    assert metadata.license_expression == "MIT"
    assert metadata.license_files == ["LICENSE"]
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description
    assert metadata.summary
    assert metadata.classifiers


def test_the_host_needs_no_framework(host: Built) -> None:
    needed = {
        requirement.name for requirement in host.metadata().requires_dist or [] if not requirement.marker
    }
    assert needed == {
        "jinja2",
        "markupsafe",
        "matplotlib",
        "numpy",
        "packaging",
        "pluggy",
        "pydantic",
        "rich",
        "safetensors",
        "threadpoolctl",
        "typer",
    }


def test_the_plugin_fits_this_host_and_no_later_one(host: Built, plugin: Plugin) -> None:
    metadata = plugin.built.metadata()
    needed = {requirement.name: requirement for requirement in metadata.requires_dist or []}
    assert {"charkit", plugin.name} <= set(needed)
    assert needed["charkit"] == Requirement("charkit>=0.1,<0.2")
    version = host.metadata().version
    assert needed["charkit"].specifier.contains(version, prereleases=True)
    assert metadata.version == version
    entry = f"{plugin.name} = charkit_{plugin.name}.plugin"
    assert entry in plugin.built.in_wheel(".dist-info/entry_points.txt")


def test_the_wheel_trains_and_samples(from_wheel: Environment) -> None:
    text = from_wheel.work / "small.txt"
    text.write_text("".join(f"{number} and {number * 7 % 31}, naïve €.\n" for number in range(400)), "utf-8")
    result = train(from_wheel, str(text), "--run", "small", "--max-steps", "20")
    assert result["step"] == 20
    assert result["loss"] > 0
    sampled = from_wheel.run("toolkit", "sample", "small", "--length", "40", "--seed", "1", "--json")
    assert len(json.loads(sampled)["samples"][0]) == 40
    assert from_wheel.run("toolkit", "--version") == f"charkit {version_in(from_wheel)}\n"


def test_the_wheel_trains_with_no_text_at_hand(from_wheel: Environment) -> None:
    result = train(from_wheel, "--max-steps", "3")
    assert result["step"] == 3
    assert (from_wheel.work / result["run"] / "config.json").is_file()


def test_the_sdist_brings_the_numpy_backend(from_sdist: Environment) -> None:
    rows = from_sdist.backends()
    assert set(rows) - set(PLUGINS) == {"numpy"}  # which other tests install there
    assert rows["numpy"]["status"] == "usable", rows


def test_a_plugin_without_its_framework_is_told_apart(from_sdist: Environment, plugin: Plugin) -> None:
    from_sdist.run("pip", "install", "--no-deps", str(plugin.built.wheel))
    if plugin.folder.startswith("engines/"):
        refused = from_sdist.run("python", "-c", ASK_FOR_ENGINE.format(plugin.name))
        assert f"needs {plugin.name}, which is not installed; run: pip install" in refused
        return
    rows = from_sdist.backends()
    assert rows["numpy"]["status"] == "usable"
    assert rows[plugin.name]["status"] == "framework missing"
    assert f"pip install {plugin.name}" in rows[plugin.name]["reason"]


def train(environment: Environment, *arguments: str) -> dict[str, Any]:
    """Trains a tiny model and returns what ``--json`` says."""
    shape = ("--lstm-size", "8", "--batch-size", "4", "--num-steps", "8", "--sample-length", "20")
    return json.loads(environment.run("toolkit", "train", *arguments, *shape, "--json"))


def version_in(environment: Environment) -> str:
    """The version of charkit as Python sees it there."""
    return environment.run("python", "-c", "import charkit; print(charkit.__version__)").strip()
