"""The JSON schema of ``report.json``, made from the model that writes it.

python -m charkit_reports.schema docs/report-schema.json
"""

from __future__ import annotations

import sys
from pathlib import Path

from charkit.comparison import Report
from charkit.storage import replace_file, to_json


def report_schema() -> bytes:
    """The schema as indented JSON. Every field is required, because a written report has them all."""
    return to_json(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **Report.model_json_schema(mode="serialization"),
        }
    )


def main(arguments: list[str]) -> None:
    """Writes the schema to the file that is named."""
    replace_file(Path(arguments[0]), report_schema())


if __name__ == "__main__":
    main(sys.argv[1:])
