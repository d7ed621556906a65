"""R8: any configuration, recipe, option or ``--set`` is refused with one line, or is a valid configuration of a run."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from charkit import durations
from charkit.config import SECTIONS, RunConfig
from charkit.errors import CharkitError, ConfigurationError
from charkit.recipe import find_recipe, read_recipe
from charkit.settings import merge, parse_assignment, read_toml, resolve
from charkit.training.recipe_settings import check_settings, configure
from cli_support import Toolkit, only_error
from faults.drawn_settings import (
    Assignment,
    assignments,
    command_lines,
    recipe_files,
    settings,
    toml_files,
)
from faults.exploring import explore
from faults.rounds import Rounds

LONGEST_MESSAGE = 2_000


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # as the program's own are
    return Toolkit(capsys)


def check_one_line(message: str) -> None:
    """The message is a line that a terminal can show."""
    assert message
    assert "\n" not in message
    assert len(message) < LONGEST_MESSAGE


def check_round_trip(resolved: RunConfig) -> None:
    """What a run's config.json has of the configuration is read as the same."""
    written = json.dumps(resolved.model_dump(mode="json"), allow_nan=False)
    assert RunConfig.model_validate(json.loads(written)) == resolved


def check_settings_are_taken_or_refused(given: dict[str, Any]) -> None:
    try:
        resolved = resolve(given, vocabulary_size=84)
    except ConfigurationError as error:
        check_one_line(str(error))
        return
    check_round_trip(resolved)
    for recipe in ("auto", "classic"):
        try:
            check_settings(find_recipe(recipe), given)
            configured, lines = configure(find_recipe(recipe), given, 50_000, 84)
        except ConfigurationError as error:
            check_one_line(str(error))
            continue
        check_round_trip(configured)
        for line in lines:
            check_one_line(line)


def test_settings_of_any_kind(rounds: Rounds, seed: int) -> None:
    explore(check_settings_are_taken_or_refused, settings(), count=rounds(short=500, long=20_000), seed=seed)


def test_assignments_of_any_kind(rounds: Rounds, seed: int) -> None:
    def check(given: tuple[Assignment, ...]) -> None:
        try:
            read = merge(*(parse_assignment(one.written) for one in given))
        except ConfigurationError as error:
            check_one_line(str(error))
            return
        check_settings_are_taken_or_refused(read)

    explore(check, assignments(), count=rounds(short=500, long=20_000), seed=seed)


def test_toml_files_of_any_kind(tmp_path: Path, rounds: Rounds, seed: int) -> None:
    path = tmp_path / "settings.toml"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read = read_toml(path)
        except ConfigurationError as error:
            check_one_line(str(error))
            return
        check_settings_are_taken_or_refused(read)

    explore(check, toml_files(), count=rounds(short=500, long=20_000), seed=seed)


def test_recipes_of_any_kind(tmp_path: Path, rounds: Rounds, seed: int) -> None:
    path = tmp_path / "recipe.toml"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            recipe = read_recipe(path)
            configured, _ = configure(recipe, {}, 50_000, 84)
        except ConfigurationError as error:
            check_one_line(str(error))
            return
        check_round_trip(configured)

    explore(check, recipe_files(), count=rounds(short=500, long=20_000), seed=seed)


def test_options_of_any_kind(toolkit: Toolkit, rounds: Rounds, seed: int) -> None:
    """The text is missing, so that options that are valid are refused too, after all of them were read."""

    def check(arguments: Iterable[str]) -> None:
        shutil.rmtree("run", ignore_errors=True)
        outcome = toolkit("train", "absent.txt", "--run=run", *arguments)
        assert outcome.status == 2, outcome
        assert only_error(outcome.err)
        assert outcome.out == ""
        assert not Path("run").exists()

    explore(check, command_lines(), count=rounds(short=500, long=20_000), seed=seed)


def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A reader of durations that lets through what is none."""

    def careless(text: str) -> float:
        return float(text[:-1]) * durations.UNITS_SECONDS[text[-1]]

    monkeypatch.setattr(durations, "duration_seconds", careless)
    with pytest.raises(LookupError):
        explore(check_settings_are_taken_or_refused, settings(), count=2_000, seed=seed)


def test_every_setting_is_drawn(seed: int) -> None:
    """What the harness draws has values beside the schema and in it for each key."""
    taken: set[tuple[str, str]] = set()
    refused: set[tuple[str, str]] = set()

    def note(given: dict[str, Any]) -> None:
        for section, values in given.items():
            for key, value in values.items() if isinstance(values, dict) else ():
                if (section, key) in taken & refused:
                    continue
                try:
                    resolve({section: {key: value}}, vocabulary_size=84)
                except (CharkitError, AttributeError):
                    refused.add((section, key))
                else:
                    taken.add((section, key))

    known = {(section, key) for section, schema in SECTIONS.items() for key in schema.model_fields}
    known -= {("model", "vocabulary_size")}
    for part in range(10):  # what is drawn depends on the release of hypothesis: a rare value may come late
        explore(note, settings(), count=600, seed=seed + part)
        if known <= taken & refused:
            break
    assert known <= taken
    assert known <= refused
