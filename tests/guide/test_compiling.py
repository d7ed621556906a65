"""The page on compiling frameworks describes what the core compiles, and in which shapes it calls it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from charkit import evaluation, sampling
from charkit.backend import Array, FunctionT
from charkit.charrnn import CharRNN
from charkit.config import SamplingConfig, build
from charkit.testing import all_checks
from charkit.text.vocabulary import Vocabulary
from charkit.training import trainer
from charkit_numpy.backend import NumpyBackend
from guide.pages import read, table_rows


@pytest.fixture(scope="module")
def page() -> str:
    return read("compiling-frameworks")


class Noting(NumpyBackend):
    """Notes the parameters, and those that are consumed, of each function that it compiles, by name."""

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        noted: dict[str, tuple[str, str]] = self.__dict__.setdefault("noted", {})
        noted[function.__name__] = (
            ", ".join(inspect.signature(function).parameters),
            ", ".join(consumes) or "-",
        )
        return function


def compiled_functions() -> dict[str, tuple[str, str]]:
    """What CharRNN has its backend compile."""
    backend = Noting(precision="float32", device="cpu", threads=1)
    CharRNN(7, lstm_size=2, backend=backend)
    noted: dict[str, tuple[str, str]] = backend.__dict__["noted"]
    return noted


def test_it_lists_what_the_core_compiles(page: str) -> None:
    rows = {cells[0].strip("`"): (cells[1], cells[2]) for cells in table_rows(page) if len(cells) == 4}
    del rows["function"], rows["---"]
    assert rows == compiled_functions()


class Recording(NumpyBackend):
    """Notes the shape of the symbols at each call of a compiled function."""

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        where = list(inspect.signature(function).parameters).index
        shapes = self.__dict__.setdefault("shapes", set())

        def call(*arguments: Any) -> Any:
            shapes.add(arguments[where("symbols")].shape)
            return function(*arguments)

        return call if "symbols" in inspect.signature(function).parameters else function  # type: ignore[return-value]


def used_shapes(streams: int, count: int) -> set[tuple[int, ...]]:
    """The shapes that scoring a text in so many streams and drawing samples with prime text use."""
    backend = Recording(precision="float32", device="cpu", threads=1)
    vocabulary = Vocabulary.bytes()
    model = CharRNN(vocabulary.size, lstm_size=2, num_layers=1, backend=backend)
    start = 700  # far enough from the beginning for a whole warm-up
    text: Array = np.zeros(start + streams * evaluation.LEAST_SYMBOLS_PER_STREAM, np.uint8)
    evaluation.evaluate(model, text, vocabulary, start, len(text))
    settings = build(SamplingConfig, {"count": count, "length": 5, "seed": 1})
    sampling.sample_texts(model, vocabulary, settings, np.zeros(300, np.int32))
    shapes: set[tuple[int, ...]] = backend.__dict__["shapes"]
    return shapes


def test_scoring_and_sampling_use_the_shapes_that_it_lists(page: str) -> None:
    assert used_shapes(streams=3, count=4) == {(3, 100), (1, 128), (1, 1), (4, 1)}
    for shape in ("(streams, 100)", "(1, 128)", "(1, 1)", "(count, 1)"):
        assert f"`{shape}`" in page
    assert f"at most {evaluation.MOST_STREAMS}" in page
    assert f"`n` below {evaluation.WARM_UP_SYMBOLS}" in page
    assert f"least every {trainer.COLLECT_STEPS}" in " ".join(page.split())


def test_the_checks_that_it_names_exist(page: str) -> None:
    section = page.rpartition("## Finding these mistakes")[2]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", section))
    assert len(named) >= 8
    assert named <= {check.name for check in all_checks()}
