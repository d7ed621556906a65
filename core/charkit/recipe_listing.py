"""The recipes that come with charkit as a table: what each is for, what it sets, and what was measured of it."""

from __future__ import annotations

from charkit.config import OptimizerConfig, RunConfig
from charkit.html_tables import TEXTS, table_of_rows
from charkit.recipe import Recipe, RecipeResult, built_in_recipes
from charkit.settings import resolve

NOT_MEASURED = "not measured"
_COLUMNS = ("name", "purpose", "settings", "measured")


class Recipes(tuple[Recipe, ...]):
    """Recipes; a notebook shows them as a table."""

    __slots__ = ()

    def as_json(self) -> list[dict[str, object]]:
        """The recipes as ``toolkit recipes --json`` prints them, with the median and the spread of each result."""
        return [
            {
                **recipe.model_dump(mode="json", include={"name", "purpose", "backend", "text"}),
                "settings": recipe.settings,
                "by_rule": bool(recipe.rule),
                "results": [
                    {**result.model_dump(mode="json"), "loss": result.loss, "spread_nats": result.spread}
                    for result in recipe.results
                ],
            }
            for recipe in self
        ]

    def _repr_html_(self) -> str:
        rows = [
            (recipe.name, recipe.purpose, settings_in_short(recipe), "; ".join(measured(recipe)))
            for recipe in self
        ]
        return table_of_rows(_COLUMNS, rows, style=TEXTS)


def recipes() -> Recipes:
    """Returns the recipes that come with charkit; use one with ``charkit.train(text, recipe=NAME)``.

        for recipe in charkit.recipes():
            print(recipe.name, recipe.settings, recipe.results)

    Each has its measured results: losses in nats per symbol, by seed. Raises ConfigurationError if one of their files
    was changed and is no longer a valid recipe.
    """
    return Recipes(built_in_recipes())


def settings_in_short(recipe: Recipe) -> str:
    """The settings that matter most; those of a rule follow from the text."""
    if recipe.rule:
        return "derived from the length of the text, its vocabulary and the time limit"
    return describe_settings(resolve(recipe.settings, vocabulary_size=2), recipe.backend)


def describe_settings(config: RunConfig, backend: str | None = None) -> str:
    """A configuration in short: shape, batch, learning rate and length."""
    model, data, training = config.model, config.data, config.training
    parts = [
        f"{model.num_layers} x {model.lstm_size}",
        f"dropout {model.dropout:g}",
        f"batches of {data.batch_size:,} x {data.num_steps:,}",
        f"learning rate {config.optimizer.learning_rate:g} ({training.schedule})",
    ]
    if config.optimizer.grad_clip != OptimizerConfig().grad_clip:
        parts.append(
            f"gradients clipped at {config.optimizer.grad_clip:g}"
            if config.optimizer.grad_clip
            else "no clipping"
        )
    if training.epochs is not None:
        parts.append(f"{training.epochs:,} epoch{'s' if training.epochs > 1 else ''}")
    if training.max_steps is not None:
        parts.append(f"{training.max_steps:,} step{'s' if training.max_steps > 1 else ''}")
    if training.time_limit is not None:
        parts.append(f"at most {training.time_limit}")
    if training.precision != "float32":
        parts.append(training.precision)
    return ", ".join(parts if backend is None else [*parts, f"on {backend}"])


def measured(recipe: Recipe) -> list[str]:
    """A line for each result; one that says so where nothing was measured."""
    text = recipe.text.name if recipe.text else ""
    return [_in_words(result, text) for result in recipe.results] or [NOT_MEASURED]


def _in_words(result: RecipeResult, text: str) -> str:
    return f"{result}, {text}, {result.seconds:,.0f} s on {result.machine}, charkit {result.charkit}, {result.date}"
