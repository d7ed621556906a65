"""Paths and URLs: which is which, and that no record of a URL holds a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from charkit.errors import TextError
from charkit.text.locations import (
    absolute,
    child,
    folder_of,
    is_url,
    last_part,
    name_of,
    recorded,
    scheme_of,
    without_secrets,
)


@pytest.mark.parametrize("text", ["a.txt", "/a/b", "c:/x", "c://x", "a:b", "://x", "a//b", "1a://b"])
def test_paths(text: str) -> None:
    assert not is_url(text)
    assert recorded(text) == text
    assert absolute(text) == str(Path(text).resolve())


@pytest.mark.parametrize(
    ("url", "kept", "name"),
    [
        ("https://host/a/anna.txt", "https://host/a/anna.txt", "anna"),
        ("HTTPS://me:word@host:8080/a.b.txt?sig=word#word", "https://host:8080/a.b.txt", "a.b"),
        ("https://me:w@rd@host/a?x=https://you:word@there/b", "https://host/a", "a"),
        ("https://host?key=word", "https://host", "host"),
        ("s3://bucket/my texts/?versionId=word", "s3://bucket/my texts/", "my-texts"),
        ("hf://datasets/me/it@main/a.txt", "hf://datasets/me/it@main/a.txt", "a"),
    ],
)
def test_urls(url: str, kept: str, name: str) -> None:
    assert is_url(url)
    assert recorded(url) == absolute(url) == without_secrets(url) == kept
    assert recorded(kept) == kept
    assert name_of(url) == name
    assert "word" not in last_part(url)


def test_urls_among_words() -> None:
    words = "--text=https://me:word@host/a?sig=word 's3://b/c?word' \"hf://x?word\" not/a:/url"
    assert without_secrets(words) == "--text=https://host/a 's3://b/c' \"hf://x\" not/a:/url"


def test_folders_of_urls() -> None:
    assert child("https://host/a/?sig=1", "b.json") == "https://host/a/b.json?sig=1"
    assert child("s3://bucket/a", "b.json") == "s3://bucket/a/b.json"
    assert folder_of("https://host/a/b.json?sig=1", "b.json") == "https://host/a/?sig=1"
    assert folder_of("https://host/a/xb.json", "b.json") is None


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "memory://x", "s4://b/k?sig=word"])
def test_a_scheme_that_is_not_read(url: str) -> None:
    with pytest.raises(
        TextError, match="give a path, or a URL with one of the schemes http, https, s3, gs, hf"
    ) as caught:
        scheme_of(url)
    assert "word" not in str(caught.value)
