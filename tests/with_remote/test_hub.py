"""Texts on the Hugging Face hub, by a small server of these tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import charkit
from charkit.config import DataConfig
from charkit.errors import TextError
from charkit.text.corpus import open_corpus
from cli_support import TINY, Toolkit
from text_support import message_of
from training_support import bits_of, train
from with_remote.hub_server import DATASET, HubServer
from with_remote.remote_support import KIBIBYTE, changing, content, sha_of

pytestmark = pytest.mark.remote
BOOKS = f"hf://datasets/{DATASET}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A server of one dataset, which fsspec takes for the hub."""
    import fsspec

    with HubServer() as server:
        monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": server.address})
        yield server


def test_a_file_of_a_dataset(hub: HubServer, text_file: Path, toolkit: Toolkit) -> None:
    hub.files["books/all.txt"] = text_file.read_bytes()
    alone = bits_of(train(text_file, max_steps=5))
    for url in (f"{BOOKS}/books/all.txt", f"{BOOKS}@main/books/all.txt"):
        assert bits_of(train(url, max_steps=5)) == alone
    toolkit.ok("train", f"{BOOKS}/books/all.txt", *TINY, "--max-steps", "5")


def test_a_folder_of_a_dataset(hub: HubServer) -> None:
    hub.files = {f"{name}": name.encode() + b"\n" for name in ("b.txt", "a/c.txt", "a/d.md", "a/e/f.txt")}
    with open_corpus(DataConfig(text=(BOOKS,), glob=("*.txt",))) as corpus:
        assert corpus.vocabulary.decode(corpus.symbols) == "a/c.txt\na/e/f.txt\nb.txt\n"
        assert corpus.notices == ("3 files read",)
    assert sha_of(f"{BOOKS}/a", glob="*.md") == hashlib.sha256(b"a/d.md\n").hexdigest()


def test_a_prepared_text_in_a_dataset(hub: HubServer, text_file: Path) -> None:
    for path in charkit.prepare(text_file, "here").path.iterdir():
        hub.files[f"there/{path.name}"] = path.read_bytes()
    assert sha_of(f"{BOOKS}/there") == hashlib.sha256(text_file.read_bytes()).hexdigest()
    charkit.prepare(f"{BOOKS}/there", "fetched")
    for name in ("charkit-text.json", "symbols.bin"):
        assert Path("fetched", name).read_bytes() == Path("here", name).read_bytes()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("after", [100 * KIBIBYTE, 300 * KIBIBYTE - 1])
def test_a_file_that_changes_between_reads(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    url = f"{BOOKS}/a.txt"
    hub.files["a.txt"] = content(300 * KIBIBYTE)
    assert sha_of(url) == hashlib.sha256(content(300 * KIBIBYTE)).hexdigest()
    other = content(300 * KIBIBYTE, seed=2)
    changing(monkeypatch, after, lambda: hub.files.update({"a.txt": other}))
    assert f"{url!r} changed while it was being read" in message_of(TextError, lambda: sha_of(url))


@pytest.mark.parametrize("url", [f"{BOOKS}/none.txt", "hf://datasets/someone/else/a.txt"])
def test_what_is_not_on_the_hub(hub: HubServer, toolkit: Toolkit, url: str) -> None:
    hub.files["a.txt"] = b"one\n"
    assert toolkit.error("train", url, *TINY).startswith(f"can't read {url!r}: the store has no such object")


@pytest.mark.parametrize("url", ["hf://x", "hf://datasets/x"])
def test_a_url_that_names_no_repository_is_refused_at_once(
    hub: HubServer, toolkit: Toolkit, url: str
) -> None:
    expected = f"can't read {url!r}: the store can't have an object with this URL; check the URL"
    assert toolkit.error("train", url, *TINY) == expected
