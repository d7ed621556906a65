"""Texts on the web: the right one or none, whatever server and connection do."""

# Over 300 lines: one kind of text, one short test for each way in which a server can fail.

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.config import DataConfig
from charkit.errors import TextError
from charkit.runs.run import Run
from charkit.text.corpus import open_corpus
from charkit.text.remote import BYTE_TRIES
from cli_support import TINY, Toolkit, weights_of
from support import SMALL_TEXT
from text_support import message_of
from training_support import bits_of, train
from with_remote.web_server import JUST_NOW, LONG_AGO, PIECE, Behavior, WebServer

pytestmark = pytest.mark.remote
MEBIBYTE = 1 << 20


def made_of(letters: str, size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).choice(np.frombuffer(letters.encode(), np.uint8), size).tobytes()


def sha_of(url: str, **settings: Any) -> str:
    with open_corpus(DataConfig(text=(url,), **settings)) as corpus:
        return corpus.sha256


def symbols_of(text: str | Path, **settings: Any) -> tuple[bytes, str]:
    with open_corpus(DataConfig(text=(str(text),), **settings)) as corpus:
        return corpus.symbols.tobytes(), corpus.sha256


# ---- the right text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"vocabulary": "byte"}, {"newlines": "keep"}])
def test_a_text_by_url_is_the_text(web: WebServer, tmp_path: Path, settings: dict[str, Any]) -> None:
    raw = ("déjà vu 😀\r\n" * 30_000 + "".join(map(chr, range(0x4000, 0x4200)))).encode()
    (tmp_path / "a.txt").write_bytes(raw)
    url = web.put("a.txt", raw)
    assert symbols_of(url, **settings) == symbols_of(tmp_path / "a.txt", **settings)
    assert [one.range for one in web.requests] == ["bytes=0-0", "", "bytes=0-0"]


def test_a_connection_that_is_cut_at_every_tenth_megabyte(web: WebServer) -> None:
    raw = made_of("ab\n", 35 * MEBIBYTE)
    url = web.put("big.txt", raw)
    web.behavior.cuts = repeat(10 * MEBIBYTE)
    assert sha_of(url, vocabulary="byte") == hashlib.sha256(raw).hexdigest()
    asked = [one.range for one in web.requests[1:-1]]
    assert asked[0] == ""
    offsets = [int(one.removeprefix("bytes=").removesuffix("-")) for one in asked[1:]]
    assert offsets == sorted(set(offsets))
    assert all(9 * MEBIBYTE < after - before <= 10 * MEBIBYTE for before, after in pairwise([0, *offsets]))
    assert {one.if_range for one in web.requests[2:-1]} == {'"1"'}


@pytest.mark.parametrize(
    ("etag", "modified", "behavior"),
    [
        ('"1"', "", Behavior(ranges=False)),
        ('W/"1"', "", Behavior()),
        ("", JUST_NOW, Behavior()),
        ("", "", Behavior()),
    ],
    ids=["no ranges", "a weak ETag", "changed just now", "nothing to tell versions by"],
)
def test_a_server_that_can_not_go_on_begins_again(
    web: WebServer, etag: str, modified: str, behavior: Behavior
) -> None:
    raw = made_of("ab\n", 4 * MEBIBYTE)
    web.behavior = behavior
    web.behavior.cuts = [3 * MEBIBYTE, 1 * MEBIBYTE, 2 * MEBIBYTE]
    assert sha_of(web.put("a.txt", raw, etag, modified)) == hashlib.sha256(raw).hexdigest()
    asked = [one.range for one in web.requests[1:-1]]
    assert len(asked) == 4
    assert behavior.ranges is False or asked == [""] * 4  # with a strong ETag it is worth asking


def test_an_old_date_is_enough_to_go_on(web: WebServer) -> None:
    raw = made_of("ab\n", MEBIBYTE)
    web.behavior.cuts = [900_000, 100_000]
    assert sha_of(web.put("a.txt", raw, "", LONG_AGO)) == hashlib.sha256(raw).hexdigest()
    asked = [one.range for one in web.requests[1:-1]]
    assert asked[0] == ""
    assert all(one.startswith("bytes=") for one in asked[1:])
    assert len(asked) > 1


def test_servers_that_are_busy_for_a_while(web: WebServer) -> None:
    url = web.put("a.txt", b"some text")
    web.behavior.statuses = [503, 429, 0, 500, 502, 504]
    assert sha_of(url) == hashlib.sha256(b"some text").hexdigest()


def test_several_urls_are_read_in_their_order(web: WebServer, tmp_path: Path) -> None:
    urls = (web.put("b.txt", b"second"), web.put("a.txt", b"first "))
    with open_corpus(DataConfig(text=(*urls, urls[0]))) as corpus:
        assert corpus.vocabulary.decode(corpus.symbols) == "first second"
        assert corpus.files == (urls[1], urls[0])
        assert corpus.notices == ("2 files read",)


def test_urls_that_differ_after_the_question_mark_are_objects_of_their_own(web: WebServer) -> None:
    urls = (web.put("get?id=2", b"first "), web.put("get?id=1", b"second"))
    with open_corpus(DataConfig(text=(*urls, urls[0]))) as corpus:
        assert corpus.vocabulary.decode(corpus.symbols) == "first second"
        assert corpus.files == (f"{web.address}/get",) * 2
        assert corpus.notices == ("2 files read",)


def test_a_run_by_url_is_the_run_of_the_file(web: WebServer, text_file: Path, toolkit: Toolkit) -> None:
    url = web.put("small.txt", text_file.read_bytes())
    by_url, by_path = train(url, max_steps=10), train(text_file, max_steps=10)
    assert bits_of(by_url) == bits_of(by_path)
    assert by_url.run.name == "small-1"
    for result, text in ((by_url, None), (by_path, url)):
        train(text, resume=result.run, max_steps=20)
    assert bits_of(by_url) == bits_of(by_path)
    assert (
        charkit.load_run(by_path.run).evaluate(url).loss
        == charkit.load_run(by_path.run).evaluate(text_file).loss
    )
    toolkit.ok("train", url, *TINY, "--max-steps", "5", "--run", "r")
    toolkit.ok("train", text_file, *TINY, "--max-steps", "5", "--run", "s")
    assert weights_of(Path("r")) == weights_of(Path("s"))


def test_a_comparison_fetches_a_text_once(web: WebServer, text_file: Path) -> None:
    from charkit_comparison.request import ComparisonRequest

    url = web.put("small.txt", text_file.read_bytes())
    small = {"model": {"lstm_size": 4}, "data": {"batch_size": 4, "num_steps": 8}}
    report = ComparisonRequest(
        f"{url}?sig=hunter2", small, backends=["numpy"], max_steps=3, rounds=1, threads=1, examine=0
    ).run()
    assert (report.text.name, report.text.sha256) == (
        "small",
        hashlib.sha256(text_file.read_bytes()).hexdigest(),
    )
    assert [one.range for one in web.requests].count("") == 1
    assert "hunter2" not in report.model_dump_json()


# ---- prepared texts ----------------------------------------------------------------------------------------


def put_folder(web: WebServer, folder: Path, name: str) -> str:
    for path in folder.iterdir():
        web.put(f"{name}/{path.name}", path.read_bytes())
    return f"{web.address}/{name}/"


def test_a_prepared_text_by_url(web: WebServer, text_file: Path) -> None:
    made = charkit.prepare(text_file, "here").path
    url = put_folder(web, made, "there")
    assert bits_of(train(url, max_steps=5)) == bits_of(train(text_file, max_steps=5))
    assert symbols_of(f"{url}charkit-text.json?sig=1") == symbols_of(text_file)
    charkit.prepare(url, "fetched")
    for path in made.iterdir():
        assert Path("fetched", path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["symbols.bin", "vocabulary.json", "charkit-text.json"])
def test_a_prepared_text_that_is_not_whole(web: WebServer, text_file: Path, name: str) -> None:
    url = put_folder(web, charkit.prepare(text_file, "here").path, "there")
    content = web.objects[f"/there/{name}"].content
    web.put(f"there/{name}", content.replace(b"\n", b" ") if name.endswith("n") else b"\0" * len(content))
    web.put("there/symbols.bin", bytes(len(web.objects["/there/symbols.bin"].content)))
    message = message_of(TextError, lambda: charkit.prepare(url, "fetched"))
    assert message.startswith(f"the prepared text {url!r} can't be used: ")
    assert not Path("fetched").exists()


def test_a_folder_that_is_no_prepared_text_is_a_page(web: WebServer) -> None:
    assert sha_of(web.put("pages/", b"a page")) == hashlib.sha256(b"a page").hexdigest()


# ---- never a wrong text ------------------------------------------------------------------------------------

#: So long that some of it has been read wherever a connection is cut: what aiohttp holds then is lost.
A, B = made_of("ab", 40 * PIECE), made_of("ab", 40 * PIECE, seed=2)


def changing_at(web: WebServer, place: int, new: bytes, etag: str) -> None:
    """Makes the object another one as soon as so many bytes of a body were sent; the body goes on as it was."""

    def change(sent: int) -> None:
        if sent >= place:
            web.put("a.txt", new, etag)

    web.behavior.before_piece = change


CHANGES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "with its ETag": ('"1"', '"2"', {}),
    "with its ETag, and the server ignores conditions": ('"1"', '"2"', {"ignores_conditions": True}),
    "with its ETag, and the server has no ranges": ('"1"', '"2"', {"ranges": False}),
    "without any": ("", "", {}),
    "with a weak ETag that stays": ('W/"1"', 'W/"1"', {}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_an_object_that_changes_between_reads(web: WebServer, case: str) -> None:
    before, after, behavior = CHANGES[case]
    url = web.put("a.txt", A, before)
    web.behavior = Behavior(cuts=[20 * PIECE], **behavior)
    changing_at(web, 19 * PIECE, B, after)
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(url,))))
    assert message == f"{url!r} changed while it was being read; try again when nothing is writing to it"


def test_an_object_that_changes_at_the_end(web: WebServer) -> None:
    url = web.put("a.txt", A)
    changing_at(web, 39 * PIECE, B, '"2"')
    assert "changed while it was being read" in message_of(TextError, lambda: sha_of(url))


def test_an_object_that_changes_in_what_was_not_read_yet(web: WebServer) -> None:
    """Without anything to tell versions by, what is read is all of the new one, whose beginning is the same."""
    new = A[: 21 * PIECE] + B[21 * PIECE :]
    url = web.put("a.txt", A, "")
    web.behavior.cuts = [20 * PIECE]
    changing_at(web, 19 * PIECE, new, "")
    assert sha_of(url) == hashlib.sha256(new).hexdigest()


def test_a_part_that_says_nothing_of_its_version(web: WebServer) -> None:
    """Of an object that has changed, from a server that looks at no condition."""
    url = web.put("a.txt", made_of("ab", 3 * MEBIBYTE))

    def change(sent: int) -> None:
        if sent >= MEBIBYTE:
            web.put("a.txt", made_of("ab", 3 * MEBIBYTE, seed=2), etag="")

    web.behavior.ignores_conditions = True
    web.behavior.cuts = [2 * MEBIBYTE]
    web.behavior.before_piece = change
    message = message_of(TextError, lambda: sha_of(url))
    assert "without saying which version of the file it is sending" in message


@pytest.mark.parametrize("size", [0, PIECE, 90 * PIECE])
def test_an_object_of_another_size(web: WebServer, size: int) -> None:
    url = web.put("a.txt", A)
    web.behavior.cuts = [20 * PIECE]
    changing_at(web, 19 * PIECE, made_of("ab", size), '"2"')
    assert "changed while it was being read" in message_of(TextError, lambda: sha_of(url))


def drawn(draw: random.Random) -> Iterator[int]:
    while True:
        yield draw.choice([0, 1, PIECE // 3, 5 * PIECE, 10 * PIECE, 20 * PIECE, 30 * PIECE])


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_it_is_one_of_the_contents_or_none(web: WebServer, seed: int) -> None:
    draw = random.Random(seed)
    contents = [A, B, A[: 20 * PIECE] + B[20 * PIECE :]]
    has_etag, modified = draw.random() < 0.6, draw.choice(["", LONG_AGO if draw.random() < 0.2 else JUST_NOW])
    if modified == LONG_AGO:
        contents = [A]  # a server whose date of long ago is wrong can't be found out
    web.behavior = Behavior(
        ranges=draw.random() < 0.7, cuts=drawn(draw), ignores_conditions=has_etag and draw.random() < 0.5
    )
    changes = draw.random() * 0.1

    def maybe_change(_sent: int) -> None:
        if draw.random() < changes:
            number = draw.randrange(len(contents))
            web.put("a.txt", contents[number], f'"{number}"' if has_etag else "", modified)

    url = web.put("a.txt", A, '"0"' if has_etag else "", modified)
    web.behavior.before_piece = maybe_change
    possible = {hashlib.sha256(one).hexdigest() for one in contents}
    with suppress(TextError):
        assert sha_of(url) in possible


# ---- what is refused ---------------------------------------------------------------------------------------


def with_status(status: int) -> Callable[[WebServer], None]:
    return lambda web: web.behavior.statuses.extend([status] * 50)


def with_headers(**headers: str) -> Callable[[WebServer], None]:
    return lambda web: web.behavior.headers.update(
        {key.replace("_", "-"): value for key, value in headers.items()}
    )


def without_length(web: WebServer) -> None:
    web.behavior.ranges = web.behavior.has_length = False


def with_content_range(value: str) -> Callable[[WebServer], None]:
    return lambda web: setattr(web.behavior, "content_range", value)


def always_cut(web: WebServer) -> None:
    web.behavior.ranges, web.behavior.cuts = False, repeat(3)


def looping(web: WebServer) -> None:
    with_status(302)(web)
    web.behavior.headers["Location"] = "/a.txt"


REFUSED: dict[str, tuple[Callable[[WebServer], None], str]] = {
    "not there": (lambda web: web.objects.clear(), "the server has no such file (404)"),
    "not allowed": (
        with_status(403),
        "the server denied access (403); give fsspec credentials, or a signed URL",
    ),
    "a teapot": (with_status(418), "the server responded with status 418; download"),
    "broken": (with_status(500), " after 4 tries: the server responded with status 500; try again later"),
    "compressed": (with_headers(Content_Encoding="gzip"), "the server sends the file compressed"),
    "no length": (without_length, "the server does not report the size of the file"),
    "a part of what": (
        with_content_range("bytes 0-0/*"),
        "a part of the file without saying which bytes it contains or how",
    ),
    "nonsense": (
        with_content_range("all"),
        "a part of the file without saying which bytes it contains or how",
    ),
    "cut at one place": (
        always_cut,
        f" after {BYTE_TRIES} tries: the connection was dropped (ClientPayloadError); try again later",
    ),
    "redirects": (looping, "the server redirects endlessly"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_server_that_is_of_no_use(web: WebServer, toolkit: Toolkit, case: str) -> None:
    change, expected = REFUSED[case]
    url = web.put("a.txt", b"some text")
    change(web)
    message = toolkit.error("train", f"{url}?sig=hunter2", *TINY)
    tries = "" if expected.startswith(" after") else ": "
    assert message.startswith(f"can't read {url!r}{tries}")
    assert expected in message
    assert "hunter2" not in message


def test_a_part_that_was_not_asked_for(web: WebServer) -> None:
    url = web.put("a.txt", A)

    def lie(_sent: int) -> None:
        web.behavior.content_range = f"bytes 7-{len(A) - 1}/{len(A)}"

    web.behavior.before_piece, web.behavior.cuts = lie, [20 * PIECE]
    assert "the server sent a part other than the one requested" in message_of(TextError, lambda: sha_of(url))


def test_no_server(web: WebServer, toolkit: Toolkit) -> None:
    assert "can't connect to the server" in toolkit.error(
        "train", "http://127.0.0.1:1/a.txt?sig=hunter2", *TINY
    )


@pytest.mark.parametrize(
    "url", ["http://", "http:///x", "http://[::1/x", "http://a b/x", "http://host:port/x"]
)
def test_what_is_no_url(toolkit: Toolkit, url: str) -> None:
    message = toolkit.error("train", url, *TINY)
    assert message.startswith("can't read 'http:")


# ---- secrets ------------------------------------------------------------------------------------------------


def test_no_record_of_a_run_holds_a_secret(
    web: WebServer, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = web.put("a.txt", SMALL_TEXT.encode())
    secret = url.replace("http://", "http://me:hunter2@") + "?X-Amz-Signature=hunter2#hunter2"
    command = ["toolkit", "train", secret, *TINY, "--max-steps", "5", "--run", "r"]
    monkeypatch.setattr("sys.argv", command)
    outcome = toolkit.ok(*command[1:])
    assert "are not recorded; to resume the run, give the whole URL again" in outcome.err
    assert web.requests[0].path.endswith("?X-Amz-Signature=hunter2")
    assert web.requests[0].authorization.startswith("Basic ")
    for path in Path("r").rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes()
    assert Run.open(Path("r")).config.data.text == (url,)
    assert json.loads(Path("r/sessions.jsonl").read_text())["command"].split()[2] == url
    web.behavior.statuses = [403] * 9
    failed = toolkit("train", "--resume", "r", secret, "--max-steps", "7", "--threads", "1", "--debug")
    assert failed.status == 2
    assert "denied access" in failed.err
    assert "hunter2" not in failed.err


def test_a_run_of_a_stranger_reads_no_other_scheme(web: WebServer, toolkit: Toolkit) -> None:
    toolkit.ok("train", web.put("a.txt", SMALL_TEXT.encode()), *TINY, "--max-steps", "5", "--run", "r")
    content = Path("r/config.json").read_text()
    Path("r/config.json").write_text(content.replace(web.address, "file:///etc"))
    assert "has the scheme 'file', which charkit does not support" in toolkit.error("evaluate", "r")


def test_a_redirect_to_a_connection_that_is_not_encrypted() -> None:
    """A server with a certificate that is trusted can't be on loopback, so this looks at the check alone."""
    from charkit.text.http_transport import _check_answer
    from charkit.text.transport import LastingError

    def answer(*schemes: str) -> Any:
        *before, last = (SimpleNamespace(url=SimpleNamespace(scheme=scheme)) for scheme in schemes)
        return SimpleNamespace(status=200, headers={}, url=last.url, history=tuple(before))

    _check_answer(answer("https"), "https://host/a.txt")
    _check_answer(answer("http"), "http://host/a.txt")
    _check_answer(answer("https", "https"), "https://host/a.txt")
    for schemes in (("http",), ("https", "http"), ("https", "http", "https")):
        with pytest.raises(LastingError, match="redirects to an unencrypted connection"):
            _check_answer(answer(*schemes), "https://host/a.txt")
