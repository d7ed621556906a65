"""``charkit_comparison.compare`` as a notebook calls it."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.config import SECTION_OF, SECTIONS
from charkit.errors import BackendError, ConfigurationError, TextError
from charkit_comparison import ComparisonReport, compare, free_report_folder, request, write_report
from charkit_comparison.plan import Variant

SMALL: dict[str, Any] = {"lstm_size": 8, "batch_size": 4, "num_steps": 8}


def test_a_comparison_gives_its_report_and_leaves_nothing_behind(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "temporary"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    shares: list[float] = []
    report = compare(
        text_file,
        backends=["numpy"],
        precisions=("float32", "float64"),
        max_steps=6,
        rounds=2,
        threads=1,
        seed=5,
        progress=lambda _, share: shares.append(share),
        **SMALL,
    )
    assert isinstance(report, ComparisonReport)
    assert report.agree, report.verdict
    assert [one.label for one in report.variants] == ["numpy float32", "numpy float64"]
    assert (report.sample_seed, report.config.model.lstm_size, report.command) == (5, 8, "")
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    assert list(scratch.iterdir()) == []
    folder = free_report_folder(report)
    assert folder == Path("comparisons/small-1")
    write_report(report, str(folder))
    assert free_report_folder(report) == Path("comparisons/small-2")


def test_a_run_is_compared_from_where_it_is(text_file: Path) -> None:
    options = {**SMALL, "max_steps": 3, "sample_length": 0, "threads": 1}
    run = charkit.train(text_file, recipe="classic", run="runs/mine", **options).run
    report = compare(run, backends=["numpy"], max_steps=2, rounds=1, threads=1)
    assert (report.first_step, report.name) == (4, "mine")
    with pytest.raises(
        ConfigurationError, match=r"uses the run's own settings; given `model\.lstm_size`; leave it out"
    ):
        compare(run, lstm_size=16)


def test_the_precision_is_that_of_the_settings_or_the_run_unless_one_is_named(text_file: Path) -> None:
    options: dict[str, Any] = {"backends": ["numpy"], "rounds": 1, "threads": 1}
    double = {"training": {"precision": "float64"}}

    def compared(source: Path, **more: Any) -> tuple[str, list[str]]:
        report = compare(source, **options, **more)
        return report.config.training.precision, [one.precision for one in report.variants]

    assert compared(text_file, settings=double, max_steps=1, **SMALL) == ("float64", ["float64"])
    named = {"precisions": ["float32"], "max_steps": 1}
    assert compared(text_file, settings=double, **named, **SMALL) == ("float32", ["float32"])
    trained = {**SMALL, "max_steps": 1, "sample_length": 0, "threads": 1, "precision": "float64"}
    run = charkit.train(text_file, recipe="classic", run="runs/double", **trained).run
    assert compared(run, max_steps=1) == ("float64", ["float64"])
    assert compared(run, **named) == ("float32", ["float32"])


def test_the_report_has_the_length_that_was_trained_and_a_notice_the_schedules(text_file: Path) -> None:
    notices: list[str] = []
    settings = {"training": {"schedule": "cosine", "max_steps": 50}}
    options: dict[str, Any] = {"backends": ["numpy"], "rounds": 1, "threads": 1, "max_steps": 3}
    report = compare(text_file, settings=settings, on_notice=notices.append, **options, **SMALL)
    ends = "the cosine learning-rate schedule ends at step 50, but the comparison ends earlier, at step 3"
    assert notices == [ends]
    assert ends in report.notes
    training = report.config.training
    assert (training.schedule, training.max_steps, training.epochs) == ("cosine", 3, None)


def test_notices_come_before_the_work(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        request, "select_variants", lambda *_: ([Variant("numpy", "numpy")], ["torch left out"])
    )
    seen: list[str] = []
    compare(
        text_file,
        max_steps=1,
        rounds=5,
        threads=1,
        on_notice=seen.append,
        progress=lambda what, _: seen.append(what),
        **SMALL,
    )
    assert seen[:2] == ["torch left out", "numpy: starting"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_steps": 0}, "`max_steps` must be at least 1; given 0"),
        ({"backends": []}, "`backends` is empty; give one or more names, or leave `backends` out"),
        ({"precisions": ()}, "`precisions` is empty; give one or more names"),
        ({"backends": 5}, "`backends` must be a sequence of names; given 5"),
        ({"pythons": ["torch-old"]}, "`pythons` must be a mapping of names to interpreters"),
        ({"settings": [1]}, "`settings` must be a mapping of sections"),
        ({"rounds": 0}, "`rounds` must be at least 1; given 0"),
        ({"threads": 0}, "`threads` must be at least 1; given 0"),
        ({"max_steps": "10"}, "`max_steps` must be an integer; given '10'"),
        ({"max_steps": 2.5}, "`max_steps` must be an integer; given 2.5"),
        ({"rounds": None}, "`rounds` must be an integer; given None"),
        ({"threads": 1.5}, "`threads` must be an integer; given 1.5"),
        ({"bound": "0.1"}, "`bound` must be a number; given '0.1'"),
        ({"turn_limit": 600}, "`turn_limit` must be a string, such as '90s', '10m' or '2h'; given 600"),
        ({"examine": -1}, "`examine` must be at least 0; given -1"),
        ({"bound": 0.0}, "`bound` must be above 0; given 0.0"),
        ({"bound": float("inf")}, "`bound` must be a finite number above 0; given inf"),
        ({"bound": float("nan")}, "`bound` must be a finite number above 0; given nan"),
        ({"bound": 10**400}, "`bound` must be a finite number above 0; given 1000"),
        ({"bound": -(10**400)}, "`bound` must be a finite number above 0; given -1000"),
        (
            {"bound": 10**5000},
            "`bound` must be a finite number above 0; given a value of type int that is too",
        ),
        ({"turn_limit": "5"}, "`turn_limit` '5': a duration must be a number above 0 followed by a unit"),
        ({"backends": "numpy"}, "`backends` must be a sequence of names, such as ['numpy']; given 'numpy'"),
        ({"precisions": ["float16"]}, "unknown precision 'float16' (did you mean 'bfloat16'?)"),
        ({"pythons": {"torch": "/bin/python"}}, "`pythons` names a variant 'torch'"),
        (
            {"pythons": {"torch-old": "/no/such/python"}},
            "`pythons`: no program '/no/such/python' was found for torch-old",
        ),
        ({"lstm_size": 0}, "lstm_size"),
        (
            {"settings": {"model": {"lstm_sise": 8}}},
            "unknown key model.lstm_sise (did you mean 'lstm_size'?)",
        ),
    ],
)
def test_wrong_arguments_are_one_line(text_file: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        compare(text_file, **{"backends": ["numpy"], **SMALL, **arguments})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pattern_without_a_match_is_not_the_default_text() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^`source` is empty; give one or more paths, or leave `source` out"
    ):
        compare([])
    with pytest.raises(
        ConfigurationError, match=r"^`source` must be one or more paths; given 5; give the paths of"
    ):
        compare(5)  # type: ignore[arg-type]


def test_a_short_text_gets_a_batch_that_fits_unless_one_is_given(tmp_path: Path) -> None:
    text = tmp_path / "poem.txt"
    text.write_text("The cat sat on the mat, and the rat ran. " * 12, "utf-8")
    notices: list[str] = []
    report = compare(text, backends=["numpy"], max_steps=3, lstm_size=8, on_notice=notices.append)
    data = report.config.data
    assert data.batch_size * data.num_steps < 443
    batch = f"{data.batch_size} x {data.num_steps}"
    assert f"the text is too short for batches of 64 x 50, so the batches are {batch}" in notices
    with pytest.raises(TextError, match="too few for one batch"):
        compare(text, backends=["numpy"], max_steps=3, lstm_size=8, batch_size=64, num_steps=50)


def test_an_unknown_backend_is_refused(text_file: Path) -> None:
    with pytest.raises(BackendError, match="unknown backend 'numpi'"):
        compare(text_file, backends=["numpi"], **SMALL)


def test_every_setting_of_a_new_model_is_a_keyword() -> None:
    parameters = inspect.signature(compare).parameters
    sections = ("model", "optimizer", "data")
    fields = {
        key: SECTIONS[section].model_fields[key]
        for key, section in SECTION_OF.items()
        if section in sections and key != "text"
    }
    assert {*fields, "seed"} == {key for key in parameters if key in SECTION_OF} - {"max_steps"}
    for key, field in fields.items():
        assert parameters[key].default is None, key
        default = field.default[0] if key == "glob" else field.default  # one pattern, or several
        assert f"- ``{key}`` ({default!r}): {field.description}" in (inspect.getdoc(compare) or ""), key


def test_a_keyword_wins_over_the_settings(text_file: Path) -> None:
    settings = {"model": {"lstm_size": 16, "num_layers": 1}, "data": {"batch_size": 4, "num_steps": 8}}
    report = compare(
        text_file, backends=["numpy"], max_steps=1, rounds=1, threads=1, settings=settings, lstm_size=8
    )
    assert (report.config.model.lstm_size, report.config.model.num_layers) == (8, 1)
