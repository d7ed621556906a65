"""The JSON schema of ``report.json``, made from the model that writes it.

python -m charkit_comparison.page.schema docs/report-schema.json
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from charkit.runs.files_by_path import replace_file, to_json
from charkit_comparison.report import ComparisonReport

#: What a measured number is in the file: a loss can be NaN or infinite, which JSON does not have.
_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_MEASURED = ("Control", "Examination", "Finding", "Outcome", "Pair", "Round", "Validation")


def report_schema() -> bytes:
    """The schema as indented JSON. Every field is required, because a written report has them all."""
    schema = ComparisonReport.model_json_schema(mode="serialization")
    parts = schema["$defs"]
    for part in (schema, *parts.values()):
        part["required"] = list(part["properties"])
    for name in _MEASURED:
        parts[name] = _measured(parts[name])
    parts["Number"] = _NUMBER
    return to_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **_normalized(schema)})


def _normalized(rule: Any) -> Any:
    """The rule in one form: pydantic's releases differ in how they write a whole number and a reference."""
    if isinstance(rule, float) and rule.is_integer():
        return int(rule)
    if isinstance(rule, list):
        return [_normalized(one) for one in rule]
    if not isinstance(rule, dict):
        return rule
    normalized = {}
    for key, value in rule.items():
        match key, value:
            case "allOf", [{"$ref": target}]:
                normalized["$ref"] = target
            case _:
                normalized[key] = _normalized(value)
    return normalized


def _measured(rule: Any) -> Any:
    """The rule with ``Number`` in the place of each number."""
    if isinstance(rule, dict):
        changed = {key: _measured(value) for key, value in rule.items()}
        if changed.get("type") == "number":
            del changed["type"]
            changed["$ref"] = "#/$defs/Number"
        return changed
    return [_measured(one) for one in rule] if isinstance(rule, list) else rule


def main(arguments: list[str]) -> None:
    """Writes the schema to the file that is named."""
    replace_file(Path(arguments[0]), report_schema())


if __name__ == "__main__":
    main(sys.argv[1:])
