"""An error of a user's callback comes out as it is, and is not taken for one of the text or of the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import charkit
from charkit.errors import TextError
from charkit.text.reading_progress import ProgressCallback
from support import SMALL


def prepare(text: Path, progress: ProgressCallback) -> object:
    return charkit.prepare(text, "new", progress=progress)


def prepare_again(text: Path, progress: ProgressCallback) -> object:
    return charkit.prepare(charkit.prepare(text, "prepared").path, "new", progress=progress)


def check(text: Path, progress: ProgressCallback) -> object:
    return charkit.check_prepared(charkit.prepare(text, "prepared").path, progress=progress)


def evaluate(text: Path, progress: ProgressCallback) -> object:
    prepared = charkit.prepare(text.with_name("other.txt"), "prepared").path
    run = charkit.train(text, run="run", max_steps=1, threads=1, **SMALL).run
    return charkit.load_run(run).evaluate(prepared, progress=progress)


def train(text: Path, progress: ProgressCallback) -> object:
    def on_event(event: charkit.events.Event) -> None:
        if isinstance(event, charkit.events.Reading):
            progress(event.stage, event.fraction)

    prepared = charkit.prepare(text, "prepared").path
    return charkit.train(prepared, run="new", max_steps=1, threads=1, on_event=on_event, **SMALL)


@pytest.mark.parametrize("use", [prepare, prepare_again, check, evaluate, train])
@pytest.mark.parametrize("last", [0.0, 1.0])
@pytest.mark.parametrize(
    "error", [ConnectionError("the dashboard is down"), TextError("no text to show")], ids=repr
)
def test_an_error_of_a_callback_comes_out_as_it_is(
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[..., object],
    last: float,
    error: Exception,
) -> None:
    text_file.with_name("other.txt").write_text(text_file.read_text("utf-8") * 2, "utf-8")
    monkeypatch.setattr("charkit.text.prepared.is_verified", lambda *_: False)  # so that it is read

    def fail(_stage: str, fraction: float) -> None:
        if fraction >= last:
            raise error

    with pytest.raises(type(error)) as caught:
        use(text_file, fail)
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert not Path("new").exists()


def test_an_error_of_the_disk_after_a_report_is_still_its_own(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("charkit.text.preparation.sync", full)
    with pytest.raises(charkit.StorageError, match="can't write 'new': the disk is full"):
        charkit.prepare(text_file, "new", progress=lambda *_: None)
