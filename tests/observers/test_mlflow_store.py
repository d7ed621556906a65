"""The place of MLflow's store is noted so that a session in another folder finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from charkit_trackers.mlflow_store import absolute_uri, new_note, noted_run, why_new


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("sqlite:///stores/../mlflow.db?timeout=5", "sqlite:///{here}/mlflow.db?timeout=5"),
        ("mlruns", "file://{here}/mlruns"),
        ("file:mlruns", "file://{here}/mlruns"),
        ("file:./ml%20runs", "file://{here}/ml%20runs"),
    ],
)
def test_a_relative_store_becomes_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri(uri) == expected.format(here=tmp_path.resolve().as_posix())


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////stores/mlflow.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:mlflow.db?mode=ro&uri=true",
        "file:///stores/mlruns",
        "https://user:password@mlflow.example",
        "postgresql://mlflow.example/tracking",
        "databricks",
        "databricks://profile",
    ],
)
def test_any_other_store_stays_as_it_is(uri: str) -> None:
    assert absolute_uri(uri) == uri


HERE, THERE, SERVER = "sqlite:////here/mlflow.db", "file:///there/mlruns", "https://mlflow.example"


def test_a_run_is_found_again_in_each_store() -> None:
    note = new_note({}, "1", HERE)
    assert note == {"run_id": "1", "tracking_uri": HERE}
    note = new_note(note, "2", THERE)
    assert (noted_run(note, HERE), noted_run(note, THERE)) == ("1", "2")
    note = new_note(note, "3", SERVER)
    assert note == {"run_id": "3", HERE: "1", THERE: "2"}  # the address of a server may hold a password
    assert [noted_run(note, store) for store in (HERE, THERE, SERVER)] == ["1", "2", "3"]
    assert new_note(note, "4", THERE) == {"run_id": "4", "tracking_uri": THERE, HERE: "1"}
    assert noted_run({}, HERE) is None


def test_a_new_run_says_where_the_earlier_one_is() -> None:
    expected = f"is in '{THERE}', which is not the store in use, so a new run was started; to continue the old run, set"
    assert expected in why_new({"run_id": "1", "tracking_uri": THERE}, HERE)
    for noted in (HERE, SERVER):
        assert "was not found, so a new one was started" in why_new(
            {"run_id": "1", "tracking_uri": noted}, HERE
        )
