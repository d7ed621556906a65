"""The text that a run is scored on: a split of its own, or any other; and the training text beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any, get_args

from numpy.typing import NDArray

from charkit.argument_checks import as_paths, integer
from charkit.config import DataConfig, check_choice
from charkit.errors import ConfigurationError, RunError, TextError, UndecodableError
from charkit.evaluation import first_scored
from charkit.notebook import default_notice
from charkit.runs.run import Run
from charkit.text.corpus import Corpus, Split, open_corpus, open_string
from charkit.text.reading_progress import ProgressCallback
from charkit.text.sources import find_prepared
from charkit.text.vocabulary import Unknown

#: What other libraries call the splits.
_OTHER_SPLITS = dict.fromkeys(("val", "valid", "dev", "eval"), "validation") | {"training": "train"}
#: A text file or folder, or several.
TextPaths = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class ScoredText:
    """An open text, the range [start, stop) of it that is scored, and whether it is the run's own."""

    corpus: Corpus
    start: int
    stop: int
    is_own: bool

    @property
    def scored(self) -> NDArray[Any]:
        """The symbols that are scored, ``(symbol,)``. Raises TextError where there are none."""
        return self.corpus.symbols[first_scored(self.start, self.stop) : self.stop]


@contextmanager
def opened_text(
    run: Run,
    text: TextPaths | None,
    string: str | None,
    split: Split | None,
    limit: int | None,
    unknown: Unknown,
    progress: ProgressCallback | None,
    on_notice: Callable[[str], None] | None,
) -> Iterator[ScoredText]:
    """Opens the text to score; the parameters and errors are those of ``LoadedRun.evaluate``."""
    on_notice = on_notice or default_notice()
    check_choice("value for `unknown`:", unknown, get_args(Unknown))
    _check_split(split)
    if limit is not None:
        limit = integer("`limit`", limit, 1)
    if text is not None and string is not None:
        raise ConfigurationError("`text` names files, and `string` is the text itself; give only one of them")
    own = text is None and string is None
    if isinstance(text, str) and text in get_args(Split) and not os.path.lexists(text):
        raise TextError(
            f"there is no text at {text!r}; for a split of the run's own text, give `split={text!r}`"
        )
    with _opened(run, text, string, split, unknown, progress) as corpus:
        if on_notice is not None and not own:  # those about the run's own text were given when it was trained
            for line in corpus.notices:
                on_notice(line)
        split = split if split is not None else ("validation" if own else "all")
        if on_notice is not None and not own and split == "all" and corpus.sha256 == run.text_sha256:
            on_notice(
                "most of this text was trained on; `split='validation'` scores the part that was held out"
            )
        start, stop = corpus.split(split)
        if start == stop and (own or split != "all"):
            raise _empty_split(corpus, split, own)
        if limit is not None:
            stop = min(stop, first_scored(start, stop) + limit)
        yield ScoredText(corpus, start, stop, own)


def _check_split(split: Split | None) -> None:
    """Raises ConfigurationError for an unknown split."""
    if split is not None:
        known = list(get_args(Split))
        meant = _OTHER_SPLITS.get(str(split))
        if meant:
            raise ConfigurationError(
                f"unknown split {split!r} (did you mean {meant!r}?); choose from {', '.join(known)}"
            )
        check_choice("split", split, known)


def _empty_split(corpus: Corpus, split: Split, own: bool) -> TextError:
    """The error for a split without symbols: of the run's own text, or of another."""
    if not own:
        return TextError(
            f"the {split} split of the text is empty with the run's {split} share; leave `split` out to score all of "
            "the text"
        )
    names: tuple[Split, ...] = ("validation", "test", "train")
    other = next(name for name in names if corpus.split(name)[0] < corpus.split(name)[1])
    advice = f"score another split: `split='{other}'`"
    if other == "train":
        advice = "score another text (`text`), or the training split: `split='train'`"
    return TextError(f"the {split} split of the run is empty; {advice}")


def _opened(
    run: Run,
    text: TextPaths | None,
    string: str | None,
    split: Split | None,
    unknown: Unknown,
    progress: ProgressCallback | None,
) -> Corpus:
    data = run.config.data
    try:
        if string is not None:
            return open_string(string, data, run.vocabulary, unknown=unknown, progress=progress)
        if text is not None:
            data = _reading_of(data.model_copy(update={"text": text_paths(text)}))
            return open_corpus(data, run.vocabulary, unknown=unknown, progress=progress)
    except UndecodableError as error:
        advice = (
            f"give text in {data.encoding}, the encoding of the run, or prepare the text with `charkit.prepare`, "
            "naming its encoding"
        )
        if string is not None:
            advice = "give text without NUL characters"
        raise UndecodableError(error.problem, advice) from error
    try:
        return run.open_text(advice="name the text to score: `text='FILE'`", progress=progress)
    except TextError as error:
        if run.stores_text or not isinstance(error.__cause__, FileNotFoundError):
            raise
        named = f"`text='FILE'`, `split='{split or 'validation'}'`"
        raise TextError(f"{error}; if the text has moved, add its new path and the split: {named}") from error


def _reading_of(data: DataConfig) -> DataConfig:
    """The settings for another text than the run's: how a prepared one was encoded is its own affair."""
    prepared = find_prepared(data.text)
    if prepared is None:
        return data
    return data.model_copy(update={"encoding": prepared.manifest.reading.encoding})


@contextmanager
def training_symbols(
    run: Run, scored: ScoredText, needed_for: str, progress: ProgressCallback | None
) -> Iterator[NDArray[Any]]:
    """The training split of the run's own text, ``(symbol,)``. Raises RunError where it can't be read as it was.

    ``needed_for`` is the parameter that needs it, for the error.
    """
    if scored.is_own:
        start, stop = scored.corpus.split("train")
        yield scored.corpus.symbols[start:stop]
        return
    advice = f"`{needed_for}` needs the text that the run was trained on"
    try:
        corpus = run.open_text(advice=advice, progress=progress)
    except TextError as error:
        raise RunError(f"{advice}, which can't be read: {error}") from error
    with corpus:
        start, stop = corpus.split("train")
        yield corpus.symbols[start:stop]


def check_is_held_out(
    needed_for: str, text: TextPaths | None, string: str | None, split: Split | None
) -> None:
    """Raises ConfigurationError for a split of the run's own text that has training text in it."""
    _check_split(split)
    if text is None and string is None and split in ("train", "all"):
        raise ConfigurationError(
            f"`split={split!r}` includes the training text, so it can't be used with `{needed_for}`; choose "
            "`split='validation'` or `split='test'`, or another text"
        )


def text_paths(text: TextPaths) -> tuple[str, ...]:
    """The paths as the configuration has them. Raises ConfigurationError for none, and anything else, such as bytes."""
    advice = "use `string` for the text itself"
    return tuple(map(str, as_paths("`text`", text, if_empty="or leave `text` out", advice=advice)))
