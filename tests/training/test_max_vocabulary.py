"""More distinct characters than `max_vocabulary`: refused with the memory that they would need, or allowed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.config import DataConfig
from charkit.errors import TextError, VocabularySizeError
from charkit.settings import resolve
from charkit.text.corpus import open_string
from charkit.training.memory_estimate import estimated_bytes

#: Each code point that a text can hold, but for the line ends, NUL, and the mark that is dropped at the start.
EVERY_CHARACTER = "".join(chr(point) for point in range(0x20, 0x110000) if not 0xD800 <= point < 0xE000)
SETTINGS: dict[str, Any] = {
    "recipe": "classic",
    "lstm_size": 8,
    "batch_size": 1,
    "num_steps": 4,
    "max_steps": 1,
    "sample_length": 0,
    "validation_share": 0.0,
    "test_share": 0.0,
    "threads": 1,
}


def distinct(count: int) -> str:
    return "".join(chr(0x4E00 + number) for number in range(count))


def test_every_character_of_unicode_is_refused_with_the_memory_it_would_need() -> None:
    tracemalloc.start()
    with pytest.raises(VocabularySizeError) as caught:
        charkit.train(string=EVERY_CHARACTER)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    message = str(caught.value)
    assert "the text has 1,112,032 distinct characters, but `max_vocabulary` allows 30,000" in message
    assert "GB of memory" in message
    assert "`vocabulary='byte'`" in message
    assert "`max_vocabulary=1112032`" in message
    assert "\n" not in message
    assert peak < 200e6  # of which most is the string itself and its bytes
    assert not list(Path.cwd().iterdir())


def test_as_many_as_are_allowed_are_trained_on() -> None:
    text = distinct(120)
    with pytest.raises(
        VocabularySizeError, match="has 120 distinct characters, but `max_vocabulary` allows 119"
    ):
        charkit.train(string=text, max_vocabulary=119, **SETTINGS)
    result = charkit.train(string=text, max_vocabulary=120, **SETTINGS)
    assert result.load().vocabulary.size == 120


def test_symbols_that_are_added_to_a_vocabulary_count_too() -> None:
    first = charkit.train(string=distinct(60), run="first", **SETTINGS)
    more = {**SETTINGS, "init_from": first.run, "extend_vocabulary": True, "string": distinct(90)}
    more.pop("lstm_size")
    with pytest.raises(VocabularySizeError, match="has 90 distinct characters"):
        charkit.train(**more, max_vocabulary=80)
    assert charkit.train(**more, max_vocabulary=90).load().vocabulary.size == 90


def test_a_run_that_has_more_is_opened_and_resumed() -> None:
    result = charkit.train(string=distinct(60), run="run", max_vocabulary=60, **SETTINGS)
    config = result.run / "config.json"
    assert '"max_vocabulary": 60' in config.read_text("utf-8")
    assert charkit.train(resume=result.run, max_steps=2, threads=1).step == 2


def test_bytes_have_no_such_limit() -> None:
    with open_string("ab", DataConfig(vocabulary="byte", max_vocabulary=2)) as corpus:
        assert corpus.vocabulary.size == 256


def test_a_comparison_refuses_in_the_same_words(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(distinct(300), "utf-8")
    with pytest.raises(
        TextError, match=r"300 distinct characters, but `max_vocabulary` allows 100; name the encoding"
    ):
        charkit.compare(text, backends=["numpy"], max_vocabulary=100)


@pytest.mark.parametrize(
    ("size", "lstm_size", "precision", "batch"),
    [(8000, 32, "float32", (1, 4)), (8000, 16, "float64", (8, 50))],
)
def test_the_estimate_is_near_what_is_measured(
    size: int, lstm_size: int, precision: Any, batch: tuple[int, int]
) -> None:
    settings = {**SETTINGS, "lstm_size": lstm_size, "batch_size": batch[0], "num_steps": batch[1]}
    asked = {"model": {"lstm_size": lstm_size}, "training": {"precision": precision}}
    data = {"batch_size": batch[0], "num_steps": batch[1]}
    config = resolve({**asked, "data": data}, vocabulary_size=size)
    tracemalloc.start()
    charkit.train(string=distinct(size), precision=precision, **settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.6 < estimated_bytes(config) / peak < 1.6
