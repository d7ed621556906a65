"""Options as users of other toolkits type them: accepted, or refused with what leads to the right one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import charkit
from charkit.config import SamplingConfig
from charkit.synonyms import ADVICE, AMBIGUOUS, SYNONYMS, suggestion
from charkit.training.samples import TEMPERATURE
from charkit_cli.main import COMMANDS, _app
from charkit_cli.typer_classes import other_names
from charkit_cli.usage_errors import NO_COMMANDS, OTHER_COMMANDS
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
    ended = toolkit.json("sample", run, "--length", "50", "--seed", "1", "--until", "e")
    assert ended["samples"][0].endswith("e")
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
        (("train", "--gpu"), "use --device cuda:0, with a backend that can use a GPU"),
        (("train", "--keep-prob", "0.5"), "use --dropout, which is 1 - keep_prob"),
        (("train", "--num-workers", "2"), "--workers sets the number of training processes"),
        (
            ("train", "--data", "x.txt"),
            "unknown option --data; give the value without an option, as in toolkit train TEXT",
        ),
        (("train", "--hiden-size", "5"), "unknown option --hiden-size (did you mean '--lstm-size'?)"),
        (("train", "--learnin_rate", "5"), "unknown option --learnin-rate (did you mean '--learning-rate'?)"),
        (("train", "--hlp"), "unknown option --hlp (did you mean '--help'?)"),
        (("train", "--model", "lstm"), "the model is an LSTM with --lstm-size units in each of --num-layers"),
        (("sample", "-n", "5"), "use --length for the number of characters, and --count for the number of samples"),
        (("sample", "-p", "Anna"), "use --prime for the text to continue, and --top-p to limit the symbols"),
        (("sample", "--run", "r"), "unknown option --run; give the value without an option, as in toolkit sample RUN"),
        (("sample", "-m", "r"), "unknown option -m; give the value without an option, as in toolkit sample RUN"),
        (("sample", "-length", "5"), "unknown option -length (did you mean '--length'?)"),
        (("sample", "-temperature=5"), "unknown option -temperature (did you mean '--temperature'?)"),
        (("sample", "--lr", "5"), "unknown option --lr; see toolkit sample --help"),
        (("evaluate", "--model-path", "r"), "as in toolkit evaluate RUN"),
        (("import", "--input", "x"), "as in toolkit import FILE"),
        (("compare", "--text", "x"), "as in toolkit compare TEXT|RUN"),
        (("reproduce", "--recipe", "x"), "as in toolkit reproduce NAME"),
        (("train", "--prompt", "Anna"), "--prompt; the sample at each validation (--eval-every) continues a line"),
        (
            ("train", "--temp", "1"),
            f"the sample at each validation (--eval-every) is drawn at temperature {TEMPERATURE};",
        ),
        (("train", "--topk", "1"), "is drawn from all symbols; limit them when you sample from the trained run"),
        (("train", "--vocab-size", "65"), "the text determines how many symbols there are, up to --max-vocabulary"),
        (("train", "--world-size", "2"), "use --workers for the number of training processes"),
        (("train", "--log-dir", "x"), "the run's directory holds its logs, and those of --track tensorboard"),
        (("train", "--logdir", "x"), "the run's directory holds its logs, and those of --track tensorboard"),
        (("train", "--shuffle"), "so sequences are not shuffled; --epoch-offset random begins each epoch at"),
        (("train", "--gru"), "unknown option --gru; the model is an LSTM"),
        (("train", "--n-head", "4"), "the model is an LSTM, without attention; set its size with --lstm-size"),
        (("train", "--type", "lstm"), "the model is always an LSTM; use --precision for its data type"),
        (("train", "--eval-iters", "9"), "use --eval-every for the number of steps between validations, each of"),
        (("train", "--early-stopping"), "use --patience, a number of validations without improvement"),
        (("train", "--wandb-project", "x"), "use --track wandb, with the project in the environment variable WANDB_P"),
        (("train", "--gradient-accumulation-steps", "2"), "each step processes a whole batch; set --batch-size"),
        (("train", "--max-new-tokens", "9"), "use --sample-length for the length of a sample"),
        (("train", "--embed", "5"), "unknown option --embed; see toolkit train --help"),
        (("train", "--eval", "5"), "unknown option --eval (did you mean '--eval-every'?)"),
        (("train", "-b", "5"), "in parallel, and --backend for the framework"),
        (("evaluate", "-b", "5"), "unknown option -b; use --backend for the framework"),
        (("evaluate", "--eval-iters", "5"), "use --limit for the number of symbols to score"),
        (("sample", "--steps", "5"), "unknown option --steps; use --length for the number of characters"),
        (("sample", "--max-length", "5"), "use --length for the number of characters after the prime text"),
        (("sample", "--out", "x"), "unknown option --out; samples go to standard output; save them with > FILE"),
        (("sample", "-o", "x"), "unknown option -o; samples go to standard output; save them with > FILE"),
        (("sample", "--stream"), "a single sample is printed as it is drawn, with or without --plain"),
        (("sample", "--min-p", "0.1"), "use --top-k or --top-p to limit the symbols to draw from"),
        (
            ("sample", "--repetition-penalty", "2"),
            "there are no penalties; a higher --temperature gives less repetition",
        ),
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
        (("help",), "did you mean 'toolkit --help'?"),
        (("help", "train"), "did you mean 'toolkit train --help'?"),
        (("ls",), "did you mean 'toolkit runs'?"),
        (("rm", "runs/a"), "there is no command 'rm'; to delete a run, delete its directory"),
        (("delete", "runs/a"), "there is no command 'delete'; to delete a run, delete its directory"),
        (
            ("train", "a.txt", "--name", "a"),
            "unknown option --name; use --run for the directory of the new run",
        ),
        (
            ("evaluate", "r", "a.txt"),
            "unexpected extra argument 'a.txt'; use --text for a text to evaluate on",
        ),
        (("sample", "r", "a b"), "unexpected extra argument 'a b'; use --prime for a text to continue"),
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
    assert not {*OTHER_COMMANDS, *NO_COMMANDS} & set(COMMANDS)
    assert {meant.split()[1] for meant in OTHER_COMMANDS.values()} <= {*COMMANDS, "--help", "--version"}


def test_verbose_may_be_short(toolkit: Toolkit, text_file: Path) -> None:
    assert f"read: {text_file}" in toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "-v").err


@pytest.mark.parametrize(
    ("function", "keyword", "message"),
    [
        (charkit.compare, "steps", "compare() got an unexpected keyword argument 'steps'; use `max_steps` for"),
        (charkit.train, "callbacks", "'callbacks'; use `on_event`, which is called with every event of training"),
        (charkit.train, "verbose", "'verbose'; use `on_event=lambda event: None` to hide the progress"),
        (charkit.sweep, "max_steps", """'max_steps'; set it in the spec: "fixed": {"training.max_steps": VALUE}, or"""),
        (charkit.sweep, "hidden_size", """; set it in the spec: "fixed": {"model.lstm_size": VALUE}, or"""),
        (charkit.sweep, "seed", """spec: "fixed": {"seed": VALUE}, or "axes": {"seed": [VALUE, ...]}"""),
        (charkit.sweep, "max_time", "'max_time' (did you mean 'time_limit'?)"),
        (charkit.export, "output", "export() got an unexpected keyword argument 'output' (did you mean 'out'?)"),
        (charkit.import_model, "output", "(did you mean 'out'?)"),
        (charkit.list_runs, "sort_by", "(did you mean 'sort'?)"),
        (charkit.load_run, "gpu", "use `device='cuda:0'`"),
        (charkit.prepare, "output", "(did you mean 'out'?)"),
        (charkit.report, "output", "(did you mean 'out'?)"),
        (charkit.reproduce, "data", "(did you mean 'text'?)"),
        (charkit.verify, "framework", "(did you mean 'backend'?)"),
        (charkit.CharRNN, "hidden_size", "CharRNN.__init__() got an unexpected keyword argument 'hidden_size' (did"),
        (charkit.CharRNN, "vocab_size", "(did you mean 'vocabulary_size'?)"),
        (charkit.CharRNN.load, "dtype", "(did you mean 'precision'?)"),
        (charkit.LoadedRun.evaluate, "file", "(did you mean 'text'?)"),
        (charkit.LoadedRun.sampling, "max_length", "use `length` for the number of characters after the prime text"),
        (charkit.LoadedRun.stream, "until", "(did you mean 'stop'?)"),
        (
            charkit.train,
            "prompt",
            "continues a line of the text; give a prime text when you sample from the trained run",
        ),
    ],
)  # fmt: skip
def test_every_function_suggests_its_keyword(
    function: Callable[..., Any], keyword: str, message: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        function(**{keyword: 1})


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
    assert {field for meanings in AMBIGUOUS.values() for field in meanings} <= fields
    assert set(SYNONYMS) & {*ADVICE, *AMBIGUOUS} == {"out"}  # which one command names, and another prints
    assert not set(ADVICE) & set(AMBIGUOUS)
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
    assert suggestion("steps", SamplingConfig.model_fields) == "; use `length` for the number of characters"


@pytest.mark.parametrize(
    "other", ["vocab_sise", "embed", "sing_along", "out", "prompt", "stages", "parental"]
)
def test_a_word_that_is_only_a_little_alike_is_not_taken_for_a_mistyped_one(other: str) -> None:
    assert suggestion(other, ["batch_size", "seed", "dropout", "compile", "stop", "patience"]) == ""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_both_help_options_show_the_help(toolkit: Toolkit, command: str, option: str) -> None:
    assert toolkit.ok(command, option).out.lstrip().startswith(f"Usage: toolkit {command}")


def test_a_command_may_be_typed_with_an_underscore(toolkit: Toolkit) -> None:
    assert toolkit.ok("new_backend", "-h").out == toolkit.ok("new-backend", "--help").out
