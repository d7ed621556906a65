"""Texts in object stores: S3 by a server of its own, Google Cloud Storage by a small one of these tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import charkit
import charkit.text.remote
from charkit.config import DataConfig
from charkit.errors import TextError
from charkit.text.corpus import open_corpus
from charkit.text.remote import transport_for
from cli_support import TINY, Toolkit
from text_support import message_of
from training_support import bits_of, train
from with_remote.cloud_server import CloudServer
from with_remote.remote_support import KIBIBYTE, changing, content, sha_of

pytestmark = pytest.mark.remote


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.parametrize(
    ("url", "package", "said"),
    [
        ("gs://b/y", "gcsfs", "Please install gcsfs to access Google Storage"),
        ("hf://datasets/b/y", "huggingface_hub", "Install huggingface_hub to access HfFileSystem"),
    ],
)
def test_a_store_whose_package_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str, said: str
) -> None:
    def lacking(scheme: str) -> None:  # as fsspec has it
        raise ImportError(said)

    monkeypatch.setattr("fsspec.get_filesystem_class", lacking)
    message = message_of(TextError, lambda: transport_for(url))
    assert message.startswith(
        f"can't read '{url}': {package} is not installed; to read URLs, run: pip install "
    )


class Bucket:
    """A bucket of S3, with a client that writes into it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, key: str, content: bytes) -> str:
        """Writes an object; returns its URL."""
        self._client.put_object(Bucket="texts", Key=key, Body=content)
        return f"s3://texts/{key}"


@pytest.fixture
def s3(s3_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, and the environment that s3fs reads."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": s3_address,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "a-secret-word",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3_address)
    client.create_bucket(Bucket="texts")
    for found in client.list_objects_v2(Bucket="texts").get("Contents", []):
        client.delete_object(Bucket="texts", Key=found["Key"])
    return Bucket(client)


# ---- S3 ---------------------------------------------------------------------------------------------------


def test_an_object_of_s3(s3: Bucket, text_file: Path, toolkit: Toolkit) -> None:
    url = s3.put("small.txt", text_file.read_bytes())
    assert bits_of(train(url, max_steps=5)) == bits_of(train(text_file, max_steps=5))
    toolkit.ok("train", url, *TINY, "--max-steps", "5", "--run", "r")
    for path in Path("r").rglob("*"):
        assert path.is_dir() or b"a-secret-word" not in path.read_bytes()


def test_a_folder_of_s3(s3: Bucket) -> None:
    for name in ("b.txt", "a/c.txt", "a/d.md", "a.c"):
        s3.put(f"books/{name}", name.encode() + b"\n")
    with open_corpus(DataConfig(text=("s3://texts/books",), glob=("*.txt", "*.c"))) as corpus:
        assert corpus.vocabulary.decode(corpus.symbols) == "a.c\na/c.txt\nb.txt\n"
        assert corpus.name == "books"
        assert corpus.notices == ("3 files read",)
    message = message_of(TextError, lambda: sha_of("s3://texts/books", glob="*.py"))
    assert message == (
        "the directory 's3://texts/books' has no file that matches '*.py'; name its files, or give another `glob`"
    )


def test_a_name_that_a_url_can_not_have(s3: Bucket) -> None:
    s3.put("books/a.txt", b"one\n")
    s3.put("books/a.txt?1.txt", b"another\n")
    message = message_of(TextError, lambda: sha_of("s3://texts/books"))
    assert "the name 's3://texts/books/a.txt?1.txt' contains a character" in message
    assert sha_of("s3://texts/books", glob="a.txt") == hashlib.sha256(b"one\n").hexdigest()


def test_a_prepared_text_on_s3(s3: Bucket, text_file: Path) -> None:
    made = charkit.prepare(text_file, "here").path
    for path in made.iterdir():
        s3.put(f"there/{path.name}", path.read_bytes())
    charkit.prepare("s3://texts/there", "fetched")
    for path in made.iterdir():
        assert Path("fetched", path.name).read_bytes() == path.read_bytes()
    assert sha_of("s3://texts/there/charkit-text.json") == hashlib.sha256(text_file.read_bytes()).hexdigest()
    s3.put("there/symbols.bin", bytes((made / "symbols.bin").stat().st_size))
    message = message_of(TextError, lambda: sha_of("s3://texts/there"))
    assert message.startswith(
        "the prepared text 's3://texts/there' can't be used: symbols.bin doesn't match its SHA-256"
    )


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("after", [100 * KIBIBYTE, 300 * KIBIBYTE - 1])
def test_an_object_of_s3_that_changes_between_reads(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    url = s3.put("a.txt", content(300 * KIBIBYTE))
    assert sha_of(url) == hashlib.sha256(content(300 * KIBIBYTE)).hexdigest()
    changing(monkeypatch, after, lambda: s3.put("a.txt", content(300 * KIBIBYTE, seed=2)))
    assert f"{url!r} changed while it was being read" in message_of(TextError, lambda: sha_of(url))


@pytest.mark.usefixtures("small_blocks")
def test_reads_of_s3_that_fail_are_tried_again(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3.put("a.txt", content(300 * KIBIBYTE))
    from charkit.text.filesystem_transport import FilesystemTransport

    sound = FilesystemTransport.read
    failures = iter([False, True, True, False] * 3)

    def read(transport: Any, file: Any, size: int) -> bytes:
        if next(failures, False):
            raise charkit.text.remote.PassingError("the store failed")
        return sound(transport, file, size)

    monkeypatch.setattr(FilesystemTransport, "read", read)
    assert sha_of(url) == hashlib.sha256(content(300 * KIBIBYTE)).hexdigest()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://texts/none.txt", "can't read 's3://texts/none.txt': the store has no such object"),
        ("s3://no-such-bucket/a.txt", "can't read 's3://no-such-bucket/a.txt': the store has no such object"),
    ],
)
def test_what_is_not_in_s3(s3: Bucket, toolkit: Toolkit, url: str, expected: str) -> None:
    assert toolkit.error("train", url, *TINY).startswith(expected)


def test_a_store_that_can_not_be_reached(
    s3: Bucket, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    message = toolkit.error("train", "s3://texts/a.txt", *TINY)
    assert message.startswith(
        "can't read 's3://texts/a.txt' after 4 tries: the store can't be reached, or returned an error ("
    )


def test_no_credentials(s3: Bucket, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    message = toolkit.error("train", "s3://texts/a.txt", *TINY)
    assert "fsspec has no credentials that the store accepts (NoCredentialsError)" in message


# ---- Google Cloud Storage ----------------------------------------------------------------------------------


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudServer]:
    """A server of objects with generations, and the environment that gcsfs reads."""
    with CloudServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
        # Newer releases ask for the kind of a bucket by gRPC, which this server does not have.
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        import fsspec

        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        yield server


@pytest.mark.usefixtures("small_blocks")
def test_an_object_of_google_cloud_storage(cloud: CloudServer, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = content(300 * KIBIBYTE)
    cloud.put("a.txt", raw)
    assert sha_of("gs://texts/a.txt") == hashlib.sha256(raw).hexdigest()
    assert "no such object" in message_of(TextError, lambda: sha_of("gs://texts/none.txt"))
    changing(monkeypatch, 100 * KIBIBYTE, lambda: cloud.put("a.txt", content(300 * KIBIBYTE, seed=2)))
    assert "changed while it was being read" in message_of(TextError, lambda: sha_of("gs://texts/a.txt"))
