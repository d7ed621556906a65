"""A recipe that names the encoding of its texts, and a text that is a string."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import charkit
from charkit.training.result import TrainResult
from support import SMALL, SMALL_TEXT


@pytest.fixture(params=["latin-1", "cp1252", "utf-16"])
def recipe(request: pytest.FixtureRequest) -> Path:
    path = Path("encoded.toml")
    path.write_text(
        f'name = "encoded"\npurpose = "a text in another encoding"\n[data]\nencoding = "{request.param}"\n'
    )
    return path


def test_a_run_on_a_string_is_resumed_and_evaluated(recipe: Path) -> None:
    def train(run: str, max_steps: int) -> TrainResult:
        settings = {**SMALL, "recipe": recipe}
        return charkit.train(string=SMALL_TEXT, run=run, max_steps=max_steps, threads=1, **settings)

    result = train("r", 3)
    assert json.loads(Path("r/config.json").read_text())["config"]["data"]["encoding"] == "utf-8"
    resumed = charkit.train(resume=result.run, max_steps=6, threads=1)
    whole = train("whole", 6)
    assert resumed.loss == whole.loss
    assert charkit.load_run("r").evaluate().loss == charkit.load_run("whole").evaluate().loss
