"""Versions that don't fit together: of the contract, of charkit, of the framework; found from metadata alone."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from charkit.errors import BackendError
from charkit.hookspecs import API_VERSION, CONTRACT_CHANGES, BackendInfo, hookimpl
from charkit.plugins import FrameworkMissingError, WrongVersionError, compatibility, find
from charkit.plugins.requirements import Unmet, install_command, unmet
from plugin_support import InstalledSite


def metadata(site: Path, name: str, version: str, *requires: str) -> Distribution:
    """Writes the metadata of a distribution into a folder, as an installer leaves it."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {need}" for need in requires]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")
    return Distribution.at(folder)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path where distributions can be put."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


# ---- what is met ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "need", "met"),
    [
        ("2.13.0+cpu", "abacus>=2.4", True),
        ("2.13.0+cpu", "abacus==2.13.0", True),
        ("2.3.1", "abacus>=2.4", False),
        ("3.0rc1", "abacus>=2.4", True),
        ("3.0rc1", "abacus>=3.0", False),
        ("0.2.dev1", "abacus>=0.1,<0.2", False),
        ("5.0", "abacus>=2.4,<5", False),
        ("5.0", "abacus", True),
        ("5.0", "abacus[beads]>=2", True),
        ("5.0", "Abacus>=6", False),
        ("unreadable", "abacus>=1", False),
        ("1.0", "abacus>=9; python_version < '3'", True),
        ("1.0", "abacus>=9; extra == 'beads'", True),
        ("1.0", "abacus>=9; python_version >= '3'", False),
    ],
)
def test_a_range_is_read_as_pip_reads_it(site: Path, installed: str, need: str, met: bool) -> None:
    metadata(site, "abacus", installed)
    assert [found.installed for found in unmet(metadata(site, "charkit_odd", "1.0", need))] == (
        [] if met else [installed]
    )


def test_what_is_not_installed_is_told_as_it_is_asked_for(site: Path) -> None:
    needs = unmet(metadata(site, "charkit_odd", "1.0", "abacus-x[wood,bone]!=2.2,<3,>=2", "numpy"))
    assert [(str(need), need.installed) for need in needs] == [("abacus-x[bone,wood]>=2,!=2.2,<3", None)]
    assert install_command(needs) == "pip install 'abacus-x[bone,wood]>=2,!=2.2,<3'"


def test_a_module_that_another_distribution_brings_is_there(site: Path) -> None:
    wanting = metadata(site, "charkit_odd", "1.0", "abacus-x>=2")
    (site / "abacus_x").mkdir()
    assert len(unmet(wanting)) == 1, "a folder without code is no module"
    (site / "abacus_x" / "__init__.py").write_text("raise AssertionError('it was imported')\n")
    assert unmet(wanting) == []


# ---- messages ---------------------------------------------------------------------------------------


def test_requirements_that_cannot_be_read_are_the_plugins_fault(
    site: Path, distributions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    InstalledSite(site).install(distributions / "good")
    monkeypatch.delitem(sys.modules, "charkit_good.plugin", raising=False)
    found = next(site.glob("charkit_good-*.dist-info")) / "METADATA"
    found.write_text(found.read_text().replace("Requires-Dist: numpy", "Requires-Dist: ?numpy"))
    with pytest.raises(
        BackendError, match=r"'good' .* is broken: its requirements can't be read: Inv.* \?numpy"
    ):
        _ = find("good").info


def test_several_frameworks_are_told_together(
    everything: InstalledSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(everything.folder))
    distribution = type(find("good").entry_point.dist)
    monkeypatch.delitem(sys.modules, "charkit_good.backend", raising=False)
    monkeypatch.setattr(distribution, "requires", ["numpy>=98", "pluggy>=99"])
    with pytest.raises(WrongVersionError) as wrong:
        _ = find("good").backend_class
    assert "needs numpy>=98 and pluggy>=99, but numpy " in str(wrong.value)
    assert " are installed; run: pip install 'numpy>=98' 'pluggy>=99'" in str(wrong.value)
    monkeypatch.setattr(distribution, "requires", ["numpy>=98", "abacus-x>=3", "abacus-y"])
    with pytest.raises(FrameworkMissingError) as missing:
        _ = find("good").backend_class
    assert str(missing.value).endswith(
        " needs abacus-x>=3 and abacus-y, which are not installed; run: pip install 'abacus-x>=3' abacus-y"
    )


def test_the_frameworks_version_is_told_before_the_plugins_class_is_imported(
    everything: InstalledSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(everything.folder))
    with pytest.raises(WrongVersionError):
        _ = find("too-old").backend_class
    assert "charkit_too_old.plugin" in sys.modules
    assert "charkit_too_old.backend" not in sys.modules


def test_another_charkit_is_told_before_anything_of_the_plugin_is_imported(
    everything: InstalledSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(everything.folder))
    with pytest.raises(WrongVersionError, match="needs charkit>=99,<100, but charkit "):
        _ = find("other-charkit").info
    assert "charkit_other_charkit" not in sys.modules


def test_an_editable_install_is_looked_at_alike(tmp_path: Path, distributions: Path) -> None:
    site = InstalledSite(tmp_path / "site").install_editable(
        distributions / "good", distributions / "too-old"
    )
    assert list(site.folder.glob("*.pth"))
    rows = {row["name"]: row for row in site.json("backends")["backends"]}
    assert rows["good"]["status"] == "usable"
    assert rows["too-old"]["status"] == "wrong version"
    assert "needs numpy>=99,<100, but numpy " in rows["too-old"]["reason"]


# ---- the contract ---------------------------------------------------------------------------------------


def test_every_version_of_the_contract_says_what_it_changed() -> None:
    assert sorted(CONTRACT_CHANGES) == list(range(1, API_VERSION + 1))
    assert all(what and "\n" not in what for what in CONTRACT_CHANGES.values())


@pytest.mark.parametrize(
    ("backend", "changes"),
    [
        ("older", "version 1: the first; 2: the second; 3: the third"),
        ("good", "version 2: the second; 3: the third"),
    ],
)
def test_an_older_plugin_is_told_all_that_changed_since(
    everything: InstalledSite, monkeypatch: pytest.MonkeyPatch, backend: str, changes: str
) -> None:
    monkeypatch.syspath_prepend(str(everything.folder))
    monkeypatch.setattr(compatibility, "API_VERSION", 3)
    monkeypatch.setattr(compatibility, "CONTRACT_CHANGES", {1: "the first", 2: "the second", 3: "the third"})
    info = BackendInfo(backend, "charkit_x.backend:X", "made up", api=0 if backend == "older" else 1)
    monkeypatch.setattr(f"charkit_{backend}.plugin.charkit_backend", hook(info))
    with pytest.raises(WrongVersionError) as wrong:
        _ = find(backend).info
    assert str(wrong.value).endswith(
        f"but this version of charkit supports 3; ask the author of charkit-{backend} for a release that supports "
        f"version 3; changes in {changes}"
    )


@pytest.mark.parametrize(
    "wrong", [{"api": "1"}, {"api": True}, {"api": None}, {"factory": None}, {"verified": None}]
)
def test_a_hook_that_answers_with_other_types_is_broken(
    everything: InstalledSite, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, object]
) -> None:
    monkeypatch.syspath_prepend(str(everything.folder))
    info = BackendInfo("good", "charkit_good.backend:GoodBackend", "made up")._replace(**wrong)  # type: ignore[arg-type]
    monkeypatch.setattr("charkit_good.plugin.charkit_backend", hook(info))
    with pytest.raises(
        BackendError,
        match=r"must have an integer api, and its factory, .* must each be one printable line .*; got",
    ):
        _ = find("good").info


def hook(info: BackendInfo) -> object:
    """A hook that answers with it."""

    @hookimpl
    def charkit_backend() -> BackendInfo:
        return info

    return charkit_backend


def test_the_url_of_a_requirement_is_in_the_command() -> None:
    need = Unmet("beads", frozenset({"wood"}), SpecifierSet(), None, "https://example.org/beads.whl")
    assert install_command([need]) == "pip install 'beads[wood] @ https://example.org/beads.whl'"


@pytest.mark.parametrize("factory", ["package.backend", "", ".backend:Backend", "package:", "package:A:B"])
def test_a_factory_that_names_no_class_is_shown(monkeypatch: pytest.MonkeyPatch, factory: str) -> None:
    info = BackendInfo(name="numpy", factory=factory, api=1, summary="", requires="")
    monkeypatch.setattr("charkit_numpy.plugin.charkit_backend", hookimpl(lambda: info))
    with pytest.raises(
        BackendError, match=f"its factory must be of the form 'package.module:Class'; got '{factory}'"
    ):
        _ = find("numpy").info
