"""Training a recipe anew, to see whether its recorded results come out again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from charkit.api import train
from charkit.config import DataConfig
from charkit.errors import ConfigurationError, TextError, shown
from charkit.html_tables import table_of_rows
from charkit.keyword_suggestions import suggesting_keywords
from charkit.recipe import Recipe, RecipeResult, built_in_recipes, find_recipe
from charkit.runs.creation import NameTakenError
from charkit.runs.files_by_path import file_sha256
from charkit.settings import resolve
from charkit.text.corpus import open_corpus
from charkit.text.locations import is_url, recorded
from charkit.text.sources import find_prepared
from charkit.training.events import EventHandler
from charkit.training.interrupts import INTERRUPTIONS
from charkit.training.result import TrainResult


@dataclass(frozen=True)
class ReproducedResult:
    """A recorded result, and the new run's ``loss`` on the same split, in nats per symbol."""

    recorded: RecipeResult
    loss: float

    @property
    def within(self) -> bool:
        """Whether the loss is within the range expected of another seed, given the spread of the recorded losses."""
        lowest, highest = self.recorded.range
        return lowest <= self.loss <= highest


@dataclass(frozen=True)
class Reproduction:
    """A recipe that was trained again with ``seed``; ``training`` says how that ended.

    ``results`` pairs the recorded results with the new ones. It is empty if training was interrupted.
    """

    recipe: str
    seed: int
    training: TrainResult = field(repr=False)
    results: tuple[ReproducedResult, ...]

    @property
    def run(self) -> Path:
        """The directory of the run that was trained."""
        return self.training.run

    @property
    def reproduced(self) -> bool:
        """Whether the loss on each recorded split is within the spread of one of its results, if there are any."""
        splits = {each.recorded.split for each in self.results}
        return bool(splits) and splits == {each.recorded.split for each in self.results if each.within}

    def _repr_html_(self) -> str:
        rows = [
            (
                each.recorded.split,
                f"{each.loss:.4f}",
                f"{each.recorded.loss:.4f}",
                "{:.4f} to {:.4f}".format(*each.recorded.range),
                "yes" if each.within else "no",
            )
            for each in self.results
        ]
        columns = ("split", "loss", "measured", "95% prediction interval", "within")
        return table_of_rows(columns, rows, caption=f"{self.recipe}, seed {self.seed}, {self.run}")


@suggesting_keywords
def reproduce(
    recipe: str | PathLike[str],
    text: str | PathLike[str] | None = None,
    *,
    seed: int = 0,
    run: str | PathLike[str] | None = None,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    on_event: EventHandler | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Reproduction:
    """Trains a recipe on the text that its results were measured on, and compares the new results with them.

        found = charkit.reproduce("shakespeare-2-minutes", "input.txt", seed=4)
        print(found.reproduced, found.results)

    ``recipe`` is a name in ``charkit.recipes()`` or a TOML file with results. ``text`` is the file with its text; the
    default is that of ``train``. The run is an ordinary one, in ``run`` or ``runs/NAME-N``, and can be resumed. Its
    best checkpoint is evaluated. The recorded losses of several seeds determine a range that contains the loss of
    another seed in 95 of 100 cases, and the result is reproduced if it lies in that range; on another machine, rounding
    alone makes the same seed behave as another one. ``backend``, ``device``, ``threads`` and ``on_event`` are as in
    ``train``, and ``progress`` as in ``LoadedRun.evaluate``.

    Raises ConfigurationError for an unknown recipe or one without results, TextError if ``text`` is missing or is a
    different text, and the errors of ``train``.
    """
    found = find_recipe(recipe)
    _check_text(found, text)
    try:
        training = train(
            text,
            recipe=recipe,
            seed=seed,
            run=run,
            backend=backend,
            device=device,
            threads=threads,
            on_event=on_event,
        )
    except NameTakenError as error:  # it can't be continued or replaced here
        raise NameTakenError(f"{str(run)!r} already exists; choose another `run`") from error
    results: tuple[ReproducedResult, ...] = ()
    if training.stopped_because not in INTERRUPTIONS.values():
        loaded = training.load(
            backend=(found.backend or "numpy") if backend is None else backend, device=device, threads=threads
        )
        losses = {
            split: loaded.evaluate(split=split, progress=progress).loss
            for split in dict.fromkeys(result.split for result in found.results)
        }
        results = tuple(ReproducedResult(result, losses[result.split]) for result in found.results)
    return Reproduction(found.label, seed, training, results)


def _check_text(recipe: Recipe, text: str | PathLike[str] | None) -> None:
    """Raises ConfigurationError for a recipe without results, and TextError unless the text is the one they are of."""
    if recipe.text is None or not recipe.results:
        known = ", ".join(each.name for each in built_in_recipes() if each.results)
        raise ConfigurationError(
            f"the recipe {recipe.label!r} has no measured results to compare with; "
            + (
                f"the recipes with measured results are {known}"
                if known
                else "none of charkit's recipes has measured results yet"
            )
        )
    wanted = f"the results of the recipe {recipe.label!r} were measured on {recipe.text.name}"
    advice = f"use that text: {recipe.text.source}"
    if text is None:
        with open_corpus(DataConfig()) as corpus:
            sha256 = corpus.sha256
        if sha256 != recipe.text.sha256:
            raise TextError(f"{wanted}, but no `text` was given; {advice}")
        return
    if not isinstance(text, str | PathLike):
        raise TextError(f"`text` must be the path of a text; given {shown(text)}")
    given = _sha256_of(str(text))
    if given is None:
        raise TextError(f"{wanted}, but there is no file {str(text)!r}; {advice}")
    if given != recipe.text.sha256:
        raise TextError(
            f"{wanted} with the SHA-256 {recipe.text.sha256[:12]}..., but the SHA-256 of {recorded(str(text))!r} is "
            f"{given[:12]}...; {advice}"
        )
    prepared = find_prepared((str(text),))
    if prepared is not None:  # in another way than the recipe reads it, it would be another text
        prepared.check_reading(resolve(recipe.settings, vocabulary_size=2).data)


def _sha256_of(text: str) -> str | None:
    """Of a text file, of the source of a prepared text, or of what is behind a URL; None where there is no file."""
    if (prepared := find_prepared((text,))) is not None:
        return prepared.manifest.source.sha256
    if is_url(text):
        with open_corpus(DataConfig(text=(text,), vocabulary="byte")) as corpus:
            return corpus.sha256
    return file_sha256(Path(text)) if Path(text).is_file() else None
