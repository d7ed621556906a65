"""Recipes as files: what may be in one, how one is found, and what a result says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.config import RunConfig
from charkit.errors import ConfigurationError
from charkit.recipe import RECIPES_FOLDER, RecipeResult, find_recipe, read_recipe
from charkit.settings import resolve

HEAD = 'name = "mine"\npurpose = "to test"\n'
TEXT = f'[text]\nname = "a"\nsha256 = "{"0" * 64}"\nsource = "here"\n'
RESULT = (
    '[[results]]\nsplit = "validation"\nseeds = [0, 1, 2]\nlosses = [1.5, 1.52, 1.51]\nseconds = 60\n'
    'machine = "two cores"\ncharkit = "0.1.0"\ndate = 2026-11-26\n'
)


def written(content: str) -> Path:
    path = Path("mine.toml")
    path.write_text(content, "utf-8")
    return path


def result(**changes: Any) -> RecipeResult:
    """A result of three seeds."""
    values = {
        "split": "test",
        "seeds": [0, 1, 2],
        "losses": [1.5, 1.52, 1.51],
        "seconds": 60,
        "machine": "two cores",
    }
    return RecipeResult.model_validate({**values, "charkit": "0.1.0", "date": "2026-11-26", **changes})


def test_charkits_own_go_by_the_names_of_their_files_and_are_whole() -> None:
    found = charkit.recipes()
    assert {recipe.name for recipe in found} == {path.stem for path in RECIPES_FOLDER.glob("*.toml")}
    assert [recipe.name for recipe in found][:2] == ["auto", "classic"]
    names = {"shakespeare-2-minutes", "shakespeare-30-minutes", "anna-20-epochs", "large"}
    assert names <= {recipe.name for recipe in found}
    for recipe in found:
        assert recipe.label == recipe.name
        assert resolve(recipe.settings, 84)
        assert recipe.rule or recipe.name != "auto"
        table = found._repr_html_()
        assert recipe.name in table
        assert recipe.purpose.replace("'", "&#x27;") in table


def test_classic_is_the_classic_charrnn_to_the_letter() -> None:
    assert find_recipe("classic").settings == {}
    assert find_recipe("classic").rule == {}
    assert resolve(find_recipe("classic").settings, 84) == RunConfig.model_validate(
        {"model": {"vocabulary_size": 84}}
    )


def test_a_recipe_in_a_file_goes_by_its_name_and_the_files() -> None:
    path = written(HEAD + 'backend = "torch"\n[model]\nlstm_size = 32\n[training]\nmax_steps = 5\n')
    for given in (path, "mine.toml", str(path.resolve())):
        recipe = find_recipe(given)
        assert recipe.label == "mine (mine.toml)"
        assert recipe.backend == "torch"
        assert recipe.settings == {"model": {"lstm_size": 32}, "training": {"max_steps": 5, "epochs": None}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "'mine.toml': name "),
        (HEAD + "nme = 3\n", "'mine.toml': nme "),
        (HEAD + 'file = "x"\n', "'mine.toml': unknown key 'file'"),
        (HEAD + "[model]\nlstm_sise = 3\n", "unknown key model.lstm_sise (did you mean 'lstm_size'?)"),
        (
            HEAD + "[model]\nlstm_size = 0\n",
            "'mine.toml': model.lstm_size must be at least 1; given 0",
        ),
        (HEAD + '[data]\ntext = ["a.txt"]\n', "a recipe applies to any text, so it can't set data.text"),
        (HEAD + "[training]\nseed = 3\n", "training.seed is chosen for each run"),
        (HEAD + "[training]\ntime_limit = 5\n", "90s, 10m or 2h"),
        (HEAD + RESULT, "results need the text that they were measured on"),
        (
            HEAD + TEXT + RESULT.replace("[0, 1, 2]", "[0, 1]"),
            "the number of losses (3) differs from the number of seeds (2)",
        ),
        (HEAD + TEXT + RESULT.replace("2026-11-26", "'yesterday'"), "year, month and day"),
        (HEAD + "[data]\nvalidation_share = 0\n" + TEXT + RESULT, "that split's share of the text is 0"),
        (HEAD + TEXT.replace("0" * 64, "abc"), "text.sha256"),
        ("name = ", "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_line(content: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(expected)) as caught:
        read_recipe(written(content))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("'mine.toml'")


def test_a_rule_leaves_no_room_for_what_it_decides() -> None:
    own = (RECIPES_FOLDER / "auto.toml").read_text("utf-8")
    assert read_recipe(written(own)).rule == find_recipe("auto").rule
    assert read_recipe(written(f"{own.partition('[[results]]')[0]}[data]\nshards = 128\n")).data == {
        "shards": 128
    }
    with pytest.raises(ConfigurationError, match=r"model\.lstm_size follows from the rule"):
        read_recipe(written(own.replace("[training]", "[model]\nlstm_size = 3\n[training]")))
    with_clip = own.replace("[optimizer]", "[optimizer]\ngrad_clip = 1.0")
    with pytest.raises(ConfigurationError, match=r"optimizer\.grad_clip follows from the rule"):
        read_recipe(written(with_clip))
    lines = with_clip.partition("[rule]")
    without = "".join(line for line in lines[2].splitlines(True) if not line.startswith("grad_clip"))
    assert read_recipe(written(f"{lines[0]}[rule]{without}")).optimizer["grad_clip"] == 1.0


def test_an_unknown_name_has_the_nearest_and_a_missing_file_is_told() -> None:
    with pytest.raises(
        ConfigurationError, match=r"unknown recipe 'clasic' \(did you mean 'classic'\?\); choose from"
    ):
        find_recipe("clasic")
    with pytest.raises(ConfigurationError, match=r"the recipe file 'absent\.toml' doesn't exist"):
        find_recipe("absent.toml")


def test_a_result_has_the_median_and_where_one_more_seed_lies() -> None:
    found = result()
    assert (found.loss, round(found.spread, 12)) == (1.51, 0.01)
    # Student's t for two degrees of freedom, 4.303: 1.51 +- 4.30 x 0.01 x sqrt(1 + 1/3)
    assert found.range == pytest.approx((1.51 - 0.0497, 1.51 + 0.0497), abs=2e-4)
    assert str(found) == "test 1.5100 ± 0.0100 nats (3 seeds)"


def test_one_seed_needs_a_spread_from_elsewhere() -> None:
    with pytest.raises(ValueError, match="one seed has no spread"):
        result(seeds=[0], losses=[1.5])
    single = result(seeds=[0], losses=[1.5], spread_nats=0.01)
    assert single.range == pytest.approx((1.5 - 0.0277, 1.5 + 0.0277), abs=2e-4)
    assert str(single) == "test 1.5000 nats (1 seed)"  # the spread is not that of these seeds
