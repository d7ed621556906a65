"""From what the user asked for to a plan: the text, the model, who takes part, and where to start."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charkit.config import DataConfig, RunConfig, merge, resolve
from charkit.errors import ConfigurationError, RunError
from charkit.plugins import find, listing
from charkit.plugins.creation import NOTHING_REQUIRED, check_capabilities, missing_capability
from charkit.runs.run import Run
from charkit.snapshot import Snapshot
from charkit.text.batches import Batches
from charkit.text.corpus import Corpus, open_corpus
from charkit.weights import initial_weights
from charkit_comparison.plan import Variant
from charkit_comparison.processes.spec import Job
from charkit_comparison.report import Text


@dataclass(frozen=True)
class Subject:
    """What everyone trains: from where, on what."""

    job: Job
    text: Text
    name: str  # for the folder of the report
    start: str  # the run and its step, or nothing
    notes: tuple[str, ...]


def is_run(path: str) -> bool:
    """Whether the path is a run's folder rather than a text's."""
    return (Path(path) / "config.json").is_file()


def from_text(settings: Mapping[str, Mapping[str, Any]]) -> Subject:
    """A new model on a text. Raises CharkitError for what can't be trained."""
    asked = resolve(settings, vocabulary_size=2)
    paths = tuple(str(Path(text).resolve()) for text in asked.data.text)
    settings = merge(settings, {"data": {"text": paths}})
    with open_corpus(resolve(settings, vocabulary_size=2).data) as corpus:
        config = resolve(settings, corpus.vocabulary.size)
        _check_batches(corpus, config.data)
        return Subject(
            Job(config, corpus.vocabulary, _initial(config), corpus.sha256),
            _text(corpus),
            corpus.name,
            "",
            corpus.notices,
        )


def from_run(path: Path, settings: Mapping[str, Mapping[str, Any]]) -> Subject:
    """A run's model, from its latest weights, moments, state and position. Raises RunError."""
    run = Run.open(path)
    changed = [f"{section}.{key}" for section, values in settings.items() for key in values]
    if changed:
        raise ConfigurationError(
            f"a comparison from a run takes the run as it is; given {', '.join(changed)}; leave that out, or "
            "compare on its text"
        )
    checkpoint, _, notes = run.checkpoint("latest")
    config = run.config.model_copy(
        update={"optimizer": checkpoint.progress.optimizer, "training": checkpoint.progress.training}
    )
    with open_corpus(config.data, run.vocabulary) as corpus:
        if corpus.sha256 != run.text_sha256:
            raise RunError(
                f"the text of {str(path)!r} has changed since it was trained (its SHA-256 was "
                f"{run.text_sha256[:12]}..., it is {corpus.sha256[:12]}...); put the old one back"
            )
        _check_batches(corpus, config.data)
        start = checkpoint.snapshot
        return Subject(
            Job(config, run.vocabulary, start, corpus.sha256),
            _text(corpus),
            run.path.resolve().name,
            f"{path} at step {start.step:,}",
            (*corpus.notices, *notes),
        )


def _check_batches(corpus: Corpus, data: DataConfig) -> None:
    """Raises TextError unless the training split fills a batch."""
    start, stop = corpus.split("train")
    Batches(corpus.symbols, data.batch_size, data.num_steps, start=start, stop=stop)


def _text(corpus: Corpus) -> Text:
    return Text(
        name=corpus.name,
        sha256=corpus.sha256,
        symbols=len(corpus.symbols),
        vocabulary_size=corpus.vocabulary.size,
    )


def _initial(config: RunConfig) -> Snapshot:
    """The seed's initial weights in float64, which each precision rounds once; everything else is zero."""
    return Snapshot.untrained(initial_weights(config.model, config.training.seed), config.data.batch_size)


def variants_of(
    backends: Sequence[str],
    precisions: Sequence[str],
    pythons: Sequence[str],
    device: str | None,
    required: Mapping[str, str] = NOTHING_REQUIRED,
) -> tuple[list[Variant], list[str]]:
    """Which backends take part, and notes about who does not. Raises BackendError, ConfigurationError.

    Without ``backends`` it is every usable one. ``pythons`` are ``BACKEND-NAME=PATH``. ``required`` are the
    capabilities that the settings need: a backend that lacks one is left out, or refused where it was named.
    """
    rows = {row.name: row for row in listing.backends()}
    notes: list[str] = []
    if backends:
        for name in backends:
            find(name)
            if rows[name].status == "usable":  # why another can't be used is its outcome
                check_capabilities(name, rows[name].capabilities, required, rows.values())
        chosen = list(dict.fromkeys(backends))
    else:
        usable = [row for row in rows.values() if row.status == "usable"]
        chosen = [row.name for row in usable if required.keys() <= set(row.capabilities)]
        for row in usable:
            notes += [
                f"{missing_capability(row.name, row.capabilities, capability, setting)}, so it is left out"
                for capability, setting in required.items()
                if capability not in row.capabilities
            ]
        notes += [row.reason for row in rows.values() if row.status != "usable"]
    variants = []
    for precision in precisions:
        for name in chosen:
            has = rows[name].precisions
            if has and precision not in has and len(precisions) > 1:
                notes.append(f"{name} has no {precision}, so it takes no part in it")
                continue
            variants.append(Variant(_label(name, precision, precisions), name, precision, device))
        variants += [_elsewhere(given, precision, precisions, device) for given in pythons]
    labels = [variant.label for variant in variants]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ConfigurationError(f"two variants are named {twice[0]!r}; give each --python a name of its own")
    return variants, notes


def _label(name: str, precision: str, precisions: Sequence[str]) -> str:
    return name if len(precisions) == 1 else f"{name} {precision}"


def _elsewhere(given: str, precision: str, precisions: Sequence[str], device: str | None) -> Variant:
    """A backend in another environment, from ``torch-old=/envs/old/bin/python``."""
    name, equals, python = given.partition("=")
    backend, dash, _ = name.partition("-")
    if not equals or not dash or not python or not re.fullmatch(r"[\w.]+-[\w.-]+", name, re.ASCII):
        raise ConfigurationError(
            f"--python {given!r} is not BACKEND-NAME=PATH, as in torch-old=/envs/old/bin/python; names are made of "
            "letters, digits, _, . and -"
        )
    found = shutil.which(str(Path(python).expanduser()))
    if found is None:
        raise ConfigurationError(
            f"--python {name}: there is no program {python!r}; give the path of an environment's python"
        )
    return Variant(_label(name, precision, precisions), backend, precision, device, python=found)
