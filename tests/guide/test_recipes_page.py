"""The recipe that ``docs/recipes.md`` writes is one, and its result can be compared with."""

from __future__ import annotations

from pathlib import Path

from charkit.recipe import read_recipe
from guide.pages import blocks, read


def test_the_example_is_a_recipe_with_and_without_results() -> None:
    recipe, results = blocks(read("recipes"), "toml")
    path = Path("mine.toml")
    path.write_text(recipe, "utf-8")
    assert (read_recipe(path).label, read_recipe(path).backend) == ("mine (mine.toml)", "torch")
    path.write_text(recipe + results, "utf-8")
    (result,) = read_recipe(path).results
    assert result.range[0] < min(result.losses) < max(result.losses) < result.range[1]
