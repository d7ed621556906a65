"""The Python interface: train a run, load a run, and what a loaded run can do.

The command line goes through these functions, so whatever it does a notebook can do too.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from charkit import plugins
from charkit.capabilities import required
from charkit.charrnn import CharRNN
from charkit.config import Precision, SamplingConfig, build, check_choice, merge, settings_from_keywords
from charkit.drawing import fresh_seed
from charkit.errors import ConfigurationError, RunError, TextError, UnknownSymbolsError
from charkit.evaluation import Evaluation, evaluate
from charkit.runs.checkpoint import Which
from charkit.runs.run import Run, newest_run_path
from charkit.sampling import Piece, sample_pieces
from charkit.text.corpus import Corpus, Split, open_corpus, open_string
from charkit.text.vocabulary import Unknown, Vocabulary
from charkit.training import events
from charkit.training.interrupts import StopWish, catching_signals
from charkit.training.preparation import Where, new_run, resumed_run
from charkit.training.trainer import Listener, TrainResult

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


def train(
    text: Paths | None = None,
    *,
    run: str | PathLike[str] | None = None,
    resume: str | PathLike[str] | None = None,
    init_from: str | PathLike[str] | None = None,
    extend_vocabulary: bool = False,
    overwrite: bool = False,
    backend: str = "numpy",
    device: str | None = None,
    threads: int | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    listener: Listener | None = None,
    command: str = "charkit.train",
    **options: Any,
) -> TrainResult:
    """Trains a new run, or goes on with one, and returns how it ended.

        result = charkit.train("anna.txt", lstm_size=256, epochs=5)
        result = charkit.train(resume=result.run, epochs=10, backend="torch")

    ``text`` is a file, a folder or several; without one it is Python's own language reference. ``run``
    names the new run's folder, by default ``runs/NAME-N``. ``resume`` continues a run exactly.
    ``init_from`` starts a new run from a run's weights and vocabulary. ``options`` are keys of the
    configuration, such as ``lstm_size`` or ``epochs``; ``settings`` are the same by section. ``listener``
    is called with every event (``charkit.training.events``).

    Ctrl-C and a termination signal save first and return. Raises CharkitError, with nothing half-made,
    for anything that can't be done.
    """
    chosen = merge(settings or {}, settings_from_keywords(options))
    if text is not None:
        chosen = merge(chosen, {"data": {"text": _paths(text)}})
    where = Where(backend=backend, device=device, threads=threads, command=command)
    wish = StopWish()
    tell = _minding(wish, listener or (lambda _event: None))
    if resume is not None:
        if run is not None or init_from is not None or overwrite or extend_vocabulary:
            raise ConfigurationError(
                "--resume goes on with a run as it is; it goes with none of --run, --init-from, --overwrite "
                "and --extend-vocabulary"
            )
        session = resumed_run(Path(resume), chosen, where, tell)
    else:
        session = new_run(
            chosen,
            where,
            tell,
            path=None if run is None else Path(run),
            init_from=None if init_from is None else Path(init_from),
            extend_vocabulary=extend_vocabulary,
            overwrite=overwrite,
        )
    with catching_signals(wish), session as trainer:
        return trainer.run_until_stopped(wish)


def _minding(wish: StopWish, listener: Listener) -> Listener:
    """The listener, who also hears of the wish to stop; while the text is read, there is nothing to wait for."""
    told = False

    def tell(event: events.Event) -> None:
        nonlocal told
        if wish.reason is not None:
            if isinstance(event, events.Reading):
                raise KeyboardInterrupt if wish.reason == "interrupted" else SystemExit(128 + signal.SIGTERM)
            if not told:
                told = True
                listener(events.Stopping(wish.reason))
        listener(event)

    return tell


def load_run(
    path: str | PathLike[str] | None = None,
    *,
    checkpoint: Which = "best",
    backend: str = "numpy",
    precision: str | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> LoadedRun:
    """Loads a run to score or to sample, by default the newest in ``runs`` and its best checkpoint.

        run = charkit.load_run("runs/anna-1")
        print(run.evaluate().bits_per_character)
        print(run.sample(prime="Anna ", length=200)[0])

    Any backend reads any run. ``precision`` is float64 for a run trained in it and float32 otherwise,
    unless told. Raises RunError, BackendError.
    """
    check_choice("checkpoint", checkpoint, get_args(Which))
    if precision is not None:
        check_choice("precision", precision, get_args(Precision))
    run = Run.open(newest_run_path() if path is None else Path(path))
    saved, folder, notes = run.checkpoint(checkpoint)
    trained_in = saved.progress.training.precision
    usual = "float64" if trained_in == "float64" else "float32"
    engine = plugins.create(
        backend,
        precision=precision or usual,
        device=device,
        threads=threads,
        required=required(model=run.config.model),  # not the optimizer's: it is evaluated and sampled
    )
    model = CharRNN.from_config(
        run.config.model,
        saved.progress.optimizer,
        engine,
        batch_size=run.config.data.batch_size,
        num_steps=run.config.data.num_steps,
        seed=run.config.training.seed,
        weights=saved.snapshot.weights,
        training=False,
    )
    return LoadedRun(run, model, step=int(folder.name), notes=notes)


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with its vocabulary. ``notes`` say which damaged checkpoints were stepped over."""

    run: Run
    model: CharRNN
    step: int
    notes: tuple[str, ...] = ()

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols of the model."""
        return self.run.vocabulary

    def evaluate(
        self,
        text: Paths | None = None,
        *,
        string: str | None = None,
        split: Split | None = None,
        unknown: Unknown = "error",
        progress: Callable[[str, float], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> Evaluation:
        """Scores a split of the run's own text, or of any text by path, or a string.

        The split is by default "validation" of the run's text, and "all" of another. ``progress`` hears
        the stage (reading, encoding, scoring) and the share of it that is done; ``note`` hears what reading
        changed in the text, such as symbols skipped. Raises TextError, and UnknownSymbolsError unless
        ``unknown`` is "skip".
        """
        check_choice("unknown", unknown, get_args(Unknown))
        if text is not None and string is not None:
            raise ConfigurationError("give a text or a string to score, not both")
        own = text is None and string is None
        with self._corpus(text, string, unknown, progress) as corpus:
            if note is not None:
                for line in corpus.notes:
                    note(line)
            start, stop = corpus.split(split or ("validation" if own else "all"))
            if own and start == stop:
                raise TextError(
                    f"the {split or 'validation'} split of the run is empty; score another: --split train"
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

    def _corpus(
        self,
        text: Paths | None,
        string: str | None,
        unknown: Unknown,
        progress: Callable[[str, float], None] | None,
    ) -> Corpus:
        data = self.run.config.data
        if string is not None:
            return open_string(string, data, self.vocabulary, unknown)
        if text is not None:
            data = data.model_copy(update={"text": _paths(text)})
            return open_corpus(data, self.vocabulary, unknown=unknown, progress=progress)
        if not self.run.text_sha256:
            raise RunError(
                f"{str(self.run.path)!r} was imported and has no text of its own; name one to score: --text FILE"
            )
        changed = (
            f"the text of {str(self.run.path)!r} has changed since, so its splits mean something else; "
            "name the text to score"
        )
        try:
            corpus = open_corpus(data, self.vocabulary, progress=progress)
        except UnknownSymbolsError as error:
            raise RunError(changed) from error
        if corpus.sha256 != self.run.text_sha256:
            corpus.close()
            raise RunError(changed)
        return corpus

    def sample(self, prime: str = "", **options: Any) -> list[str]:
        """Draws ``count`` samples and returns them whole, each with the prime text before it.

        ``options`` are the keys of ``SamplingConfig``: length, count, temperature, top_k, top_p, stop,
        unknown, seed. The same seed gives the same text on every backend.
        """
        return self.sampling(prime=prime, **options).texts()

    def stream(self, prime: str = "", **options: Any) -> Iterator[Piece]:
        """Yields the new text of each sample as it becomes whole, as ``(stream, text)``."""
        return self.sampling(prime=prime, **options).pieces()

    def sampling(self, **options: Any) -> Sampling:
        """Checks the options of a sample and encodes its prime text; draws nothing yet.

        Raises ConfigurationError, and UnknownSymbolsError for a prime text with unknown symbols unless
        ``unknown`` is "skip".
        """
        config = build(SamplingConfig, options)
        if config.seed is None:
            config = config.model_copy(update={"seed": fresh_seed()})
        prime = config.prime
        if self.vocabulary.kind == "char" and self.run.config.data.newlines == "lf":
            prime = prime.replace("\r\n", "\n").replace("\r", "\n")
        symbols, skipped = self.vocabulary.encode(prime, unknown=config.unknown)
        notes = (
            (f"symbols of the prime text skipped, which the model never saw: {skipped:,}",) if skipped else ()
        )
        return Sampling(self.model, self.vocabulary, config, symbols, notes)


@dataclass(frozen=True)
class Sampling:
    """Samples about to be drawn; ``prime_symbols`` is int32 ``(time,)``, ``config.seed`` is set."""

    model: CharRNN
    vocabulary: Vocabulary
    config: SamplingConfig
    prime_symbols: NDArray[np.int32]
    notes: tuple[str, ...]

    @property
    def prime(self) -> str:
        """The prime text as the model sees it."""
        return self.vocabulary.decode(self.prime_symbols)

    def pieces(self) -> Iterator[Piece]:
        """The new text of each sample as it becomes whole."""
        return sample_pieces(self.model, self.vocabulary, self.config, self.prime_symbols)

    def texts(self, progress: Callable[[float], None] | None = None) -> list[str]:
        """Each sample whole, with the prime text before it. ``progress`` hears the share that is done."""
        pieces = [[self.prime] for _ in range(self.config.count)]
        most = self.config.count * self.config.length
        for number, (stream, text) in enumerate(self.pieces(), start=1):
            pieces[stream].append(text)
            if progress is not None:
                progress(number / most)
        return ["".join(texts) for texts in pieces]


def _paths(text: Paths) -> tuple[str, ...]:
    return (str(text),) if isinstance(text, str | PathLike) else tuple(str(path) for path in text)
