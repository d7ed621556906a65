"""The samples that are drawn while a run trains: fresh, reproducible, and after the beginning of a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charkit
from charkit.runs.records import SAMPLES
from charkit.runs.run import Run
from charkit.text.vocabulary import Vocabulary
from charkit.training.samples import PRIME_CHARACTERS, beginning_of_line
from support import SMALL, SMALL_TEXT
from training_support import train


def samples_of(run: Path) -> list[dict[str, Any]]:
    return Run.open(run).records(SAMPLES)


def primes(text: str | bytes, places: int = 50) -> set[str]:
    vocabulary = Vocabulary.bytes() if isinstance(text, bytes) else Vocabulary.of_text(text)
    symbols = (
        np.frombuffer(text, np.uint8)
        if isinstance(text, bytes)
        else vocabulary.encode(text)[0].astype(np.uint32)
    )
    return {beginning_of_line(symbols, vocabulary, draw) for draw in np.arange(places) / places}


def test_each_sample_is_new_and_continues_the_beginning_of_a_line(text_file: Path) -> None:
    samples = samples_of(train(text_file, max_steps=20, eval_every=4).run)
    assert len(samples) == 5
    assert len({sample["seed"] for sample in samples}) == 5
    assert len({sample["prime"] for sample in samples}) > 1
    for sample in samples:
        assert any(line.startswith(sample["prime"]) for line in SMALL_TEXT.splitlines())
        assert sample["sample"].startswith(sample["prime"])
        assert sample["temperature"] == 0.8


def test_the_same_run_has_the_same_samples_and_another_seed_has_others(text_file: Path) -> None:
    one, again, other = (
        samples_of(train(text_file, max_steps=8, eval_every=4, seed=seed).run) for seed in (1, 1, 2)
    )
    assert one == again
    assert [sample["seed"] for sample in one] != [sample["seed"] for sample in other]


def test_a_resumed_run_draws_the_samples_of_an_unbroken_one(text_file: Path) -> None:
    unbroken = train(text_file, max_steps=12, eval_every=4)
    first = train(text_file, max_steps=6, eval_every=4)
    resumed = train(resume=first.run, max_steps=12)
    kept = [sample for sample in samples_of(resumed.run) if sample["step"] != 6]  # the end of the first part
    assert kept == samples_of(unbroken.run)


@pytest.mark.parametrize("vocabulary", ["char", "byte"])
def test_what_is_recorded_draws_the_sample_again(text_file: Path, vocabulary: Any) -> None:
    result = charkit.train(text_file, max_steps=40, threads=1, vocabulary=vocabulary, **SMALL)
    recorded = samples_of(result.run)[-1]
    (drawn,) = result.load(checkpoint="latest").sample(
        recorded["prime"], length=12, temperature=recorded["temperature"], seed=recorded["seed"]
    )
    assert drawn == recorded["sample"]


def test_lines_begin_samples_even_where_some_are_blank_or_the_text_ends() -> None:
    assert primes("one two three four\n\n   \n    indented code here now\nend\n") == {
        "one two three",
        "    indented code here",
        "end",
    }


def test_rulings_and_numbers_are_passed_over_where_there_are_words() -> None:
    table = "+-----+-----\nwords of a table\n| 1 | 2 |\n"
    assert primes(table * 40) == {"words of a"}
    assert primes("1 2 3 4\n" * 40) == {"1 2 3"}


def test_a_long_word_is_cut() -> None:
    (prime,) = primes("字" * 100 + "\n")
    assert prime == "字" * PRIME_CHARACTERS


def test_a_text_without_line_ends_gives_its_next_words() -> None:
    words = "alpha beta gamma delta " * 2000
    expected = {" ".join((f"{words}{words}")[start:].split()[:3]) for start in (0, 6, 11, 17)}
    assert primes(words, 499) == expected


def test_bytes_that_are_no_text_give_no_prime() -> None:
    assert primes(bytes(range(128, 192)) * 100) == {""}
    assert primes(b" \n" * 100) == {""}


@given(st.one_of(st.text(st.characters(codec="utf-8"), min_size=1), st.binary(min_size=1)), st.floats(0, 1))
def test_a_prime_is_in_the_text_and_encodes_to_what_is_there(text: str | bytes, draw: float) -> None:
    kind = "byte" if isinstance(text, bytes) else "char"
    vocabulary = Vocabulary.bytes() if kind == "byte" else Vocabulary.of_text(str(text))
    symbols = (
        np.frombuffer(text, np.uint8)
        if isinstance(text, bytes)
        else vocabulary.encode(text)[0].astype(np.uint32)
    )
    prime = beginning_of_line(symbols, vocabulary, min(draw, 1 - 2**-53))
    assert len(prime) <= PRIME_CHARACTERS
    assert prime == prime.rstrip()
    assert (prime.encode() if isinstance(text, bytes) else prime) in text  # type: ignore[operator]
