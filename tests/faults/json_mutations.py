"""JSON that charkit does not write: odd values, keys that are missing, foreign or doubled, nesting without end."""

from __future__ import annotations

import json
from random import Random
from typing import Any

#: Values as JSON text, since some of them can't be a value of Python's.
ODD_VALUES = (
    "null",
    "true",
    "false",
    "-1",
    "0",
    "1",
    "0.5",
    "-0.0",
    "1e308",
    "1e999",
    "NaN",
    "-Infinity",
    "9007199254740993",
    "9223372036854775808",
    "1" + "0" * 30,
    "7" * 5000,
    '""',
    '"x"',
    '"NaN"',
    '"\\ud800"',
    '"\\u0000"',
    '"\\u001b[2J"',
    '"' + "y" * 3000 + '"',
    '"../../outside.txt"',
    '"/dev/zero"',
    "[]",
    "[1, 2]",
    "{}",
    '{"a": null}',
    "[" * 40 + "]" * 40,
    "[" * 30_000 + "]" * 30_000,
)
#: Marks the place of an odd value until the whole is text.
_PLACE = "\x00place\x00"


def mutate_json(text: str, random: Random) -> tuple[str, str]:
    """A JSON text with one thing changed, and what that was."""
    content = json.loads(text)
    kind = random.choice(("value", "value", "value", "remove", "add", "double", "whole"))
    if kind == "whole" or not isinstance(content, dict | list) or not content:
        odd = random.choice(ODD_VALUES)
        return odd, f"it is {odd[:30]}"
    parent, key = random.choice(list(_places(content)))
    where = f"{key!r}"
    if kind == "remove":
        del parent[key]
        return json.dumps(content), f"{where} removed"
    if kind == "add" and isinstance(parent, dict):
        parent[random.choice(("foreign", "factory", "__class__", "Step"))] = 1
        return json.dumps(content), f"a key added beside {where}"
    odd = random.choice(ODD_VALUES)
    if kind == "double" and isinstance(parent, dict):
        again = {key: _PLACE, **{name: value for name, value in parent.items() if name != key}}
        parent.clear()
        parent.update(again)
        parent[f"{_PLACE}{key}"] = parent[key]
        doubled = json.dumps(content).replace(json.dumps(_PLACE)[1:-1] + str(key), str(key))
        return doubled.replace(json.dumps(_PLACE), odd), f"{where} twice, with {odd[:30]}"
    parent[key] = _PLACE
    return json.dumps(content).replace(json.dumps(_PLACE), odd), f"{where} is {odd[:30]}"


def _places(content: Any) -> Any:
    """Every place in the content, as the dictionary or list that holds it, and its key there."""
    keys = list(content) if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])
