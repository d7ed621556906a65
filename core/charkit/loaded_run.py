"""A run that was loaded: score it on a text, and draw text from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from charkit import plugins
from charkit.capabilities import required
from charkit.charrnn import CharRNN
from charkit.config import Precision, RunConfig, SamplingConfig, build, check_choice
from charkit.errors import ConfigurationError, TextError
from charkit.evaluation import Evaluation, evaluate
from charkit.notebook import default_progress
from charkit.runs.checkpoint import Which
from charkit.runs.run import METRICS, Run, newest_run_path
from charkit.sampling import Piece, sample_pieces
from charkit.symbol_sampling import fresh_seed
from charkit.text.corpus import Corpus, Split, open_corpus, open_string
from charkit.text.vocabulary import Unknown, Vocabulary
from charkit.training.history import History

#: A text file or folder, or several.
TextPaths = str | PathLike[str] | Sequence[str | PathLike[str]]


def load_run(
    path: str | PathLike[str] | None = None,
    *,
    checkpoint: Which = "best",
    backend: str = "numpy",
    precision: Precision | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> LoadedRun:
    """Loads a run to score or to sample, by default the newest in ``runs`` and its best checkpoint.

        run = charkit.load_run("runs/anna-1")
        print(run.evaluate().bits_per_character)
        print(run.sample(prime="Anna ", length=200)[0])

    Any backend reads any run. ``precision`` is by default float64 for a run trained in it, and float32 for others.
    ``device`` is by default the backend's first, and ``threads`` all.

    Raises RunError for a folder that is no run or is damaged, BackendError for a backend that can't be used or
    lacks what is asked of it, and ConfigurationError for an unknown ``checkpoint`` or ``precision``.
    """
    check_choice("checkpoint", checkpoint, get_args(Which))
    if precision is not None:
        check_choice("precision", precision, get_args(Precision))
    run = Run.open(newest_run_path() if path is None else Path(path))
    saved, folder, notices = run.checkpoint(checkpoint)
    usual = "float64" if saved.progress.training.precision == "float64" else "float32"
    model = CharRNN.from_config(
        run.config.model,
        saved.progress.optimizer,
        plugins.create(
            backend,
            precision=precision or usual,
            device=device,
            threads=threads,
            required=required(model=run.config.model),  # not the optimizer's: it is evaluated and sampled
        ),
        batch_size=run.config.data.batch_size,
        num_steps=run.config.data.num_steps,
        seed=run.config.training.seed,
        weights=saved.snapshot.weights,
        training=False,
    )
    return LoadedRun(run, model, step=int(folder.name), notices=notices)


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with its vocabulary, at ``step``; ``load_run`` makes it.

    ``notices`` name the damaged checkpoints that were skipped.
    """

    _run: Run = field(repr=False)
    model: CharRNN = field(repr=False)
    step: int
    notices: tuple[str, ...] = field(default=(), repr=False)

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._run.path

    @property
    def config(self) -> RunConfig:
        """The configuration that the run was created with; later sessions may have changed its training settings."""
        return self._run.config

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols of the model."""
        return self._run.vocabulary

    @property
    def history(self) -> History:
        """The reports of all sessions that trained the run, also of those after this checkpoint; it is read anew."""
        return History.from_dicts(self._run.records(METRICS))

    def __repr__(self) -> str:
        model, backend = self.config.model, self.model.backend
        return (
            f"<LoadedRun {str(self.path)!r} at step {self.step:,}: {model.num_layers} x {model.lstm_size}, "
            f"{model.vocabulary_size} symbols, on {backend.name} in {backend.precision}>"
        )

    def evaluate(
        self,
        text: TextPaths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        unknown: Unknown = "error",
        progress: Callable[[str, float], None] | None = None,
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
        check_choice("unknown", unknown, get_args(Unknown))
        if text is not None and string is not None:
            raise ConfigurationError("`text` names files and `string` is a text itself; give one of them")
        progress = progress or default_progress()
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
            return evaluate(
                self.model,
                corpus.symbols,
                self.vocabulary,
                start,
                stop,
                release=corpus.release,
                progress=None if progress is None else partial(progress, "scoring"),
            )

    def _open_text(
        self,
        text: TextPaths | None,
        string: str | None,
        unknown: Unknown,
        progress: Callable[[str, float], None] | None,
    ) -> Corpus:
        data = self.config.data
        if string is not None:
            return open_string(string, data, self.vocabulary, unknown=unknown, progress=progress)
        if text is not None:
            data = data.model_copy(update={"text": text_paths(text)})
            return open_corpus(data, self.vocabulary, unknown=unknown, progress=progress)
        return self._run.open_text(advice="name the text to score: `text='FILE'`", progress=progress)

    def sample(
        self,
        prime: str = "",
        *,
        length: int = 500,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        unknown: Unknown = "error",
        seed: int | None = None,
    ) -> list[str]:
        """Draws ``count`` samples and returns them whole, each with the prime text before it.

        The parameters and errors are those of ``sampling``. The same ``seed`` gives the same text on every backend.
        """
        return self.sampling(
            prime,
            length=length,
            count=count,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop=stop,
            unknown=unknown,
            seed=seed,
        ).texts()

    def stream(
        self,
        prime: str = "",
        *,
        length: int = 500,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        unknown: Unknown = "error",
        seed: int | None = None,
    ) -> Iterator[Piece]:
        """Yields the new text of each sample as it becomes whole, as ``(stream, text)``.

        The parameters and errors are those of ``sampling``.
        """
        return self.sampling(
            prime,
            length=length,
            count=count,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop=stop,
            unknown=unknown,
            seed=seed,
        ).pieces()

    def sampling(
        self,
        prime: str = "",
        *,
        length: int = 500,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        unknown: Unknown = "error",
        seed: int | None = None,
    ) -> Sampling:
        """Checks the parameters of samples and encodes the prime text; draws nothing yet.

        ``prime`` is the text that each sample continues. ``length`` symbols are drawn for each of ``count``
        samples, from the ``top_k`` likeliest, or the likeliest that sum to ``top_p``; a ``temperature`` below 1 is
        safer, above 1 is wilder, and 0 is greedy. A sample ends early once it holds ``stop``. Symbols of ``prime``
        that the model never saw are an error, or skipped if ``unknown`` is "skip". Without a ``seed`` a fresh one
        is drawn.

        Raises ConfigurationError for a value out of its range, and UnknownSymbolsError.
        """
        given: dict[str, Any] = {"prime": prime, "length": length, "count": count, "temperature": temperature}
        given |= {"top_k": top_k, "top_p": top_p, "stop": stop, "unknown": unknown}
        config = build(SamplingConfig, given | {"seed": fresh_seed() if seed is None else seed})
        prime = config.prime
        if self.vocabulary.kind == "char" and self.config.data.newlines == "lf":
            prime = prime.replace("\r\n", "\n").replace("\r", "\n")
        symbols, skipped = self.vocabulary.encode(prime, unknown=config.unknown)
        notices = (
            (f"symbols of the prime text skipped, which the model never saw: {skipped:,}",) if skipped else ()
        )
        return Sampling(self.model, self.vocabulary, config, symbols, notices)


@dataclass(frozen=True)
class Sampling:
    """Samples about to be drawn; ``prime_symbols`` is int32 ``(time,)``, ``config.seed`` is set."""

    model: CharRNN = field(repr=False)
    vocabulary: Vocabulary = field(repr=False)
    config: SamplingConfig
    prime_symbols: NDArray[np.int32] = field(repr=False)
    notices: tuple[str, ...] = ()

    @property
    def prime(self) -> str:
        """The prime text as the model sees it."""
        return self.vocabulary.decode(self.prime_symbols)

    def pieces(self) -> Iterator[Piece]:
        """Yields the new text of each sample as it becomes whole, as ``(stream, text)``."""
        return sample_pieces(self.model, self.vocabulary, self.config, self.prime_symbols)

    def texts(self, progress: Callable[[float], None] | None = None) -> list[str]:
        """Each sample whole, with the prime text before it; ``progress`` is called with the fraction that is done."""
        pieces = [[self.prime] for _ in range(self.config.count)]
        most = self.config.count * self.config.length
        for number, (stream, text) in enumerate(self.pieces(), start=1):
            pieces[stream].append(text)
            if progress is not None:
                progress(number / most)
        return ["".join(texts) for texts in pieces]


def text_paths(text: TextPaths) -> tuple[str, ...]:
    """The paths as the configuration has them."""
    return (str(text),) if isinstance(text, str | PathLike) else tuple(str(path) for path in text)
