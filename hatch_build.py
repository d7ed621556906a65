"""Adds to the wheel what it is made of: a software bill of materials in CycloneDX, in ``.dist-info/sboms`` (PEP 770).

The wheel holds no other project's code. So the bill lists the wheel itself, and what its metadata require or can use,
with the range of versions that they admit: which version is installed is decided where it is installed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement

FILE = "charkit.cdx.json"


class BillOfMaterialsHook(BuildHookInterface):
    """The hook that hatchling calls before and after it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes the bill to a folder of its own; editable wheels have none."""
        if version != "standard":
            return
        self._folder = Path(tempfile.mkdtemp(prefix="charkit-sbom-"))
        path = self._folder / FILE
        path.write_text(json.dumps(self._bill(), indent=2) + "\n", "utf-8")
        build_data["sbom_files"].append(str(path))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes that folder."""
        if version == "standard":
            shutil.rmtree(self._folder)

    def _bill(self) -> dict[str, Any]:
        core = self.metadata.core
        required = [_component(requirement, "required") for requirement in core.dependencies]
        optional = [
            _component(requirement, "optional")
            for requirements in core.optional_dependencies.values()
            for requirement in requirements
        ]
        own = f"pkg:pypi/{core.name}@{self.metadata.version}"
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "library",
                    "bom-ref": own,
                    "name": core.name,
                    "version": self.metadata.version,
                    "description": core.description,
                    "licenses": [{"license": {"id": core.license_expression}}],
                    "purl": own,
                }
            },
            "components": [*required, *optional],
            "dependencies": [{"ref": own, "dependsOn": [component["bom-ref"] for component in required]}],
        }


def _component(requirement: str, scope: str) -> dict[str, Any]:
    """A library that is installed beside the wheel, in the range that the metadata admit."""
    parsed = Requirement(requirement)
    url = f"pkg:pypi/{parsed.name.lower()}"
    return {
        "type": "library",
        "bom-ref": url,
        "name": parsed.name,
        "scope": scope,
        "purl": url,
        "properties": [{"name": "charkit:version-range", "value": str(parsed.specifier)}],
    }
