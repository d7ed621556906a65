"""``toolkit recipes``, ``toolkit reproduce``, and ``toolkit train --recipe``."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.recipe import RECIPES_FOLDER, read_recipe
from charkit_cli.progress import PlainProgress
from cli_support import Toolkit, lines_of
from recipe_support import SETTINGS, write_measured
from support import SMALL_TEXT


@pytest.fixture
def measured_loss(text_file: Path) -> float:
    """What the recipe comes to with the seed 0."""
    Path("mine.toml").write_text(SETTINGS)
    run = charkit.train(text_file, recipe="mine.toml", threads=1, run="measured")
    return run.load().evaluate().loss


def test_the_table_has_every_recipe_at_80_columns(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    said = toolkit.ok("recipes").out
    monkeypatch.setattr("charkit_cli.terminal_output.WIDE_COLUMNS", 80)
    narrow = toolkit.ok("recipes").out
    assert max(map(len, narrow.splitlines())) <= 80
    for recipe in charkit.recipes():
        assert recipe.name in narrow
        assert recipe.purpose in said
        if not recipe.results:
            assert "not measured" in said
        for result in recipe.results:
            assert f"{result}, " in said
            assert result.machine in said
    assert "2 x 512, dropout 0.4, batches of " in said


def test_lines_of_the_table_in_a_pipe_end_with_their_text(toolkit: Toolkit) -> None:
    lines = toolkit.ok("recipes").out.splitlines()
    assert lines
    assert all(line == line.rstrip() for line in lines)


def test_what_was_measured_is_shown_with_machine_and_spread(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_measured(text_file, [2.5, 2.6, 2.7])
    monkeypatch.setattr("charkit.recipe_listing.built_in_recipes", lambda: (read_recipe(Path("mine.toml")),))
    said = toolkit.ok("recipes").out
    assert (
        "validation 2.6000 ± 0.1000 nats (3 seeds), a small text, 2 s on two cores, charkit 0.1.0, 2026-11-26"
        in said
    )
    assert "2.6000 ± 0.1000" in charkit.recipes()._repr_html_()
    (answer,) = toolkit.json("recipes")["recipes"]
    assert answer["results"] == [
        {
            "split": "validation",
            "seeds": [0, 1, 2],
            "losses": [2.5, 2.6, 2.7],
            "spread_nats": pytest.approx(0.1),
            "seconds": 1.5,
            "machine": "two cores",
            "charkit": "0.1.0",
            "date": "2026-11-26",
            "loss": 2.6,
        }
    ]


def test_json_has_what_the_files_have(toolkit: Toolkit) -> None:
    answers = {answer["name"]: answer for answer in toolkit.json("recipes")["recipes"]}
    assert set(answers) == {path.stem for path in RECIPES_FOLDER.glob("*.toml")}
    assert list(answers["auto"]) == ["name", "purpose", "backend", "text", "settings", "by_rule", "results"]
    assert (answers["auto"]["by_rule"], answers["classic"]["by_rule"]) == (True, False)
    assert answers["classic"]["settings"] == {}
    assert answers["anna-20-epochs"]["text"]["name"] == "Anna Karenina"


def test_a_recipe_is_under_config_set_and_options(toolkit: Toolkit, text_file: Path) -> None:
    Path("mine.toml").write_text(SETTINGS)
    Path("c.toml").write_text("[model]\nlstm_size = 9\nnum_layers = 1\n[data]\nnum_steps = 7\n")
    outcome = toolkit.ok("train", text_file, "--recipe", "mine.toml", "--config", "c.toml", "--threads", "1",
                         "--set", "data.num_steps=6", "--num-layers", "3", "--run", "r")  # fmt: skip
    config: dict[str, Any] = json.loads(Path("r/config.json").read_text())["config"]
    assert (config["model"]["lstm_size"], config["model"]["num_layers"]) == (9, 3)
    assert (config["data"]["batch_size"], config["data"]["num_steps"]) == (4, 6)
    assert config["optimizer"]["learning_rate"] == 0.02
    assert config["recipe"] == "mine (mine.toml)"
    assert (
        "note: recipe mine (mine.toml): 3 x 9, dropout 0, batches of 4 x 6, learning rate 0.02 (constant), 6 steps\n"
        in (outcome.err)
    )


def test_help_tells_the_defaults_of_classic_from_those_of_all(toolkit: Toolkit) -> None:
    said = " ".join(toolkit.ok("train", "--help").out.replace("│", " ").split())
    for shown in (
        "[classic: 128]",
        "[classic: 0.001]",
        "[classic: constant]",
        "[default: auto]",
        "[default: float32]",
    ):
        assert shown in said
    assert "[classic" not in toolkit.ok("compare", "--help").out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("train", "--recipe", "clasic"),
            "unknown recipe 'clasic' (did you mean 'classic'?); choose from auto, classic,",
        ),
        (
            ("train", "--recipe", "no.toml"),
            "the recipe file 'no.toml' doesn't exist; give the path of a TOML file",
        ),
        (
            ("train", "--recipe", "auto", "--resume", "r"),
            "leave --recipe out, and give only the settings that change",
        ),
        (("reproduce", "larg"), "unknown recipe 'larg' (did you mean 'large'?)"),
        (("reproduce", "large"), "the recipe 'large' has no measured results to compare with; "),
        (("reproduce",), "missing argument 'NAME|FILE'"),
    ],
)
def test_what_can_not_be_is_told_in_one_line(
    toolkit: Toolkit, arguments: tuple[str, ...], expected: str
) -> None:
    assert expected in toolkit.error(*arguments)


def test_a_reproduced_result_is_within_the_spread(
    toolkit: Toolkit, text_file: Path, measured_loss: float
) -> None:
    write_measured(text_file, [measured_loss, measured_loss + 0.01, measured_loss - 0.01])
    outcome = toolkit.ok("reproduce", "mine.toml", text_file, "--threads", "1", "--run", "r")
    assert outcome.out.endswith(
        "mine (mine.toml) with seed 0, r\nreproduced: within the range expected from the measured results\n"
    )
    assert f" {measured_loss:.4f} " in outcome.out
    assert lines_of(Path("r/metrics.jsonl"))[-1]["step"] == 6
    answer = toolkit.json("reproduce", "mine.toml", text_file, "--threads", "1", "--seed", "3")
    assert (answer["recipe"], answer["seed"], answer["stopped_because"]) == (
        "mine (mine.toml)",
        3,
        "max_steps",
    )
    (result,) = answer["results"]
    assert result["split"] == "validation"
    assert result["loss"] != measured_loss
    assert (
        result["within"] is (result["lowest"] <= result["loss"] <= result["highest"]) is answer["reproduced"]
    )
    assert json.loads(Path(answer["run"], "config.json").read_text())["config"]["training"]["seed"] == 3


def test_a_result_outside_of_the_spread_ends_with_status_1(
    toolkit: Toolkit, text_file: Path, measured_loss: float
) -> None:
    write_measured(text_file, [measured_loss - 0.5, measured_loss - 0.501, measured_loss - 0.502])
    outcome = toolkit("reproduce", "mine.toml", text_file, "--threads", "1")
    assert outcome.status == 1
    assert outcome.out.endswith("not reproduced: outside the range expected from the measured results\n")
    found = charkit.reproduce("mine.toml", text_file, threads=1)
    assert not found.reproduced
    assert found.results[0].loss == measured_loss
    assert f"{measured_loss:.4f}" in found._repr_html_()


def test_another_text_is_refused_and_told_where_to_get_the_right_one(
    toolkit: Toolkit, text_file: Path
) -> None:
    write_measured(text_file, [2.5, 2.6])
    Path("other.txt").write_text(SMALL_TEXT + "more")
    common = "the results of the recipe 'mine (mine.toml)' were measured on a small text"
    advice = "use that text: made by the tests"
    message = toolkit.error("reproduce", "mine.toml", "other.txt")
    assert message.startswith(f"{common} with the SHA-256 ")
    assert message.endswith(advice)
    without_text = "but no TEXT was given, and the default text is a different one"
    assert toolkit.error("reproduce", "mine.toml") == f"{common}, {without_text}; {advice}"
    assert toolkit.error("reproduce", "mine.toml", "absent.txt") == (
        f"{common}, but there is no file 'absent.txt'; {advice}"
    )
    assert toolkit.error("reproduce", "mine.toml", ".") == f"{common}, but '.' is not a file; {advice}"


def test_an_interrupted_reproduction_has_no_verdict_and_can_be_resumed(
    toolkit: Toolkit, text_file: Path, measured_loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_measured(text_file, [measured_loss, measured_loss + 0.01])
    plain = PlainProgress.__call__

    def interrupt(progress: PlainProgress, event: charkit.events.Event) -> None:
        plain(progress, event)
        if isinstance(event, charkit.events.Advanced) and event.step == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(PlainProgress, "__call__", interrupt)
        outcome = toolkit("reproduce", "mine.toml", text_file, "--threads", "1", "--run", "r", "--json")
    assert outcome.status == 130
    with monkeypatch.context() as patched:
        patched.setattr(PlainProgress, "__call__", interrupt)
        Path("own.toml").write_text('backend = "numpy"\n' + Path("mine.toml").read_text())
        said = toolkit("reproduce", "own.toml", text_file, "--threads", "1", "--run", "own").out
    assert "to finish it: toolkit reproduce own.toml --resume own --threads 1\n" in said
    message = toolkit.error("reproduce", "mine.toml", text_file, "--run", "own")
    assert message == "'own' already exists; continue it with --resume, or choose another --run"
    with pytest.raises(charkit.TextError, match=r"`text` must be the path of a text; given b'x'"):
        charkit.reproduce("mine.toml", b"x")  # type: ignore[arg-type]
    answer = json.loads(outcome.out)
    assert (answer["stopped_because"], answer["reproduced"], answer["results"]) == ("interrupted", None, [])
    resumed, finished = (
        toolkit.json("reproduce", "mine.toml", "--resume", "r", "--threads", "1") for _ in range(2)
    )
    assert (resumed["stopped_because"], finished["stopped_because"]) == ("max_steps", None)
    for answer in (resumed, finished):
        assert (answer["reproduced"], answer["seed"], answer["run"]) == (True, 0, "r")
        assert [result["loss"] for result in answer["results"]] == [measured_loss]


def test_a_reproduction_with_a_time_limit_resumes_within_it(
    toolkit: Toolkit, text_file: Path, measured_loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_measured(text_file, [measured_loss, measured_loss + 0.01])
    by_steps = Path("mine.toml").read_text()
    cosine = by_steps.replace(
        "max_steps = 6\n", 'epochs = 1_000_000\ntime_limit = "3s"\nschedule = "cosine"\n'
    )
    Path("mine.toml").write_text(cosine)
    toolkit.ok("train", text_file, "--recipe", "mine.toml", "--threads", "1", "--stop-at", "3", "--run", "r")

    def resumed_anew(run: str) -> Any:
        return json.loads(toolkit("reproduce", "mine.toml", "--resume", run, "--threads", "1", "--json").out)

    resumed, finished = resumed_anew("r"), resumed_anew("r")
    assert (resumed["stopped_because"], finished["stopped_because"]) == ("time_limit", None)
    assert resumed["results"] == finished["results"]
    assert lines_of(Path("r/metrics.jsonl"))[-1]["step"] > 3
    Path("mine.toml").write_text(cosine.replace("cosine", "constant"))
    toolkit.ok("train", text_file, "--recipe", "mine.toml", "--threads", "1", "--stop-at", "3", "--run", "c")
    assert resumed_anew("c")["stopped_because"] == "time_limit"
    monkeypatch.setattr("charkit.reproduction._LAST_VALIDATION_SECONDS", -3.0)
    expected = (
        "s, but the time limit of the recipe 'mine (mine.toml)' is 3s; leave out --resume to train a new run"
    )
    assert expected in toolkit.error("reproduce", "mine.toml", "--resume", "c")


def test_runs_that_are_none_of_the_recipe_are_not_compared(
    toolkit: Toolkit, text_file: Path, measured_loss: float
) -> None:
    write_measured(text_file, [measured_loss, measured_loss + 0.01])
    other = Path("other.txt")
    other.write_text(text_file.read_text() + "!")
    common = ("--recipe", "mine.toml", "--threads", "1")
    toolkit.ok("train", text_file, *common, "--learning-rate", "0.03", "--run", "faster")
    toolkit.ok("train", text_file, *common, "--batch-size", "2", "--run", "smaller")
    toolkit.ok("train", other, *common, "--run", "other")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for run, expected in {
        "faster": "its learning_rate is 0.03 instead of 0.02",
        "smaller": "its batch_size is 2 instead of 4",
        "other": "because they were measured on a small text and the run was trained on a different text",
        "absent": "'absent' is not a charkit run",
    }.items():
        assert expected in toolkit.error("reproduce", "mine.toml", "--resume", run)
    message = toolkit.error("reproduce", "mine.toml", "--resume", "faster", "--seed", "0")
    assert message == "--resume continues a run with its own seed and name; leave --seed out"
    assert before == {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_a_url_reaches_reproduce_as_it_was_given(toolkit: Toolkit) -> None:
    message = toolkit.error("reproduce", "shakespeare-2-minutes", "gopher://example.org/a.txt")
    assert "'gopher://example.org/a.txt' has the scheme 'gopher', which charkit does not support" in message
