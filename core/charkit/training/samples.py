"""The samples that are drawn while a run trains: what they continue, how they are drawn, and their record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.charrnn import CharRNN
from charkit.config import SamplingConfig
from charkit.randomness import Purpose, uniform
from charkit.sampling import sample_texts
from charkit.text.corpus import Corpus
from charkit.text.vocabulary import Vocabulary

#: A little below 1, where text from a small model reads better than what it was trained to match.
TEMPERATURE = 0.8
#: The beginning of a line that a sample continues: so many words, and no more characters than that.
PRIME_WORDS = 3
PRIME_CHARACTERS = 24
#: Symbols of the text in which a line start is looked for, from a place that is drawn.
SEARCHED_SYMBOLS = 4096


@dataclass(frozen=True)
class TrainingSample:
    """A sample with all that is needed to draw it again: ``text`` is the prime text and what the model made of it."""

    text: str
    prime: str
    temperature: float
    seed: int

    def record(self) -> dict[str, str | float]:
        """The sample as a line of ``samples.jsonl`` has it."""
        return {
            "sample": self.text,
            "prime": self.prime,
            "temperature": self.temperature,
            "seed": self.seed,
        }


def draw_sample(model: CharRNN, corpus: Corpus, *, seed: int, step: int, length: int) -> TrainingSample:
    """Draws ``length`` symbols after the beginning of a line of the training split.

    The line and the seed of the draws come from the run's ``seed`` and the step: they are new at each step, and the
    same whenever that step is trained.
    """
    draws = uniform(seed, Purpose.TRAINING_SAMPLE, step, size=2)
    start, stop = corpus.split("train")
    prime = beginning_of_line(corpus.symbols[start:stop], corpus.vocabulary, float(draws[0]))
    sample_seed = int(draws[1] * 2**31)  # short enough to type, as a fresh seed of `sample` is
    config = SamplingConfig(length=length, temperature=TEMPERATURE, seed=sample_seed)
    known, _ = corpus.vocabulary.encode(prime)
    text = sample_texts(model, corpus.vocabulary, config, known)[0]
    return TrainingSample(prime + text, prime, TEMPERATURE, sample_seed)


def beginning_of_line(symbols: NDArray[np.unsignedinteger[Any]], vocabulary: Vocabulary, draw: float) -> str:
    """The first words of the next line after the place in ``symbols`` (time,) that ``draw``, from [0, 1), is.

    After the last line comes the first. Where no line begins near there, as in a text without line ends, it is the
    next words. Lines of something else than words, such as rulings, are passed over where there are others. Empty
    where there are none, as in bytes that are no text.
    """
    place = int(draw * len(symbols))
    found = vocabulary.decode(symbols[place : place + SEARCHED_SYMBOLS])
    candidates = found.split("\n")[1:]
    if place + SEARCHED_SYMBOLS >= len(symbols):
        candidates += vocabulary.decode(symbols[:SEARCHED_SYMBOLS]).split("\n")
    candidates += [found.partition(" ")[2], found]
    primes = [prime for prime in map(_first_words, candidates) if prime]
    return next(filter(_is_mostly_letters, primes), primes[0] if primes else "")


def _is_mostly_letters(prime: str) -> bool:
    return 2 * sum(map(str.isalpha, prime)) >= len("".join(prime.split()))


def _first_words(line: str) -> str:
    """The first words of a line, without the space after them; empty for a blank one.

    It stops before what does not decode to text: of half a character at a border no prime text can be made.
    """
    whole = line.lstrip("\ufffd").partition("\ufffd")[0]
    words = whole.split(" ")
    taken = [number for number, word in enumerate(words, start=1) if word.strip()][:PRIME_WORDS]
    if not taken:
        return ""
    return " ".join(words[: taken[-1]])[:PRIME_CHARACTERS].rstrip()
