"""The reference of the settings, from the schema of the configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import UnionType
from typing import Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from charkit.config import RunConfig, SamplingConfig

_LIMITS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}


def sections() -> dict[str, dict[str, FieldInfo]]:
    """The fields of each section of a run's configuration, and of sampling."""
    found = {
        name: field.annotation.model_fields
        for name, field in RunConfig.model_fields.items()
        if hasattr(field.annotation, "model_fields")
    }
    return {**found, "sampling": SamplingConfig.model_fields}


def part() -> str:
    """A table for each section."""
    return "\n".join(line for name, fields in sections().items() for line in _section(name, fields))


def _section(name: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield f"## {name}\n"
    yield "| setting | meaning | default | allowed |"
    yield "|---|---|---|---|"
    for key, field in fields.items():
        default = "required" if field.is_required() else f"`{_shown(field.default)}`"
        yield f"| `{key}` | {_cell(field.description or '')} | {default} | {_allowed(field)} |"
    yield ""


def _shown(value: object) -> str:
    if value is None or value in ((), ""):
        return "none"
    if isinstance(value, tuple):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(field: FieldInfo) -> str:
    kinds = [kind for kind in _parts(field.annotation) if kind is not type(None)]
    choices = [f"`{choice}`" for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices:
        return ", ".join(choices)
    limits = [
        pattern.format(f"{getattr(rule, name):,}")
        for rule in field.metadata
        for name, pattern in _LIMITS.items()
        if getattr(rule, name, None) is not None and getattr(rule, name) < 2**53
    ]
    name = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    words = {"int": "integer", "float": "number", "str": "text", "bool": "yes or no", "tuple": "list"}
    return ", ".join([words.get(name, name), *limits])


def _parts(annotation: object) -> tuple[object, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    return (annotation,)


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
