"""Training a recipe anew, to see whether its recorded results come out again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from charkit.api import train
from charkit.argument_checks import as_path
from charkit.config import DataConfig
from charkit.durations import duration_seconds
from charkit.errors import ConfigurationError, TextError, shown
from charkit.events import EventHandler
from charkit.html_tables import table_of_rows
from charkit.keyword_suggestions import suggesting_keywords
from charkit.loaded_run import load_run
from charkit.recipe import Recipe, RecipeResult, built_in_recipes, find_recipe
from charkit.runs.checkpoint_content import TrainingProgress
from charkit.runs.creation import NameTakenError
from charkit.runs.files_by_path import file_sha256
from charkit.runs.run import Run
from charkit.settings import resolve
from charkit.text.corpus import open_corpus
from charkit.text.locations import is_url, recorded
from charkit.text.sources import find_prepared
from charkit.training.interrupts import IN_WORDS
from charkit.training.recipe_settings import configure
from charkit.training.result import TrainResult
from charkit.training.resume import FinishedRunError
from charkit.training.session import backend_of_last_session


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
    """A recipe that was trained again with ``seed``, in the directory ``run``.

    ``training`` says how that ended; it is None for a run that was resumed and had already finished. ``results`` pairs
    the recorded results with the new ones. It is empty if training was interrupted.
    """

    recipe: str
    seed: int
    run: Path
    training: TrainResult | None = field(repr=False)
    results: tuple[ReproducedResult, ...]

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
    seed: int | None = None,
    run: str | PathLike[str] | None = None,
    resume: str | PathLike[str] | None = None,
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
    default is that of ``train``. The run is an ordinary one, in ``run`` or ``runs/NAME-N``. ``resume`` names a run of
    the recipe that was stopped, or that has finished, to be used instead of a new one; ``text`` is then needed only if
    the file has moved. ``seed`` is that of a new run, by default 0. The best checkpoint is evaluated. The recorded
    losses of several seeds determine a range that contains the loss of another seed in 95 of 100 cases, and the result
    is reproduced if it lies in that range; on another machine, rounding alone makes the same seed behave as another
    one. ``backend``, ``device``, ``threads`` and ``on_event`` are as in ``train``, and ``progress`` as in
    ``LoadedRun.evaluate``.

    Raises ConfigurationError for an unknown recipe, for one without results and for a run of other settings, TextError
    if ``text`` is missing or is a different text, and the errors of ``train``.
    """
    found = find_recipe(recipe)
    _check_results(found)
    chosen: dict[str, Any] = {"device": device, "threads": threads}
    training: TrainResult | None
    if resume is None:
        _check_text(found, text)
        seed = seed or 0
        training = _train_anew(recipe, text, seed, run, backend=backend, on_event=on_event, **chosen)
        path, backend = training.run, backend or found.backend or "numpy"
    else:
        if seed is not None or run is not None:
            given = "run" if seed is None else "seed"
            raise ConfigurationError(
                f"`resume` continues a run with its own seed and name; leave `{given}` out"
            )
        path = as_path("`resume`", resume)
        seed, remaining = _check_run(found, path, text)
        backend = backend or found.backend or backend_of_last_session(path)
        training = _train_on(path, text, remaining, backend=backend, on_event=on_event, **chosen)
    results: tuple[ReproducedResult, ...] = ()
    if training is None or training.stopped_because not in IN_WORDS:
        loaded = load_run(path, backend=backend, **chosen)
        losses = {
            split: loaded.evaluate(split=split, progress=progress).loss
            for split in dict.fromkeys(result.split for result in found.results)
        }
        results = tuple(ReproducedResult(result, losses[result.split]) for result in found.results)
    return Reproduction(found.label, seed, path, training, results)


def _train_anew(
    recipe: str | PathLike[str],
    text: str | PathLike[str] | None,
    seed: int,
    run: str | PathLike[str] | None,
    **chosen: Any,
) -> TrainResult:
    """The result of training a new run. Raises the errors of ``train``."""
    try:
        return train(text, recipe=recipe, seed=seed, run=run, **chosen)
    except NameTakenError as error:  # it can't be replaced here
        raise NameTakenError(
            f"{str(run)!r} already exists; continue it with `resume`, or choose another `run`"
        ) from error


def _train_on(
    path: Path, text: str | PathLike[str] | None, remaining_seconds: float | None, **chosen: Any
) -> TrainResult | None:
    """The result of resuming a run, within a time if there is one; None if it had finished.

    Raises the errors of ``train``.
    """
    if remaining_seconds == 0:
        return None
    limit = None if remaining_seconds is None else f"{remaining_seconds:.1f}s"
    try:
        return train(text, resume=path, time_limit=limit, **chosen)
    except FinishedRunError:
        return None


#: The share of a time limit by which a run's own time may differ from it, and what a last validation may add.
_LIMIT_TOLERANCE, _LAST_VALIDATION_SECONDS = 0.1, 60.0
#: Settings that say where the text is.
_PLACES = {"text", "glob"}


def _check_run(recipe: Recipe, path: Path, text: str | PathLike[str] | None) -> tuple[int, float | None]:
    """The seed of a run of this recipe, and the seconds that are left of the recipe's time limit, if one is needed.

    Raises RunError if it is not a run or its text has moved, TextError for a run on another text than that of the
    recipe's results, and ConfigurationError for one with other settings than the recipe's or with more time.
    """
    assert recipe.text is not None
    run = Run.open(path)
    if run.text_sha256 != recipe.text.sha256:
        raise TextError(
            f"{str(path)!r} can't be compared with the results of the recipe {recipe.label!r}, because they were "
            f"measured on {recipe.text.name} and the run was trained on a different text; train a new run on the "
            f"recipe's text: {recipe.text.source}"
        )
    moved = () if text is None else (str(as_path("`text`", text)),)
    with run.open_text(
        moved, advice="give its text, which is the one that the results were measured on"
    ) as corpus:
        symbols = corpus.split("train")[1]
    seed = run.config.training.seed
    expected, _ = configure(recipe, {"training": {"seed": seed}}, symbols, run.config.model.vocabulary_size)
    progress = run.checkpoint("latest")[0].progress
    limit = run.config.training.time_limit  # a session that resumed may have had none, or another one
    training = progress.training.model_copy(update={"time_limit": limit})
    own = run.config.model_copy(update={"optimizer": progress.optimizer, "training": training})
    for section in ("model", "data", "optimizer", "training"):
        ours, theirs = (getattr(config, section).model_dump(exclude=_PLACES) for config in (own, expected))
        for key, value in theirs.items():
            if ours[key] != value:
                raise ConfigurationError(
                    f"{str(path)!r} was not trained with the settings of the recipe {recipe.label!r}: its `{key}` is "
                    f"{shown(ours[key])} instead of {shown(value)}; leave out `resume` to train a new run"
                )
    return seed, None if limit is None else _remaining_seconds(recipe, path, progress, limit)


def _remaining_seconds(recipe: Recipe, path: Path, progress: TrainingProgress, limit: str) -> float | None:
    """What is left of a time limit, 0 for a run that has used it up; None if a plan says where the run ends.

    Raises ConfigurationError for a run that has had more time.
    """
    allowed = duration_seconds(limit)
    if progress.elapsed_seconds > allowed * (1 + _LIMIT_TOLERANCE) + _LAST_VALIDATION_SECONDS:
        raise ConfigurationError(
            f"{str(path)!r} was trained for {progress.elapsed_seconds:,.0f} s, but the time limit of the recipe "
            f"{recipe.label!r} is {limit}; leave out `resume` to train a new run"
        )
    if progress.plan is not None:
        return None
    remaining = allowed - progress.elapsed_seconds
    return remaining if remaining > allowed * _LIMIT_TOLERANCE else 0.0


def _check_results(recipe: Recipe) -> None:
    """Raises ConfigurationError for a recipe without results."""
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


def _check_text(recipe: Recipe, text: str | PathLike[str] | None) -> None:
    """Raises TextError unless the text is the one that the recipe's results were measured on."""
    assert recipe.text is not None
    wanted = f"the results of the recipe {recipe.label!r} were measured on {recipe.text.name}"
    advice = f"use that text: {recipe.text.source}"
    if text is None:
        with open_corpus(DataConfig()) as corpus:
            sha256 = corpus.sha256
        if sha256 != recipe.text.sha256:
            raise TextError(
                f"{wanted}, but no `text` was given, and the default text is a different one; {advice}"
            )
        return
    if not isinstance(text, str | PathLike):
        raise TextError(f"`text` must be the path of a text; given {shown(text)}")
    given = _sha256_of(str(text))
    if given is None:
        is_missing = not Path(text).exists()
        problem = f"there is no file {str(text)!r}" if is_missing else f"{str(text)!r} is not a file"
        raise TextError(f"{wanted}, but {problem}; {advice}")
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
