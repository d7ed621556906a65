"""Scoring a run: how well its model predicts a text, with baselines and other measures of quality."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isfinite
from os import PathLike
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from charkit.charrnn import CharRNN
from charkit.config import RunConfig, SamplingConfig, build
from charkit.errors import NotFiniteError, RunError
from charkit.evaluation import Evaluation, character_count, evaluate, symbol_counts
from charkit.keyword_suggestions import suggesting_keywords
from charkit.notebook import default_progress
from charkit.object_hints import WithHints, WithoutPickling, by_name
from charkit.plugins.failures import backend_errors
from charkit.quality import baselines as quality_baselines
from charkit.quality.baselines import Baseline
from charkit.quality.copied import SPAN_LENGTHS, CopiedConfig, CopiedSpan, CopiedText, copied_shares
from charkit.quality.dynamic import DynamicConfig, DynamicEvaluation, GradientScale, evaluate_dynamically
from charkit.quality.surprisal import Surprisal
from charkit.quality.surprisal_files import SurprisalFile
from charkit.runs.run import Run
from charkit.sampling import start_symbol
from charkit.scored_text import ScoredText, TextPaths, check_is_held_out, opened_text, training_symbols
from charkit.text.corpus import Split
from charkit.text.reading_progress import ProgressCallback
from charkit.text.vocabulary import Unknown, Vocabulary


class RunScoring(WithHints, WithoutPickling):
    """A model and its run, scored on a text. The base class of LoadedRun, which sets the attributes.

    All methods accept the same texts: a split of the run's own text, by default "validation"; or ``text``, the path of
    any text, or ``string``, the text itself, both with "all" as the default ``split``. With ``limit`` they score at
    most that many symbols, from the beginning of the split. Symbols that the model has never seen are an error, or
    skipped if ``unknown`` is "skip". ``progress`` is called with a stage (such as reading, encoding, scoring) and the
    fraction of it done; ``on_notice`` with changes made to the text while reading, such as skipped symbols.

    All raise TextError for a text that is missing, empty or unreadable, UnknownSymbolsError, RunError if the run's own
    text is missing or has changed, and ConfigurationError for an unknown choice.
    """

    _HINTS: ClassVar = by_name(
        {
            "call sample(...)": "generate",
            "call evaluate(...)": "score perplexity test",
            "call model.predict(symbols, state), with a state from model.initial_state()": "predict logits forward",
            "call model.weights()": "weights state_dict parameters get_weights named_parameters",
            "call charkit.train(resume=...) with the run's path": "train fit",
            "see history, and evaluate(...)": "loss val_loss validation_loss losses",
        }
    )
    _INSTEAD: ClassVar = "pass its path, and load it there with charkit.load_run(path)"

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

    @suggesting_keywords
    def evaluate(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        limit: int | None = None,
        unknown: Unknown = "error",
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Evaluation:
        """Scores a split of the run's own text, or any text given by path or as a string.

        The default split is "validation" for the run's text, and "all" for another. ``progress`` is called with the
        stage (reading, encoding, scoring) and the fraction of it done; ``on_notice`` with changes made to the text
        while reading, such as skipped symbols.

        Raises TextError for a text that is missing, empty or unreadable, UnknownSymbolsError for symbols that the model
        has never seen unless ``unknown`` is "skip", RunError if the run's own text is missing or has changed, and
        ConfigurationError for an unknown choice.
        """
        progress = progress or default_progress()
        with opened_text(self._run, text, string, split, limit, unknown, progress, on_notice) as opened:
            return self._evaluate(opened, progress)

    @suggesting_keywords
    def surprisal(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        limit: int | None = None,
        unknown: Unknown = "error",
        write_to: str | PathLike[str] | None = None,
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Surprisal:
        """Scores a text like ``evaluate``, and returns the surprisal of each character.

            run.surprisal(split="test", write_to="test.html")

        ``write_to`` is a file to write at the end with ``Surprisal.write``; a path that can't be written is rejected
        before scoring begins. Otherwise takes the parameters of ``evaluate`` and raises the same errors. Uses about 40
        bytes of memory per symbol.
        """
        target = None if write_to is None else SurprisalFile.at(write_to)
        progress = progress or default_progress()
        with opened_text(self._run, text, string, split, limit, unknown, progress, on_notice) as opened:
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

    @suggesting_keywords
    def evaluate_dynamically(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        limit: int | None = None,
        learning_rate: float = DynamicConfig().learning_rate,
        segment_length: int = DynamicConfig().segment_length,
        decay: float = DynamicConfig().decay,
        unknown: Unknown = "error",
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> DynamicEvaluation:
        """Scores a text by dynamic evaluation (Krause et al., 2018): the weights adapt to the text while it is scored.

        The text is one stream. After every ``segment_length`` scored symbols, the weights take a step of
        ``learning_rate`` along their gradient, scaled by its root mean square in training, and decay toward the trained
        weights by ``decay``. The run and the model are left unchanged. The result doesn't describe the trained model
        alone; say that it is dynamic wherever you report it.

        Otherwise takes the parameters of ``evaluate`` and raises the same errors; also NotFiniteError if the learning
        rate is so high that the loss overflows, and RunError for a run that was never trained, such as an imported one.
        """
        given = {"learning_rate": learning_rate, "segment_length": segment_length, "decay": decay}
        config = build(DynamicConfig, given)
        if self._gradient_scale is None:
            raise RunError(
                f"{str(self._run.path)!r} was never trained by charkit, so it lacks Adam's second moments, "
                "which dynamic evaluation needs to scale its steps; train a new run from its weights, and "
                "score that one"
            )
        progress = progress or default_progress()
        with (
            opened_text(self._run, text, string, split, limit, unknown, progress, on_notice) as opened,
            backend_errors(self.model.backend),
        ):
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

    @suggesting_keywords
    def baselines(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        limit: int | None = None,
        unknown: Unknown = "error",
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> tuple[Baseline, ...]:
        """Scores n-gram models and general compressors, trained on the run's training split, on the symbols of
        ``evaluate``.

        The n-grams, of order 1 to 8, are interpolated with modified Kneser-Ney smoothing. The compressors are zlib,
        bzip2, lzma, and zstd if Python has it; their score is the size that the text adds to the compressed training
        split.

        Takes the parameters of ``evaluate`` and raises the same errors; also ConfigurationError for a split of the
        run's own text that the baselines have read.
        """
        check_is_held_out("baselines", text, string, split)
        progress = progress or default_progress()
        with (
            opened_text(self._run, text, string, split, limit, unknown, progress, on_notice) as opened,
            training_symbols(self._run, opened, "baselines", progress) as training,
        ):
            return quality_baselines.baselines(
                training, opened.corpus.symbols, self.vocabulary, opened.start, opened.stop, progress
            )

    @suggesting_keywords
    def copied(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        limit: int | None = None,
        samples: int = CopiedConfig().samples,
        sample_length: int = CopiedConfig().sample_length,
        temperature: float = CopiedConfig().temperature,
        seed: int = CopiedConfig().seed,
        unknown: Unknown = "error",
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> CopiedText:
        """Draws text, and measures how much of it is copied verbatim from the run's training split.

        The share of symbols in copied spans of 20, 40 and 80 symbols is reported next to that of held-out text, cut
        into pieces of ``sample_length``, since any text repeats some phrases. ``samples`` are drawn with ``seed``, the
        same on every backend.

        Otherwise takes the parameters of ``evaluate`` and raises the same errors; also ConfigurationError for a split
        of the run's own text that is not held out.
        """
        check_is_held_out("copied", text, string, split)
        given = {"samples": samples, "sample_length": sample_length, "temperature": temperature, "seed": seed}
        config = build(CopiedConfig, given)
        progress = progress or default_progress()
        with (
            opened_text(self._run, text, string, split, limit, unknown, progress, on_notice) as opened,
            training_symbols(self._run, opened, "copied", progress) as training,
        ):
            drawn = self._draw(config, progress)
            held_out = opened.scored
            length = config.sample_length
            pieces = [held_out[at : at + length] for at in range(0, len(held_out), length)]
            searching = None if progress is None else partial(progress, "searching for copied spans")
            shares = copied_shares(training, [list(drawn), pieces], self.vocabulary.size, progress=searching)
        spans = (CopiedSpan(*each) for each in zip(SPAN_LENGTHS, *shares, strict=True))
        return CopiedText(tuple(spans), **config.model_dump())

    def _evaluate(
        self, opened: ScoredText, progress: ProgressCallback | None, nats: NDArray[np.float64] | None = None
    ) -> Evaluation:
        with backend_errors(self.model.backend):
            found = evaluate(
                self.model,
                opened.corpus.symbols,
                self.vocabulary,
                opened.start,
                opened.stop,
                nats_of_each=nats,
                release=opened.corpus.release,
                progress=None if progress is None else partial(progress, "scoring"),
            )
        if not isfinite(found.loss):
            raise NotFiniteError(
                f"the loss of {str(self._run.path)!r} is not finite: its weights are too large for its precision; "
                "choose another `checkpoint`, or train again with a lower `learning_rate`"
            )
        return found

    def _draw(self, config: CopiedConfig, progress: ProgressCallback | None) -> NDArray[np.int32]:
        """The sampled symbols, int32 ``(sample, symbol)``."""
        given = {"length": config.sample_length, "count": config.samples}
        sampling = build(SamplingConfig, given | {"temperature": config.temperature, "seed": config.seed})
        symbols = []
        with backend_errors(self.model.backend):
            for chosen in self.model.draw(sampling, start_symbol(self.vocabulary)):
                symbols.append(chosen)
                if progress is not None:
                    progress("sampling", len(symbols) / config.sample_length)
        return np.stack(symbols, axis=1)
