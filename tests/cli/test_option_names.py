"""Options as users of other toolkits type them: accepted, or refused with what leads to the right one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import charkit
from charkit.config import SamplingConfig
from charkit.synonyms import ADVICE, SYNONYMS, suggestion
from charkit_cli.main import COMMANDS, OTHER_COMMANDS, _app
from charkit_cli.typer_classes import other_names
from cli_support import TINY, Toolkit


def parameters_of(command: str) -> list[Any]:
    return get_command(_app([command])).commands[command].params  # type: ignore[attr-defined, no-any-return]


def test_training_takes_the_names_of_other_toolkits(toolkit: Toolkit, text_file: Path) -> None:
    options = [option for option in TINY if option.partition("=")[0] not in {"--lstm-size", "--num-steps"}]
    toolkit.ok(
        "train", text_file, *options, "--hidden-size", "6", "--seq_length=9", "--lr", "0.01", "--max-iters", "3",
        "--output-dir", "here", "--max_grad_norm", "2", "--random-seed", "5",
    )  # fmt: skip
    run = charkit.load_run("here")
    assert (run.config.model.lstm_size, run.config.data.num_steps) == (6, 9)
    assert (run.config.optimizer.learning_rate, run.config.optimizer.grad_clip) == (0.01, 2)
    assert (run.config.training.seed, run.step) == (5, 3)


def test_sampling_takes_the_names_of_other_toolkits(toolkit: Toolkit, run: Path) -> None:
    ours = toolkit.json(
        "sample", run, "--prime", "The", "--length", "9", "--temperature", "0", "--count", "2"
    )
    theirs = toolkit.json(
        "sample", run, "--prompt", "The", "--max-new-tokens", "9", "--temp", "0", "--num_samples", "2"
    )
    assert theirs["samples"] == ours["samples"]


def test_a_flag_of_another_toolkit_takes_no_value(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "--out", run, "--force")
    assert charkit.load_run(run).step == 1


def test_a_repeated_option_is_repeated_under_its_other_name(
    toolkit: Toolkit, run: Path, text_file: Path
) -> None:
    copy = Path(shutil.copy(text_file, "copy.txt"))
    once = toolkit.json("evaluate", run, "--text", text_file)
    twice = toolkit.json("evaluate", run, "--input-file", text_file, "--text", copy)
    assert twice["symbols"] > 1.9 * once["symbols"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--steps", "5"), "use --max-steps for the length of training, and --num-steps for"),
        (("train", "--gpu"), "use --device cuda:0, with a backend that finds a GPU"),
        (("train", "--keep-prob", "0.5"), "use --dropout, which is 1 - keep_prob"),
        (("train", "--num-workers", "2"), "--workers sets the number of training processes"),
        (("train", "--data", "x.txt"), "unknown option --data; give it without an option, as in toolkit train TEXT"),
        (("train", "--hiden-size", "5"), "unknown option --hiden-size (did you mean '--lstm-size'?)"),
        (("train", "--learnin_rate", "5"), "unknown option --learnin-rate (did you mean '--learning-rate'?)"),
        (("train", "--hlp"), "unknown option --hlp (did you mean '--help'?)"),
        (("train", "--model", "lstm"), "the model is an LSTM with --lstm-size units in each of --num-layers"),
        (("sample", "-n", "5"), "use --length for the number of characters, and --count for the number of samples"),
        (("sample", "-p", "Anna"), "use --prime for the text to continue, and --top-p to limit the symbols"),
        (("sample", "--run", "r"), "unknown option --run; give it without an option, as in toolkit sample RUN"),
        (("sample", "-m", "r"), "unknown option -m; give it without an option, as in toolkit sample RUN"),
        (("sample", "-length", "5"), "unknown option -length (did you mean '--length'?)"),
        (("sample", "-temperature=5"), "unknown option -temperature (did you mean '--temperature'?)"),
        (("sample", "--lr", "5"), "unknown option --lr; see toolkit sample --help"),
        (("evaluate", "--model-path", "r"), "as in toolkit evaluate RUN"),
        (("import", "--input", "x"), "as in toolkit import FILE"),
        (("compare", "--text", "x"), "as in toolkit compare TEXT|RUN"),
        (("reproduce", "--recipe", "x"), "as in toolkit reproduce NAME"),
        (("train", "--set", "model.lr=1"), "unknown key model.lr (did you mean 'optimizer.learning_rate'?)"),
        (("train", "--set", "model.hidden_size=1"), "unknown key model.hidden_size (did you mean 'lstm_size'?)"),
    ],
)  # fmt: skip
def test_other_options_are_refused_with_what_leads_to_the_right_one(
    toolkit: Toolkit, arguments: tuple[str, ...], message: str
) -> None:
    assert message in toolkit.error(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generate", "--length", "5"), "unknown command 'generate' (did you mean 'toolkit sample'?)"),
        (("resume",), "did you mean 'toolkit train --resume RUN'?"),
        (("help", "train"), "did you mean 'toolkit --help'?"),
        (("ls",), "did you mean 'toolkit runs'?"),
        (("train", "--no-sample"), "use --sample-length 0"),
        (("train", "--wandb"), "use --track wandb"),
        (("train", "--quiet"), "progress goes to standard error, which 2>/dev/null discards"),
        (("sample", "-t", "1"), "use --temperature for the randomness of samples"),
    ],
)
def test_words_of_other_tools_lead_to_what_there_is(
    toolkit: Toolkit, arguments: tuple[str, ...], message: str
) -> None:
    assert message in toolkit.error(*arguments)


def test_no_command_is_a_word_for_another() -> None:
    assert not set(OTHER_COMMANDS) & set(COMMANDS)
    assert {meant.split()[1] for meant in OTHER_COMMANDS.values()} <= {*COMMANDS, "--help", "--version"}


def test_verbose_may_be_short(toolkit: Toolkit, text_file: Path) -> None:
    assert f"read: {text_file}" in toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "-v").err


def test_keywords_of_other_toolkits_in_python() -> None:
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument 'lr' \(did you mean 'learning_rate'\?\)"
    ):
        charkit.train("anna.txt", lr=0.1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'steps'; use `max_steps` for the length of training"):
        charkit.train("anna.txt", steps=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("optimizer.lr = 1", "unknown key optimizer.lr (did you mean 'learning_rate'?)"),
        ("model.block_size = 1", "unknown key model.block_size (did you mean 'data.num_steps'?)"),
        ("training.steps = 1", "unknown key training.steps; use --max-steps for the length of training"),
    ],
)
def test_keys_of_other_toolkits_in_a_toml_file(toolkit: Toolkit, line: str, message: str) -> None:
    Path("settings.toml").write_text(line)
    assert message in toolkit.error("train", "--config", "settings.toml")


def test_every_synonym_leads_to_a_parameter_that_a_command_has() -> None:
    fields = {parameter.name for command in COMMANDS for parameter in parameters_of(command)}
    assert {field for names in SYNONYMS.values() for field in names} <= fields
    assert not set(SYNONYMS) & set(ADVICE)
    assert not [other for other, fields in SYNONYMS.items() if other in fields]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_other_name_stands_for_two_options(command: str) -> None:
    parameters = parameters_of(command)
    typed = [name for names in other_names(parameters).values() for name in names]
    own = [name for parameter in parameters for name in parameter.opts]
    assert len(typed) == len(set(typed))
    assert not set(typed) & set(own)


def test_advice_is_given_only_where_one_of_its_parameters_is_known() -> None:
    assert suggestion("gpu", ["device"]).startswith("; use `device='cuda:0'`")
    assert suggestion("gpu", ["epochs"]) == ""
    assert suggestion("rnn_type", ["epochs"]) == "; the model is an LSTM"
    assert suggestion("prompt", SamplingConfig.model_fields) == " (did you mean 'prime'?)"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_both_help_options_show_the_help(toolkit: Toolkit, command: str, option: str) -> None:
    assert toolkit.ok(command, option).out.lstrip().startswith(f"Usage: toolkit {command}")


def test_a_command_may_be_typed_with_an_underscore(toolkit: Toolkit) -> None:
    assert toolkit.ok("new_backend", "-h").out == toolkit.ok("new-backend", "--help").out
