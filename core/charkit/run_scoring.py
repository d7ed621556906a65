"""Scoring a run: how well its model predicts a text, and what tells how good that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from charkit.charrnn import CharRNN
from charkit.config import RunConfig, SamplingConfig, build, check_choice
from charkit.errors import ConfigurationError, RunError, TextError
from charkit.evaluation import Evaluation, character_count, evaluate, first_scored, symbol_counts
from charkit.notebook import default_progress
from charkit.quality import baselines as quality_baselines
from charkit.quality.baselines import Baseline
from charkit.quality.copied import SPAN_LENGTHS, CopiedConfig, CopiedSpan, CopiedText, copied_shares
from charkit.quality.dynamic import DynamicConfig, DynamicEvaluation, GradientScale, evaluate_dynamically
from charkit.quality.surprisal import Surprisal
from charkit.quality.surprisal_files import SurprisalFile
from charkit.runs.run import Run
from charkit.sampling import start_symbol
from charkit.text.corpus import Corpus, Split, open_corpus, open_string
from charkit.text.reading_progress import ProgressCallback
from charkit.text.vocabulary import Unknown, Vocabulary

#: A text file or folder, or several.
TextPaths = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class _ScoredText:
    """An open text, the range [start, stop) of it that is scored, and whether it is the run's own."""

    corpus: Corpus
    start: int
    stop: int
    is_own: bool

    @property
    def scored(self) -> NDArray[Any]:
        """The symbols that are scored, ``(symbol,)``. Raises TextError where there are none."""
        return self.corpus.symbols[first_scored(self.start, self.stop) : self.stop]


class RunScoring:
    """A model and its run, scored on a text. The base of LoadedRun, which makes the attributes.

    All methods take the text in the same way: a split of the run's own text, by default "validation"; or ``text``,
    any text by path, or ``string``, a text itself, of which ``split`` is by default "all". Symbols that the model
    never saw are an error, or skipped if ``unknown`` is "skip". ``progress`` is called with a stage (such as
    reading, encoding, scoring) and the fraction of it that is done; ``on_notice`` with what reading changed in the
    text, such as symbols skipped.

    All raise TextError for a text that is missing, empty or unreadable, UnknownSymbolsError, RunError where the
    run's own text is gone or has changed, and ConfigurationError for an unknown choice.
    """

    _run: Run
    model: CharRNN
    _gradient_scale: GradientScale | None

    @property
    def config(self) -> RunConfig:
        """The configuration that the run was created with; later sessions may have changed its training settings."""
        return self._run.config

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols of the model."""
        return self._run.vocabulary

    def evaluate(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        unknown: Unknown = "error",
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Evaluation:
        """Scores a split of the run's own text, or of any text by path, or a string.

        The split is by default "validation" of the run's text, and "all" of another. ``progress`` is called with
        the stage (reading, encoding, scoring) and the fraction of it that is done; ``on_notice`` with what reading
        changed in the text, such as symbols skipped.

        Raises TextError for a text that is missing, empty or unreadable, UnknownSymbolsError for symbols that the
        model never saw unless ``unknown`` is "skip", RunError where the run's own text is gone or has changed, and
        ConfigurationError for an unknown choice.
        """
        progress = progress or default_progress()
        with self._opened(text, string, split, unknown, progress, on_notice) as opened:
            return self._evaluate(opened, progress)

    def surprisal(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        unknown: Unknown = "error",
        write_to: str | PathLike[str] | None = None,
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Surprisal:
        """Scores a text as ``evaluate`` does, and keeps the surprisal of each character.

            run.surprisal(split="test", write_to="test.html")

        ``write_to`` is a file to write at the end, as ``Surprisal.write`` does; that it can't be written is found
        before anything is scored. The other parameters and errors are those of ``evaluate``. Takes about 40 bytes
        of memory for each symbol.
        """
        target = None if write_to is None else SurprisalFile.at(write_to)
        progress = progress or default_progress()
        with self._opened(text, string, split, unknown, progress, on_notice) as opened:
            scored = opened.scored
            if target is not None:
                counts = symbol_counts(scored, self.vocabulary, 0, len(scored))
                target.check_size(character_count(counts, self.vocabulary))
            nats = np.zeros(len(scored))
            evaluation = self._evaluate(opened, progress, nats)
            first = opened.stop - len(scored)
            found = Surprisal.of_symbols(scored, nats, self.vocabulary, first, evaluation)
        if target is not None:
            found.write(target.path)
        return found

    def evaluate_dynamically(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        learning_rate: float = DynamicConfig().learning_rate,
        segment_length: int = DynamicConfig().segment_length,
        decay: float = DynamicConfig().decay,
        unknown: Unknown = "error",
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> DynamicEvaluation:
        """Scores a text by dynamic evaluation (Krause et al., 2018): the weights follow the text while it is scored.

        The text is one stream. Every ``segment_length`` symbols are scored, and then the weights take a step of
        ``learning_rate`` along their gradient, measured in its root mean square in training, and go back by
        ``decay`` to the trained ones. The run and the model are left as they were. Such a figure is no figure of
        the trained model alone; say that it is dynamic wherever you give it.

        The other parameters and errors are those of ``evaluate``; and NotFiniteError where the learning rate is so high
        that the loss overflows, and RunError for a run that was never trained, as one that was imported.
        """
        given = {"learning_rate": learning_rate, "segment_length": segment_length, "decay": decay}
        config = build(DynamicConfig, given)
        if self._gradient_scale is None:
            raise RunError(
                f"{str(self._run.path)!r} was never trained by charkit, so it lacks the second moments of Adam, "
                "in which dynamic evaluation measures its steps; start a new run from it and score that"
            )
        progress = progress or default_progress()
        with self._opened(text, string, split, unknown, progress, on_notice) as opened:
            return evaluate_dynamically(
                self.model,
                opened.corpus.symbols,
                self.vocabulary,
                opened.start,
                opened.stop,
                self._gradient_scale,
                config,
                None if progress is None else partial(progress, "dynamic evaluation"),
            )

    def baselines(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        unknown: Unknown = "error",
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> tuple[Baseline, ...]:
        """Scores n-grams and general compressors that read the run's training split, on the symbols of ``evaluate``.

        The n-grams, of order 1 to 8, are interpolated with modified Kneser-Ney smoothing. The compressors are zlib,
        bzip2, lzma, and zstd where Python has it: what a text adds to the compressed size of the training split.

        The parameters and errors are those of ``evaluate``; and ConfigurationError for a split of the run's own
        text that the baselines have read.
        """
        self._check_is_held_out("the baselines", text, string, split)
        progress = progress or default_progress()
        with (
            self._opened(text, string, split, unknown, progress, on_notice) as opened,
            self._training_symbols(opened, "baselines", progress) as training,
        ):
            return quality_baselines.baselines(
                training, opened.corpus.symbols, self.vocabulary, opened.start, opened.stop, progress
            )

    def copied(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        samples: int = CopiedConfig().samples,
        sample_length: int = CopiedConfig().sample_length,
        temperature: float = CopiedConfig().temperature,
        seed: int = CopiedConfig().seed,
        unknown: Unknown = "error",
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> CopiedText:
        """Draws text, and finds how much of it stands word for word in the run's training split.

        The share of the symbols that lie in copied spans of 20, 40 and 80 symbols is given beside that of held-out
        text, cut in pieces of ``sample_length``: a text has phrases that it repeats. ``samples`` are drawn with
        ``seed``, the same on every backend.

        The other parameters and errors are those of ``evaluate``; and ConfigurationError for a split of the run's own
        text that is not held out.
        """
        self._check_is_held_out("the copied spans", text, string, split)
        given = {"samples": samples, "sample_length": sample_length, "temperature": temperature, "seed": seed}
        config = build(CopiedConfig, given)
        progress = progress or default_progress()
        with (
            self._opened(text, string, split, unknown, progress, on_notice) as opened,
            self._training_symbols(opened, "copied", progress) as training,
        ):
            drawn = self._draw(config, progress)
            held_out = opened.scored
            length = config.sample_length
            pieces = [held_out[at : at + length] for at in range(0, len(held_out), length)]
            searching = None if progress is None else partial(progress, "searching copied spans")
            shares = copied_shares(training, [list(drawn), pieces], self.vocabulary.size, progress=searching)
        spans = (CopiedSpan(*each) for each in zip(SPAN_LENGTHS, *shares, strict=True))
        return CopiedText(tuple(spans), **config.model_dump())

    def _evaluate(
        self, opened: _ScoredText, progress: ProgressCallback | None, nats: NDArray[np.float64] | None = None
    ) -> Evaluation:
        return evaluate(
            self.model,
            opened.corpus.symbols,
            self.vocabulary,
            opened.start,
            opened.stop,
            nats_of_each=nats,
            release=opened.corpus.release,
            progress=None if progress is None else partial(progress, "scoring"),
        )

    def _draw(self, config: CopiedConfig, progress: ProgressCallback | None) -> NDArray[np.int32]:
        """The sampled symbols, int32 ``(sample, symbol)``."""
        given = {"length": config.sample_length, "count": config.samples}
        sampling = build(SamplingConfig, given | {"temperature": config.temperature, "seed": config.seed})
        symbols = []
        for chosen in self.model.draw(sampling, start_symbol(self.vocabulary)):
            symbols.append(chosen)
            if progress is not None:
                progress("sampling", len(symbols) / config.sample_length)
        return np.stack(symbols, axis=1)

    @contextmanager
    def _opened(
        self,
        text: TextPaths | None,
        string: str | None,
        split: Split | None,
        unknown: Unknown,
        progress: ProgressCallback | None,
        on_notice: Callable[[str], None] | None,
    ) -> Iterator[_ScoredText]:
        """Opens the text to score."""
        check_choice("unknown", unknown, get_args(Unknown))
        if text is not None and string is not None:
            raise ConfigurationError("`text` names files and `string` is a text itself; give one of them")
        own = text is None and string is None
        with self._open_text(text, string, unknown, progress) as corpus:
            if on_notice is not None:
                for line in corpus.notices:
                    on_notice(line)
            start, stop = corpus.split(split or ("validation" if own else "all"))
            if own and start == stop:
                raise TextError(
                    f"the {split or 'validation'} split of the run is empty; score another: `split='train'`"
                )
            yield _ScoredText(corpus, start, stop, own)

    def _open_text(
        self,
        text: TextPaths | None,
        string: str | None,
        unknown: Unknown,
        progress: ProgressCallback | None,
    ) -> Corpus:
        data = self.config.data
        if string is not None:
            return open_string(string, data, self.vocabulary, unknown=unknown, progress=progress)
        if text is not None:
            data = data.model_copy(update={"text": text_paths(text)})
            return open_corpus(data, self.vocabulary, unknown=unknown, progress=progress)
        return self._run.open_text(advice="name the text to score: `text='FILE'`", progress=progress)

    @contextmanager
    def _training_symbols(
        self, opened: _ScoredText, needed_for: str, progress: ProgressCallback | None
    ) -> Iterator[NDArray[Any]]:
        """The training split of the run's own text, ``(symbol,)``. Raises RunError where it can't be read as it was."""
        if opened.is_own:
            start, stop = opened.corpus.split("train")
            yield opened.corpus.symbols[start:stop]
            return
        advice = f"`{needed_for}` needs the text that the run was trained on"
        try:
            corpus = self._run.open_text(advice=advice, progress=progress)
        except TextError as error:
            raise RunError(f"{advice}, which can't be read: {error}") from error
        with corpus:
            start, stop = corpus.split("train")
            yield corpus.symbols[start:stop]

    def _check_is_held_out(
        self, what: str, text: TextPaths | None, string: str | None, split: Split | None
    ) -> None:
        """Raises ConfigurationError for a split of the run's own text that has training text in it."""
        if text is None and string is None and split in {"train", "all"}:
            raise ConfigurationError(
                f"`split={split!r}` has the text in it that {what} are taken from; choose `split='validation'` or "
                "`split='test'`"
            )


def text_paths(text: TextPaths) -> tuple[str, ...]:
    """The paths as the configuration has them."""
    return (str(text),) if isinstance(text, str | PathLike) else tuple(str(path) for path in text)
