"""What every variant of a comparison starts from: a new model on a text, or a run's model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from charkit.config import DataConfig, RunConfig
from charkit.errors import ConfigurationError, RunError, VocabularySizeError
from charkit.runs.run import Run
from charkit.settings import merge, resolve
from charkit.snapshot import Snapshot
from charkit.text.corpus import Corpus, open_corpus
from charkit.text.encoded_file import scratch_folder
from charkit.text.locations import absolute, is_url, name_of
from charkit.text.preparation import prepare_data
from charkit.text.sources import with_reading_of_prepared
from charkit.training.memory_estimate import with_needed_memory
from charkit.training.recipe_settings import with_fitting_batch
from charkit.training.session import training_batches
from charkit.weights import initial_weights
from charkit_comparison.processes.spec import ComparisonSpec
from charkit_comparison.report_parts import Text


@dataclass(frozen=True)
class StartingPoint:
    """What every variant trains, from where, and on which text."""

    spec: ComparisonSpec
    text: Text
    start: str  # the run and its step; empty for a new model
    notices: tuple[str, ...]
    files: tuple[str, ...]  # that were read
    steps_per_epoch: int

    @property
    def precision(self) -> str:
        """The precision of the settings, or of the run."""
        return self.spec.config.training.precision


def is_run(path: Path) -> bool:
    """Whether the path is a run's folder rather than a text's."""
    return (path / "config.json").is_file()


def from_text(settings: Mapping[str, Mapping[str, Any]], hold: ExitStack) -> StartingPoint:
    """A new model on a text. Raises CharkitError for what can't be trained.

    ``hold`` gets what must stay as long as the comparison runs.
    """
    settings = with_reading_of_prepared(settings)
    requested = resolve(settings, vocabulary_size=2)
    data = _on_this_machine(requested.data, hold)
    settings = merge(settings, {"data": {"text": tuple(map(absolute, data.text))}})
    try:
        corpus = open_corpus(resolve(settings, vocabulary_size=2).data)
    except VocabularySizeError as error:
        raise with_needed_memory(error, resolve(settings, error.size)) from error
    with corpus:
        config = resolve(settings, corpus.vocabulary.size)
        config, shrunk = with_fitting_batch(config, settings, corpus.split("train")[1])
        batches = training_batches(corpus, config.data, config.training.seed)
        spec = ComparisonSpec(config, corpus.vocabulary, _untrained(config), corpus.sha256)
        return StartingPoint(spec, _text(corpus), "", (*corpus.notices, *shrunk), corpus.files, batches.count)


def from_run(path: Path, settings: Mapping[str, Mapping[str, Any]], hold: ExitStack) -> StartingPoint:
    """A run's model, from its latest weights, moments, state and position; see ``from_text``.

    Raises RunError for an imported run, which has no text, and for a text that has changed, and TextError for one that
    can't be read.
    """
    run = Run.open(path)
    changed = [f"`{section}.{key}`" for section, values in settings.items() for key in values]
    if changed:
        raise ConfigurationError(
            f"a comparison that starts from a run uses the run's own settings; given {', '.join(changed)}; leave "
            f"{'it' if len(changed) == 1 else 'them'} out, or give a text instead of the run"
        )
    if not run.text_sha256:
        raise RunError(
            f"{str(path)!r} was imported, so it has no text; give a text to compare on instead of this run"
        )
    checkpoint, _, notices = run.checkpoint("latest")
    config = run.config.model_copy(
        update={"data": _on_this_machine(run.config.data, hold)}
        | {"optimizer": checkpoint.progress.optimizer, "training": checkpoint.progress.training}
    )
    with replace(run, config=config).open_text(advice="restore the original text") as corpus:
        batches = training_batches(corpus, config.data, config.training.seed)
        start = checkpoint.snapshot
        return StartingPoint(
            ComparisonSpec(config, run.vocabulary, start, corpus.sha256),
            _text(corpus),
            f"{path} at step {start.step:,}",
            (*corpus.notices, *notices),
            corpus.files,
            batches.count,
        )


def _on_this_machine(data: DataConfig, hold: ExitStack) -> DataConfig:
    """The settings with a text by URL prepared in a temporary folder, so that not every worker fetches it."""
    if not any(map(is_url, data.text)):
        return data
    folder = hold.enter_context(
        TemporaryDirectory(prefix="charkit-text-", dir=scratch_folder(), ignore_cleanup_errors=True)
    )
    prepared = Path(folder) / name_of(data.text[0])
    prepare_data(data, prepared)
    return data.model_copy(update={"text": (str(prepared),)})


def _text(corpus: Corpus) -> Text:
    return Text(
        name=corpus.name,
        sha256=corpus.sha256,
        symbols=len(corpus.symbols),
        vocabulary_size=corpus.vocabulary.size,
    )


def _untrained(config: RunConfig) -> Snapshot:
    """The seed's initial weights in float64, which each precision rounds once; everything else is zero."""
    return Snapshot.untrained(
        initial_weights(config.model, config.training.seed, config.training.initialization),
        config.data.batch_size,
    )
