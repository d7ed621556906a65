"""Options, TOML and ``--set`` that name or say what is not allowed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli_support import Toolkit


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--lstm-size", "0", "--lstm-size must be at least 1; given '0'"),
        ("--lstm-size", "70000", "--lstm-size must be at most 65536; given '70000'"),
        ("--lstm-size", "many", "--lstm-size must be an integer; given 'many'"),
        ("--lstm-size", "1.5", "--lstm-size must be an integer; given '1.5'"),
        ("--num-layers", "0", "--num-layers must be at least 1"),
        ("--dropout", "1", "--dropout must be below 1; given '1'"),
        ("--dropout", "-0.1", "--dropout must be at least 0"),
        ("--learning-rate", "0", "--learning-rate must be above 0"),
        ("--learning-rate", "nan", "--learning-rate must be a finite number"),
        ("--learning-rate", "1e3", "--learning-rate must be at most 100"),
        ("--beta1", "1", "--beta1 must be below 1"),
        ("--grad-clip", "-1", "--grad-clip must be at least 0"),
        ("--grad-clip", "inf", "--grad-clip must be a finite number"),
        ("--weight-decay", "-0.1", "--weight-decay must be at least 0"),
        ("--weight-decay", "101", "--weight-decay must be at most 100"),
        ("--batch-size", "0", "--batch-size must be at least 1"),
        ("--num-steps", "-3", "--num-steps must be at least 1"),
        ("--test-share", "1", "--test-share must be below 1"),
        ("--test-share", "0.95", "their sum must be below 1"),
        ("--vocabulary", "word", "--vocabulary must be 'char' or 'byte'; given 'word'"),
        ("--newlines", "crlf", "--newlines must be 'lf' or 'keep'"),
        ("--epochs", "0", "--epochs must be at least 1"),
        ("--max-steps", "0", "--max-steps must be at least 1"),
        (
            "--schedule",
            "slope",
            "--schedule must be 'constant', 'cosine', 'linear' or 'cooldown'; given 'slope'",
        ),
        (
            "--schedule",
            "cos",
            "--schedule must be 'constant', 'cosine', 'linear' or 'cooldown'; given 'cos' (did you mean 'cosine'?)",
        ),
        ("--cooldown-share", "0", "--cooldown-share must be above 0; given '0'"),
        (
            "--time-limit",
            "5x",
            "--time-limit: a duration must be a number above 0 followed by a unit, as in 90s",
        ),
        ("--time-limit", "0s", "--time-limit: a duration"),
        ("--time-limit", "-5m", "--time-limit: a duration"),
        ("--save-every", "0", "--save-every: a number of steps must be at least 1; given '0'"),
        ("--save-every", "often", "--save-every: give a number of steps, such as 500, or a duration"),
        ("--precision", "float16", "--precision must be 'float32', 'float64' or 'bfloat16'"),
        ("--seed", "-1", "--seed must be at least 0"),
        ("--glob", "", "--glob must not be empty; given ''"),
        ("--encoding", "", "--encoding must not be empty; given ''"),
        ("--threads", "0", "--threads must be at least 1; given 0"),
        ("--threads", "two", "--threads must be an integer; given 'two'; see toolkit"),
    ],
)
def test_option_out_of_range(
    toolkit: Toolkit, text_file: Path, option: str, value: str, expected: str
) -> None:
    assert expected in toolkit.error("train", text_file, option, value)


@pytest.mark.parametrize(
    "option",
    [
        "--epochs", "--max-steps", "--warmup-steps", "--eval-every", "--patience", "--log-every", "--save-every",
        "--time-limit", "--seed", "--threads", "--batch-size", "--num-steps", "--sample-length", "--lstm-size",
        "--num-layers",
    ],
)  # fmt: skip
def test_numbers_of_400_digits(toolkit: Toolkit, text_file: Path, option: str) -> None:
    number = "9" * 400 + ("h" if option == "--time-limit" else "")
    message = toolkit.error("train", text_file, option, number)
    assert option[2:].replace("-", "_") in message.replace("-", "_")
    assert "below" in message or "at most" in message


@pytest.mark.parametrize("option", ["--length", "--count", "--top-k", "--seed", "--threads"])
def test_numbers_of_400_digits_for_samples(toolkit: Toolkit, run: Path, option: str) -> None:
    message = toolkit.error("sample", run, option, "9" * 400)
    assert "below" in message or "at most" in message


def test_more_threads_than_make_sense(toolkit: Toolkit, text_file: Path, run: Path) -> None:
    most = max(64, 4 * (os.cpu_count() or 1))
    for command in (("train", text_file), ("sample", run), ("verify",), ("compare", text_file)):
        message = toolkit.error(*command, "--threads", "100000000")
        assert message.startswith(f"--threads must be at most {most}")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--length", "0", "--length must be at least 1; given '0'"),
        ("--count", "5000", "--count must be at most 4096"),
        ("--temperature", "-1", "--temperature must be at least 0"),
        ("--temperature", "hot", "--temperature must be a number; given 'hot'"),
        ("--top-k", "0", "--top-k must be at least 1"),
        ("--top-p", "0", "--top-p must be above 0"),
        ("--top-p", "1.1", "--top-p must be at most 1"),
        ("--stop", "", "--stop must not be empty; given ''"),
        ("--unknown", "drop", "--unknown must be 'error' or 'skip'; given 'drop'"),
        ("--seed", "x", "--seed must be an integer; given 'x'"),
        ("--checkpoint", "last", "'last' is not one of 'best', 'latest'"),
        ("--precision", "half", "'half' is not one of 'float32', 'float64', 'bfloat16'"),
    ],
)
def test_sampling_option_out_of_range(
    toolkit: Toolkit, run: Path, option: str, value: str, expected: str
) -> None:
    assert expected in toolkit.error("sample", run, option, value)


def test_unknown_split(toolkit: Toolkit, run: Path) -> None:
    message = toolkit.error("evaluate", run, "--split", "valid")
    assert "'valid' is not one of 'train', 'validation', 'test', 'all'" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["train", "--lstm-sise", "8"],
            "unknown option --lstm-sise (did you mean '--lstm-size'?); see toolkit train --help",
        ),
        (["sample", "--temprature=1"], "unknown option --temprature (did you mean '--temperature'?)"),
        (["--colour"], "unknown option --colour; see toolkit --help"),
        (["-v"], "unknown option -v (did you mean '--version'?); see toolkit --help"),
        (
            ["trian"],
            "unknown command 'trian' (did you mean 'train'?); the commands are train, prepare, evaluate",
        ),
        (["frobnicate"], "unknown command 'frobnicate'; the commands are train, prepare, evaluate"),
        (["train", "--epochs"], "option '--epochs' requires an argument"),
        (["sample", "one", "two"], "unexpected extra argument"),
    ],
)
def test_words_that_are_not_known_name_the_nearest(
    toolkit: Toolkit, arguments: list[str], expected: str
) -> None:
    assert expected in toolkit.error(*arguments)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        (
            "model.lstm_sise=8",
            "unknown key model.lstm_sise (did you mean 'lstm_size'?); the keys of model are lstm_size,",
        ),
        (
            "modle.lstm_size=8",
            "unknown section 'modle' (did you mean 'model'?); the sections are model, optimizer",
        ),
        ("model.vocabulary_size=8", "model.vocabulary_size comes from the text and can't be set"),
        (
            "lstm_size=8",
            "'lstm_size=8' is not of the form section.key=value, as in optimizer.learning_rate=0.002",
        ),
        ("model.lstm_size", "is not of the form section.key=value"),
        ("model.lstm_size=big", "model.lstm_size must be an integer; given 'big'"),
        ("model.lstm_size=[1]", "model.lstm_size must be an integer; given [1]"),
        ("training.time_limit=soon", "training.time_limit: a duration"),
        ("data.encoding=", "data.encoding must not be empty; given ''"),
        ("data.glob=[]", "data.glob: give at least one pattern; given []"),
    ],
)
def test_bad_assignment(toolkit: Toolkit, text_file: Path, assignment: str, expected: str) -> None:
    assert expected in toolkit.error("train", text_file, "--set", assignment)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[model\n", "'c.toml' is not valid TOML: "),
        ("[model]\nlstm_sise = 8", "'c.toml': unknown key model.lstm_sise (did you mean 'lstm_size'?)"),
        ("[modle]\nlstm_size = 8", "'c.toml': unknown section 'modle' (did you mean 'model'?)"),
        ("lstm_size = 8", "'c.toml': 'lstm_size' is outside any section; put it under one of model"),
        ("[model]\nlstm_size = true", "model.lstm_size"),
        ("[model]\nlstm_size = 0", "model.lstm_size must be at least 1; given 0"),
        (
            "[training]\nepochs = 'a'\nseed = -1",
            "training.epochs must be an integer; given 'a' (and 1 more problem)",
        ),
    ],
)
def test_bad_toml(toolkit: Toolkit, text_file: Path, content: str, expected: str) -> None:
    Path("c.toml").write_text(content)
    assert expected in toolkit.error("train", text_file, "--config", "c.toml")


def test_toml_with_a_text_that_is_none(toolkit: Toolkit) -> None:
    Path("c.toml").write_text("[data]\ntext = 5\n")
    assert "data.text must be" in toolkit.error("train", "--config", "c.toml")


def test_toml_that_can_not_be_read(toolkit: Toolkit, text_file: Path) -> None:
    missing = toolkit.error("train", text_file, "--config", "absent.toml")
    assert missing == "the configuration file 'absent.toml' doesn't exist; give the path of a TOML file"
    Path("folder.toml").mkdir()
    assert "the configuration file 'folder.toml' is not a regular file" in toolkit.error(
        "train", text_file, "--config", "folder.toml"
    )
    Path("latin.toml").write_bytes(b"# \xff")
    assert "'latin.toml'" in toolkit.error("train", text_file, "--config", "latin.toml")


def test_options_that_do_not_go_together(toolkit: Toolkit, text_file: Path, run: Path) -> None:
    assert "--init-from RUN" in toolkit.error("train", text_file, "--extend-vocabulary")
    assert "give --run DIR too" in toolkit.error("train", text_file, "--overwrite")
    for others in (("--run", "new"), ("--init-from", str(run)), ("--overwrite",), ("--extend-vocabulary",)):
        assert "--resume continues an existing run" in toolkit.error("train", "--resume", run, *others)
    Path("prime.txt").write_text("The")
    both = toolkit.error("sample", run, "--prime", "The", "--prime-file", "prime.txt")
    assert both == "give --prime or --prime-file, not both"


def test_more_memory_than_there_is(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from charkit.training import new

    def refuse(*_arguments: object) -> None:
        raise MemoryError("Unable to allocate 128. GiB")

    monkeypatch.setattr(new, "initial_weights", refuse)
    message = toolkit.error("train", text_file, "--lstm-size", "60000", "--batch-size", "2")
    assert message.startswith("not enough memory (Unable to allocate 128. GiB); try a smaller --lstm-size")
