"""A run that was loaded: score it on a text, and draw text from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from charkit import plugins
from charkit.argument_checks import as_path
from charkit.capabilities import required
from charkit.charrnn import CharRNN
from charkit.config import Precision, SamplingConfig, build, check_choice
from charkit.errors import ConfigurationError, RunError, shown
from charkit.html_tables import table_of_fields
from charkit.keyword_suggestions import suggesting_keywords
from charkit.plugins.failures import backend_errors
from charkit.quality.dynamic import GradientScale
from charkit.run_scoring import RunScoring
from charkit.runs.checkpoint import checkpoint_names
from charkit.runs.listing import text_of
from charkit.runs.newest import newest_run_path
from charkit.runs.pointers import Which, step_of
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit.sampling import Piece, sample_pieces
from charkit.symbol_sampling import fresh_seed
from charkit.text.vocabulary import Unknown, Vocabulary
from charkit.training.history import History


@suggesting_keywords
def load_run(
    path: str | PathLike[str] | None = None,
    *,
    checkpoint: Which = "best",
    backend: str = "numpy",
    precision: Precision | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> LoadedRun:
    """Loads a run to evaluate or sample it, by default the newest in ``runs`` and its best checkpoint.

        run = charkit.load_run("runs/anna-1")
        print(run.evaluate().bits_per_character)
        print(run.sample(prime="Anna ", length=200)[0])

    Any backend reads any run. ``checkpoint`` is "best" or "latest"; ``precision`` defaults to float64 for a run trained
    in it, and to float32 for others; ``device`` to the backend's first; and ``threads`` to all.

    Raises RunError for a directory that is not a run or is damaged, BackendError for a backend that can't be used or
    lacks a requested feature, and ConfigurationError for an unknown ``checkpoint`` or ``precision``.
    """
    check_choice("checkpoint", checkpoint, get_args(Which))
    if precision is not None:
        check_choice("precision", precision, get_args(Precision))
    run = Run.open(newest_run_path() if path is None else as_path("`path`", path, error=RunError))
    saved, folder, notices = run.checkpoint(checkpoint)
    usual = "float64" if saved.progress.training.precision == "float64" else "float32"
    made = plugins.create(
        backend,
        precision=precision or usual,
        device=device,
        threads=threads,
        required=required(model=run.config.model),  # not the optimizer's: it is evaluated and sampled
    )
    with backend_errors(made):
        model = CharRNN.from_config(
            run.config.model,
            saved.progress.optimizer,
            made,
            batch_size=run.config.data.batch_size,
            num_steps=run.config.data.num_steps,
            seed=run.config.training.seed,
            weights=saved.snapshot.weights,
            training=False,
        )
    scale = GradientScale.of_moments(
        saved.snapshot.moments.exp_avg_sq,
        beta2=saved.progress.optimizer.beta2,
        step=saved.snapshot.step,
        symbols_per_step=run.config.data.batch_size * run.config.data.num_steps,
    )
    return LoadedRun(run, model, step=int(folder.name), notices=notices, _gradient_scale=scale)


@dataclass(frozen=True, eq=False)
class LoadedRun(RunScoring):
    """A trained model with its vocabulary, at ``step``; returned by ``load_run``.

    ``model`` has the trained weights alone: no step count, moments or carried state, which only ``charkit.train``
    continues. ``notices`` name the damaged checkpoints that were skipped.
    """

    _run: Run = field(repr=False)
    model: CharRNN = field(repr=False)
    step: int
    notices: tuple[str, ...] = field(default=(), repr=False)
    _gradient_scale: GradientScale | None = field(default=None, repr=False)

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self._run.path

    @property
    def text(self) -> str:
        """What the run was trained on: the names of files, or "the text stored in the run" for one from standard input
        or given in Python; empty for an imported run.
        """
        return text_of(self._run)

    @property
    def last_step(self) -> int:
        """The step of the run's newest checkpoint, which may be later than the best one."""
        self._run.check_there()
        names = checkpoint_names(self.path)
        return max(self.step, (step_of(names[0]) or 0) if names else 0)

    @property
    def history(self) -> History:
        """The reports of all sessions of the run, including those after this checkpoint; read again on each access."""
        self._run.check_there()
        return History.from_dicts(self._run.records(METRICS))

    def __repr__(self) -> str:
        model, backend = self.config.model, self.model.backend
        return (
            f"<LoadedRun {str(self.path)!r} at step {self.step:,}: {model.num_layers} x {model.lstm_size}, "
            f"{model.vocabulary_size} symbols, on {backend.name} in {backend.precision}>"
        )

    def _repr_html_(self) -> str:
        model, backend = self.config.model, self.model.backend
        return table_of_fields(
            [
                ("run", str(self.path)),
                ("step", f"{self.step:,}"),
                *([("text", self.text)] if self.text else []),
                ("model", f"{model.num_layers} x {model.lstm_size}"),
                ("vocabulary", f"{model.vocabulary_size:,} symbols"),
                ("backend", f"{backend.name} in {backend.precision}"),
                *(("note", line) for line in self.notices),
            ]
        )

    @suggesting_keywords
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
        """Draws ``count`` samples and returns each in full, starting with the prime text.

        Takes the parameters of ``sampling`` and raises the same errors. The same ``seed`` gives the same text on every
        backend.
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

    @suggesting_keywords
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
        """Yields the text of the samples as it is drawn, as ``(stream, text)``, without the prime text.

        ``stream`` is the number of the sample, from 0. Takes the parameters of ``sampling`` and raises the same errors.
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

    @suggesting_keywords
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

        ``prime`` is the text that each sample continues. For each of ``count`` samples, ``length`` symbols are drawn
        from the ``top_k`` most likely symbols, or from the most likely ones whose probabilities add up to ``top_p``. A
        ``temperature`` below 1 is more predictable, above 1 more varied, and 0 is greedy. A sample ends early once its
        new text contains ``stop``. Symbols of ``prime`` that the model has never seen are an error, or skipped if
        ``unknown`` is "skip". Without a ``seed``, a new one is drawn.

        Raises ConfigurationError for a value out of range, and UnknownSymbolsError.
        """
        if not isinstance(prime, str):
            raise ConfigurationError(
                f"`prime` must be the text to continue, as a str; given {shown(prime)}; use `length` for the number "
                "of symbols to draw"
            )
        given: dict[str, Any] = {"prime": prime, "length": length, "count": count, "temperature": temperature}
        given |= {"top_k": top_k, "top_p": top_p, "stop": stop, "unknown": unknown}
        config = build(SamplingConfig, given | {"seed": fresh_seed() if seed is None else seed})
        prime = config.prime
        if self.vocabulary.kind == "char" and self.config.data.newlines == "lf":
            prime = prime.replace("\r\n", "\n").replace("\r", "\n")
        symbols, skipped = self.vocabulary.encode(prime, unknown=config.unknown)
        notices = []
        if skipped:
            notices.append(f"skipped symbols of the prime text that the model has never seen: {skipped:,}")
        if self.vocabulary.encode(config.stop or "", unknown="skip")[1]:
            notices.append(
                f"no sample will end early: `stop` {shown(config.stop)} contains symbols that the model has never seen"
            )
        return Sampling(self.model, self.vocabulary, config, symbols, tuple(notices))


@dataclass(frozen=True, eq=False)
class Sampling:
    """Samples that are ready to be drawn; ``prime_symbols`` is int32 ``(time,)``, and ``config.seed`` is set."""

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
        """Yields the text of the samples as it is drawn, as ``(stream, text)``.

        Raises BackendError if the backend fails, NotFiniteError if the model's logits are not finite, and MemoryError.
        """
        with backend_errors(self.model.backend):
            yield from sample_pieces(self.model, self.vocabulary, self.config, self.prime_symbols)

    def texts(self, progress: Callable[[float], None] | None = None) -> list[str]:
        """Returns each sample in full, starting with the prime text; ``progress`` is called with the fraction done.

        Raises the same errors as ``pieces``.
        """
        pieces = [[self.prime] for _ in range(self.config.count)]
        most = self.config.count * self.config.length
        for number, (stream, text) in enumerate(self.pieces(), start=1):
            pieces[stream].append(text)
            if progress is not None:
                progress(number / most)
        return ["".join(texts) for texts in pieces]
