"""The file ``config.json`` of a run: its format, what is written, and what is accepted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from charkit.config import RunConfig, build, first_problem
from charkit.errors import RunError, shown
from charkit.runs.files_by_path import to_json
from charkit.text.locations import absolute_from, is_absolute, is_url, scheme_of
from charkit.version import version

#: 2 since runs say which recipe they were made with, and may have no number of epochs.
FORMAT = 2
#: The text of a run that was trained on a string, in its folder; ``config.json`` names it relative to that.
TEXT = "text.txt"


def later_format_message(path: Path, content: dict[str, Any]) -> str:
    """The message for a run of a later format: which charkit reads it. The one that wrote it does."""
    writer = content.get("charkit")
    known = isinstance(writer, str) and re.fullmatch(r"\d[\w.+!-]{0,30}", writer, re.ASCII)
    needed = f"charkit {writer} or later" if known else "a later version of charkit"
    return (
        f"{str(path)!r} is in format {content['format']}, but charkit {version()} reads formats 1 to {FORMAT}; "
        f"use {needed}"
    )


def config_json(config: RunConfig, text_sha256: str) -> bytes:
    """The content of ``config.json``."""
    content = {"format": FORMAT, "charkit": version(), "text_sha256": text_sha256}
    return to_json({**content, "config": config.model_dump(mode="json")})


def with_paths_from(folder: Path, config: RunConfig) -> RunConfig:
    """The configuration with its text's paths absolute; a relative one is inside the run's folder."""
    paths = tuple(absolute_from(folder.resolve(), text) for text in config.data.text)
    return config.model_copy(update={"data": config.data.model_copy(update={"text": paths})})


class _Content(BaseModel):
    """The content of ``config.json`` around the configuration itself."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: int = Field(ge=1)
    charkit: str
    text_sha256: str = Field(pattern="^([0-9a-f]{64})?$")
    config: dict[str, Any]


def read_configuration(path: Path, content: dict[str, Any]) -> tuple[RunConfig, str]:
    """The configuration of a run and the SHA-256 of its text. Raises RunError, ConfigurationError."""
    try:
        identity = _Content.model_validate(content)
    except ValidationError as error:
        raise RunError(f"config.json: {first_problem(error)}") from error
    config = build(RunConfig, identity.config)
    for text in config.data.text:
        if is_url(text):
            scheme_of(text)
        elif not is_absolute(text) and text != TEXT:
            raise RunError(
                f"config.json names the text {shown(text)}, which is neither an absolute path nor {TEXT} in the run"
            )
    return with_paths_from(path, config), identity.text_sha256
