"""Texts of any bytes, in any encoding, under any file name, and what they should read as."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from encodings.aliases import aliases
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE)
#: Encodings of text, some that are none, and some that do not exist.
ENCODINGS = (
    *sorted(set(aliases.values())),
    *(
        "utf-8",
        "utf-8-sig",
        "utf_16",
        "utf_32",
        "utf-7",
        "UTF8",
        " utf-8",
        "idna",
        "punycode",
        "unicode_escape",
    ),
    *(
        "raw_unicode_escape",
        "undefined",
        "base64",
        "rot13",
        "mbcs",
        "latin-2²",
        "utf-8\n",
        "no-such-code",
        "../x",
        "\0",
    ),
)
COMMON_ENCODINGS = (
    "utf-8",
    "utf-8",
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "cp1252",
    "latin-1",
    "utf-8-sig",
)
CHARACTERS = st.characters(codec="utf-8")
#: Characters that are read specially somewhere, or by somebody's program.
SPECIAL = st.sampled_from(
    [
        *"\r\n\t\v\f\x1c\x85\u2028\ufeff\u202e\u200d\x1b\x07\x00\x7f é\U0001f600\U0010ffffaab",
        "\r\n",
        "\r\n",
        "\r\r\n",
    ]
)
LONG_LINE = 20_000


@dataclass(frozen=True)
class DrawnText:
    """Files by their names, raw, and the options that say how to read them."""

    files: tuple[tuple[bytes, bytes], ...]  # name, content
    vocabulary: str
    encoding: str
    newlines: str

    def __repr__(self) -> str:
        shown = [
            (name, content if len(content) < 500 else content[:50] + b"...") for name, content in self.files
        ]
        return f"DrawnText({shown}, {self.vocabulary!r}, {self.encoding!r}, {self.newlines!r})"

    def write(self, folder: Path) -> list[str]:
        """Writes the files; their paths, as Python has names that are not UTF-8."""
        paths = []
        for name, content in self.files:
            path = os.path.join(os.fsencode(folder), name)
            with open(path, "wb") as file:
                file.write(content)
            paths.append(os.fsdecode(path))
        return paths

    @property
    def expected(self) -> bytes | str:
        """What is to be read, by Python's decoder of the whole. Raises what that raises where nothing can be."""
        contents = [content for _, content in sorted(self.files, key=lambda file: os.fsdecode(file[0]))]
        if self.vocabulary == "byte":
            return b"".join(contents)
        texts = [
            codecs.getincrementaldecoder(self.encoding)().decode(content, final=True).removeprefix("\ufeff")
            for content in contents
        ]
        if self.newlines == "lf":
            texts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
        return "".join(texts)


def file_names() -> SearchStrategy[bytes]:
    """Names that a file system takes: any bytes but a slash and NUL."""
    odd = st.sampled_from(
        [b"-rf", b"--run", b"a b.txt", b"\xff\xfe.txt", b"x\ny.txt", b"\x1b[31m", b"[red]", b"*", b"~"]
    )
    any_bytes = st.binary(min_size=1, max_size=40).map(
        lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_")
    )
    return st.one_of(st.just(b"text.txt"), odd, any_bytes).filter(lambda name: name not in {b".", b".."})


def contents(encoding: str) -> SearchStrategy[bytes]:
    """Raw content: text in the encoding, or in another, or no text at all."""
    pieces = st.lists(st.one_of(SPECIAL, CHARACTERS, st.text(CHARACTERS, max_size=20)), max_size=60).map(
        "".join
    )
    repeated = st.tuples(pieces, st.integers(0, 40)).map(lambda drawn: drawn[0] * drawn[1])
    one_character = st.tuples(CHARACTERS, st.integers(1, 500)).map(lambda drawn: drawn[0] * drawn[1])
    long_line = CHARACTERS.map(lambda character: f"ab{character}" * (LONG_LINE // 3))
    text = st.one_of(pieces, repeated, repeated, one_character, long_line)
    return st.one_of(
        text.map(lambda drawn: _encoded(drawn, encoding)),
        text.map(lambda drawn: _encoded(drawn, encoding)),
        text.map(lambda drawn: drawn.encode("utf-8")),
        st.binary(max_size=300),
        st.tuples(st.sampled_from(BYTE_ORDER_MARKS), st.binary(max_size=40)).map(b"".join),
        st.text(max_size=40).map(lambda drawn: drawn.encode("utf-16-le", "surrogatepass")),
        st.just(b""),
    )


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding, "replace")
    except (LookupError, ValueError, TypeError):  # no encoding of text, or none that has a question mark
        return text.encode("utf-8")


@st.composite
def drawn_texts(draw: st.DrawFn) -> DrawnText:
    """One to three files and how to read them."""
    encoding = draw(st.one_of(st.sampled_from(COMMON_ENCODINGS), st.sampled_from(ENCODINGS)))
    names = draw(st.lists(file_names(), min_size=1, max_size=3, unique=True))
    return DrawnText(
        files=tuple((name, draw(contents(encoding))) for name in names),
        vocabulary=draw(st.sampled_from(["char", "char", "char", "byte"])),
        encoding=encoding,
        newlines=draw(st.sampled_from(["lf", "keep"])),
    )
