"""Settings in the schema and beside it: what the harness of settings draws."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic.fields import FieldInfo

from charkit.config import SECTIONS
from charkit.recipe import RECIPES_FOLDER, Recipe

#: Every key by its section, ``vocabulary_size`` too, which can't be set.
KEYS = [(section, key) for section, schema in SECTIONS.items() for key in schema.model_fields]
#: Letters that look like others, or like nothing, or that turn the direction of a line.
LOOK_ALIKES = str.maketrans({"a": "а", "e": "е", "o": "о", "i": "і", "_": "‿", "s": "ѕ", ".": "․"})
NUMBERS: list[Any] = [
    *(0, 1, -1, 2, 64, 10**6, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, -(10**400)),
    *(
        0.0,
        -0.0,
        0.1,
        0.5,
        0.999999999999999999,
        1.0,
        5e-324,
        1e-60,
        1e308,
        float("nan"),
        float("inf"),
        -float("inf"),
    ),
]
WORDS: list[Any] = [
    *(
        "",
        " ",
        "0",
        "00",
        "1_000",
        "1e3",
        "0x10",
        "1.0",
        "nan",
        "inf",
        "-inf",
        "NaN",
        "true",
        "none",
        "null",
        "None",
    ),
    *(
        "500",
        "٣",
        "１２",
        "²",
        "90s",
        "10m",
        "2h",
        "0s",
        "٣s",
        "1e3s",
        f"{'9' * 400}s",
        "5 m",
        "9" * 400,
        "9" * 5_000,
    ),
    *(
        "cosine",
        "char",
        "byte",
        "float64",
        "keep",
        "constant\u200b",
        "\x1b[31mred",
        "\x00",
        "\ud800",
        "a\nb",
        "\u202e",
    ),
    *("x" * 5_000, "*.txt", "**", "../../etc", "/dev/zero", "`learning_rate`", "%s", "{0}", "[bold]"),
]


def _valid(field: FieldInfo) -> SearchStrategy[Any]:
    """Values near or in what the field allows: its choices, its bounds and around them, its default."""
    found: list[Any] = [field.default]
    for rule in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            bound = getattr(rule, name, None)
            if bound is not None:
                found += [bound, bound - 1, bound + 1, bound / 2 + 0.25]
    for kind in (field.annotation, *get_args(field.annotation)):
        if get_origin(kind) is Literal:
            found += get_args(kind)
    return st.sampled_from(found)


def values(field: FieldInfo | None = None) -> SearchStrategy[Any]:
    """Anything that Python or TOML can hold, more often what the field allows."""
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(NUMBERS),
        st.integers(),
        st.floats(),
        st.sampled_from(WORDS),
        st.text(),
    )
    nested = st.recursive(
        plain,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    )
    deep = st.integers(10, 200).map(lambda depth: json.loads("[" * depth + "]" * depth))
    beside = st.one_of(plain, nested, deep)
    return beside if field is None else st.one_of(_valid(field), _valid(field), beside)


@st.composite
def _entries(draw: st.DrawFn, strange: bool) -> tuple[str, str, Any]:
    """A section, a key and a value; with ``strange``, sometimes names that are none."""
    section, key = draw(st.sampled_from(KEYS))
    value = draw(values(SECTIONS[section].model_fields[key]))
    if strange and draw(st.integers(0, 9)) == 0:
        section = draw(
            st.sampled_from([section.translate(LOOK_ALIKES), section.upper(), "", "rule", section + " "])
        )
    if strange and draw(st.integers(0, 9)) == 0:
        key = draw(
            st.sampled_from([key.translate(LOOK_ALIKES), key.upper(), key[:-1], "", key + "\n", "__class__"])
        )
    return section, key, value


@st.composite
def settings(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Settings by section and key, mostly of names that exist."""
    strange = draw(st.integers(0, 3)) == 0
    found: dict[str, dict[str, Any]] = {}
    for section, key, value in draw(st.lists(_entries(strange), max_size=4)):
        found.setdefault(section, {})[key] = value
    return found


@dataclass(frozen=True)
class Assignment:
    """One argument of ``--set``."""

    written: str


@st.composite
def _assignments(draw: st.DrawFn) -> Assignment:
    section, key, value = draw(_entries(strange=True))
    quoted = draw(st.sampled_from([_toml, str, repr]))
    equals = draw(st.sampled_from(["=", "=", "=", " = ", "==", "", "=\n"]))
    return Assignment(
        f"{section}{draw(st.sampled_from(['.', '.', '.', '', '..', ' .']))}{key}{equals}{quoted(value)}"
    )


def assignments() -> SearchStrategy[tuple[Assignment, ...]]:
    """The arguments of ``--set``, well-formed and not."""
    anything = st.text(max_size=40).map(Assignment)
    return st.lists(st.one_of(_assignments(), _assignments(), anything), min_size=1, max_size=3).map(tuple)


def _toml(value: Any) -> str:
    """The value in TOML, as far as TOML has it."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{json.dumps(name)} = {_toml(each)}' for name, each in value.items())}}}"
    return json.dumps(str(value))


def _file(table: dict[str, Any]) -> str:
    lines = []
    for name, content in table.items():
        if isinstance(content, dict):
            lines += [f"[{name}]" if name.isidentifier() else f"[{json.dumps(name)}]"]
            lines += [f"{json.dumps(key)} = {_toml(value)}" for key, value in content.items()]
        else:
            lines.insert(0, f"{json.dumps(name)} = {_toml(content)}")
    return "\n".join(lines) + "\n"


def toml_files() -> SearchStrategy[bytes]:
    """Configuration files: of settings, of sections that are none, and of no TOML at all."""
    of_settings = settings().map(_file).map(lambda text: text.encode("utf-8", "replace"))
    loose = st.dictionaries(st.text(max_size=8), values(), max_size=3).map(_file)
    bombs = st.sampled_from(
        [b"a = " + b"[" * 5_000, b"[a" + b".a" * 5_000 + b"]", b"x = " + b"9" * 5_000, b"\xef\xbb\xbf"]
    )
    return st.one_of(
        of_settings,
        of_settings,
        loose.map(lambda text: text.encode("utf-8", "replace")),
        bombs,
        st.binary(max_size=60),
    )


@st.composite
def _recipes(draw: st.DrawFn) -> bytes:
    """A recipe of charkit's own with some of its lines changed, dropped or doubled, or with other values."""
    lines = draw(st.sampled_from(sorted(RECIPES_FOLDER.glob("*.toml")))).read_text("utf-8").splitlines()
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        name, equals, _before = lines[place].partition("=")
        change = draw(st.sampled_from(["value", "value", "value", "drop", "double", "rename", "add"]))
        if change == "value" and equals:
            lines[place] = f"{name}= {_toml(draw(values()))}"
        elif change == "rename" and equals:
            lines[place] = f"{draw(st.sampled_from(sorted(Recipe.model_fields)))} = {_toml(draw(values()))}"
        elif change == "drop" and len(lines) > 1:
            del lines[place]
        elif change == "double":
            lines.insert(place, lines[place])
        else:
            section, key, value = draw(_entries(strange=True))
            lines += [
                f"[{section}]" if section.isidentifier() else "[x]",
                f"{json.dumps(key)} = {_toml(value)}",
            ]
    return "\n".join(lines).encode("utf-8", "replace")


def recipe_files() -> SearchStrategy[bytes]:
    """Recipe files: charkit's own, changed, and others."""
    return st.one_of(_recipes(), _recipes(), _recipes(), toml_files())


def command_lines() -> SearchStrategy[tuple[str, ...]]:
    """Options of ``train`` with values of any kind, each as one argument."""

    @st.composite
    def option(draw: st.DrawFn) -> str:
        section, key, value = draw(_entries(strange=True))
        if (section, key) == ("data", "text"):
            key = "glob"
        return draw(
            st.sampled_from([f"--{key.replace('_', '-')}={value}", f"--set={section}.{key}={_toml(value)}"])
        ).replace("\0", "")

    others = st.tuples(
        st.sampled_from(
            ["--threads", "--backend", "--device", "--recipe", "--config", "--resume", "--init-from"]
        ),
        st.one_of(st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.text(max_size=20)).map(str),
    ).map("=".join)
    return st.lists(st.one_of(option(), option(), option(), others), min_size=1, max_size=4).map(tuple)
