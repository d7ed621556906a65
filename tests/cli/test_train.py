"""``toolkit train``: what its options do."""

# Over 300 lines: one command, one short test for each option.

from __future__ import annotations

import io
import json
import math
import shlex
import sys
import tomllib
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from charkit.charrnn import CharRNN
from charkit.training.clock import Clock
from charkit_cli.train_result import resuming_options
from cli_support import TINY, Toolkit, lines_of, start, weights_of
from support import SMALL_TEXT


def configuration(run: str | Path) -> dict[str, Any]:
    """What the run was made as."""
    config = json.loads((Path(run) / "config.json").read_text("utf-8"))["config"]
    assert isinstance(config, dict)
    return config


def steps_of(run: str | Path, name: str = "metrics.jsonl") -> list[int]:
    """The steps of the run's records."""
    return [record["step"] for record in lines_of(Path(run) / name)]


def test_a_new_run_is_all_there(toolkit: Toolkit, text_file: Path) -> None:
    outcome = toolkit.ok("train", text_file, *TINY, "--max-steps", "12")
    run = Path("runs/small-1")
    assert sorted(path.name for path in run.iterdir()) == [
        "README.md", "best", "checkpoints", "config.json", "latest", "lock", "metrics.jsonl",
        "samples.jsonl", "sessions.jsonl", "vocabulary.json",
    ]  # fmt: skip
    assert "runs/small-1 finished at step 12, epoch 1: all steps are done\nloss " in outcome.out
    assert outcome.out.endswith("\nnext: toolkit sample runs/small-1\n")
    assert outcome.err.splitlines()[0] == "runs/small-1: numpy float32 on cpu, 1 thread"
    assert "step 5/12  epoch 1  loss " in outcome.err
    assert "\x1b" not in outcome.err + outcome.out
    assert steps_of(run) == [5, 10, 12]
    sample = lines_of(run / "samples.jsonl")[-1]
    assert list(sample) == ["step", "epoch", "sample", "prime", "temperature", "seed"]
    assert len(sample["sample"]) == len(sample["prime"]) + 20
    assert outcome.err.count("sample at step 12") == 1
    assert sample["sample"].removeprefix(sample["prime"]) not in outcome.out
    card = (run / "README.md").read_text("utf-8")
    assert "# small-1" in card
    assert "toolkit sample runs/small-1" in card
    toolkit.ok("train", text_file, *TINY, "--max-steps", "2")
    assert Path("runs/small-2").is_dir()


def test_a_report_says_all_there_is_to_say(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "10", "--run", "r")
    first, last = lines_of(Path("r/metrics.jsonl"))
    assert list(first) == [
        "step", "epoch", "loss", "validation_loss", "learning_rate", "gradient_norm",
        "characters_per_second", "elapsed_seconds",
    ]  # fmt: skip
    assert first["validation_loss"] is None
    assert last["validation_loss"] > 0
    assert first["loss"] < math.log(60)


def test_a_session_says_who_computed_on_what(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "2", "--run", "r")
    outcome = toolkit.ok("train", "--resume", "r", "--max-steps", "4", "--threads", "2")
    first, second = lines_of(Path("r/sessions.jsonl"))
    assert list(first) == [
        "started", "command", "step", "backend", "precision", "device", "threads", "processor", "versions",
        "text_sha256", "symbols",
    ]  # fmt: skip
    assert (first["backend"], first["precision"], first["device"], first["threads"]) == (
        "numpy",
        "float32",
        "cpu",
        1,
    )
    assert {"charkit", "python", "numpy"} <= first["versions"].keys()
    assert (first["step"], second["step"], second["threads"]) == (0, 2, 2)
    assert "note: this session differs from the last one: threads 2 (previously 1); " in outcome.err


def test_the_command_is_recorded_as_it_was_typed(text_file: Path) -> None:
    child = start("train", text_file, *TINY, "--max-steps", "2", "--run", "my run")
    said, wrong = child.communicate(timeout=60)
    assert child.returncode == 0, wrong
    session = lines_of(Path("my run/sessions.jsonl"))[0]
    assert session["command"].startswith(
        f"python -m charkit_cli train {text_file} --recipe=classic --lstm-size=8"
    )
    assert session["command"].endswith("--run 'my run'")
    assert "toolkit sample 'my run'" in said  # may be pasted into a shell
    assert "toolkit sample 'my run'" in Path("my run/README.md").read_text("utf-8")


def test_toml_then_set_then_options(toolkit: Toolkit, text_file: Path) -> None:
    Path("c.toml").write_text(
        "[model]\nlstm_size = 5\nnum_layers = 3\ndropout = 0.25\n[data]\nbatch_size = 3\n"
        "[optimizer]\nlearning_rate = 0.5\n[training]\nmax_steps = 1\n"
    )
    toolkit.ok(
        "train", text_file, "--config", "c.toml", "--set", "model.num_layers=2", "--set", "model.lstm_size=6",
        "--set", "data.glob=*.md", "--lstm-size", "7", "--num-steps", "9", "--run", "r",
    )  # fmt: skip
    config = configuration("r")
    assert config["model"] == {
        "vocabulary_size": len(set(SMALL_TEXT)),
        "lstm_size": 7,
        "num_layers": 2,
        "dropout": 0.25,
    }
    assert (config["data"]["batch_size"], config["data"]["num_steps"], config["data"]["glob"]) == (
        3,
        9,
        "*.md",
    )
    assert config["optimizer"]["learning_rate"] == 0.5
    assert config["training"]["log_every"] == 10  # the default: nothing sets it


def test_a_text_named_in_toml(toolkit: Toolkit, text_file: Path) -> None:
    Path("c.toml").write_text(f"[data]\ntext = [{str(text_file)!r}]\n")
    assert tomllib.loads(Path("c.toml").read_text())
    toolkit.ok("train", "--config", "c.toml", *TINY, "--max-steps", "2", "--run", "r")
    assert configuration("r")["data"]["text"] == [str(text_file)]


def test_standard_input_is_read_in_the_encoding_of_the_recipe(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("old.toml").write_text('name = "old"\npurpose = "old texts"\n[data]\nencoding = "cp1252"\n')
    options = (*TINY, "--recipe", "old.toml", "--max-steps", "2")
    for encoding in ("cp1252", "utf-8"):
        raw = io.BytesIO(SMALL_TEXT.encode(encoding))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw, "utf-8"))
        given = () if encoding == "cp1252" else ("--encoding", encoding)
        toolkit.ok("train", "-", *options, *given, "--run", encoding)
        assert Path(encoding, "text.txt").read_text("utf-8") == SMALL_TEXT
        toolkit.ok("train", "--resume", encoding, "--max-steps", "3", "--threads", "1")
    assert weights_of(Path("cp1252")) == weights_of(Path("utf-8"))


def test_the_recipe_classic_has_the_defaults_of_the_classic_charrnn(toolkit: Toolkit) -> None:
    Path("long.txt").write_text(SMALL_TEXT * 3)
    options = ("--recipe", "classic", "--max-steps", "1", "--threads", "1", "--run", "r")
    toolkit.ok("train", "long.txt", *options)
    config = configuration("r")
    assert config["training"]["epochs"] == 20
    data, model, optimizer = config["data"], config["model"], config["optimizer"]
    assert (data["batch_size"], data["num_steps"]) == (64, 50)
    assert (model["lstm_size"], model["num_layers"], model["dropout"]) == (128, 2, 0.0)
    assert (optimizer["learning_rate"], optimizer["grad_clip"]) == (0.001, 5.0)


def test_no_text_is_pythons_own_reference(toolkit: Toolkit) -> None:
    outcome = toolkit.ok("train", *TINY, "--max-steps", "2")
    assert "note: no text given; using the language reference of Python 3." in outcome.err
    assert "runs/python-reference-1 finished at step 2," in outcome.out
    toolkit.ok("train", "--resume", "runs/python-reference-1", "--max-steps", "3", "--threads", "1")


def test_cosine_with_warm_up(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--schedule", "cosine", "--warmup-steps", "4", "--learning-rate", "0.01",
               "--learning-rate-floor", "0.001", "--max-steps", "20", "--log-every", "1", "--run", "r")  # fmt: skip
    rates = [record["learning_rate"] for record in lines_of(Path("r/metrics.jsonl"))]
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates[11] == pytest.approx(0.0055)  # half of the way down
    assert rates[19] == pytest.approx(0.001)
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_validation_and_reports_come_when_asked(toolkit: Toolkit, text_file: Path) -> None:
    outcome = toolkit.ok("train", text_file, *TINY, "--max-steps", "20", "--eval-every", "8", "--log-every", "6",
                         "--run", "r")  # fmt: skip
    records = lines_of(Path("r/metrics.jsonl"))
    assert [record["step"] for record in records] == [6, 8, 12, 16, 18, 20]
    assert [record["step"] for record in records if record["validation_loss"]] == [8, 16, 20]
    assert steps_of("r", "samples.jsonl") == [8, 16, 20]
    assert outcome.err.count("sample at step ") == 3
    toolkit.ok("train", text_file, *TINY, "--max-steps", "20", "--sample-length", "0", "--run", "quiet")
    assert not Path("quiet/samples.jsonl").exists()


def test_each_epoch_is_validated(toolkit: Toolkit, text_file: Path) -> None:
    outcome = toolkit.ok("train", text_file, *TINY, "--epochs", "2", "--log-every", "1000", "--run", "r")
    records = lines_of(Path("r/metrics.jsonl"))
    assert [record["epoch"] for record in records] == [1, 2]
    assert records[1]["step"] == 2 * records[0]["step"]
    assert ": all epochs are done" in outcome.out
    assert records[1]["validation_loss"] < records[0]["validation_loss"]
    assert json.loads(Path("r/best").read_text())["step"] == records[1]["step"]


def test_patience(toolkit: Toolkit, text_file: Path) -> None:
    answer = toolkit.json("train", text_file, *TINY, "--eval-every", "5", "--patience", "2", "--learning-rate", "0.5",
                          "--run", "r")  # fmt: skip
    assert answer["stopped_because"] == "patience"
    losses = [record["validation_loss"] for record in lines_of(Path("r/metrics.jsonl"))]
    losses = [loss for loss in losses if loss is not None]
    best = losses.index(min(losses))
    assert best == len(losses) - 3  # two validations without a gain
    assert answer["best_validation_loss"] == min(losses)
    assert json.loads(Path("r/best").read_text())["step"] == 5 * (best + 1)
    assert f"best checkpoint (step {5 * (best + 1)})" in toolkit.ok("evaluate", "r").out
    assert (
        f"latest checkpoint (step {answer['step']})"
        in toolkit.ok("evaluate", "r", "--checkpoint", "latest").out
    )


def test_patience_needs_validations(toolkit: Toolkit, text_file: Path) -> None:
    options = ("train", text_file, *TINY, "--patience", "2", "--run", "r")
    message = toolkit.error(*options, "--validation-share", "0")
    assert message.endswith(
        "--patience 2 counts validations, but the validation split is empty; leave --patience out, choose a larger "
        "--validation-share, or give a longer text"
    )
    assert not Path("r").exists()


def test_a_shape_that_is_a_whole_number_is_the_shape(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    toolkit.ok("train", text_file, "--init-from", run, "--set", "model.lstm_size=8.0", "--max-steps", "1",
               "--batch-size", "4", "--num-steps", "8", "--threads", "1", "--run", "tuned")  # fmt: skip
    assert configuration("tuned")["model"]["lstm_size"] == 8


def test_saves_come_by_steps_or_by_time(toolkit: Toolkit, text_file: Path) -> None:
    common = ("train", text_file, *TINY, "--max-steps", "20", "--log-every", "100")
    by_steps = toolkit.ok(*common, "--save-every", "6", "--run", "steps").err
    assert [line.split("/")[-1] for line in by_steps.splitlines() if line.startswith("saved")] == [
        "00000006", "00000012", "00000018", "00000020 (best)",
    ]  # fmt: skip
    assert len(list(Path("steps/checkpoints").iterdir())) == 2
    by_time = toolkit.ok(*common, "--save-every", "0.000001s", "--run", "time").err
    assert by_time.count("saved time/checkpoints/") == 20
    rarely = toolkit.ok(*common, "--run", "rarely").err
    assert rarely.count("saved ") == 1
    assert weights_of(Path("steps")) == weights_of(Path("time")) == weights_of(Path("rarely"))


def test_time_limit_saves_and_says_so(toolkit: Toolkit, text_file: Path) -> None:
    outcome = toolkit.ok(
        "train", text_file, *TINY, "--time-limit", "0.01s", "--epochs", "100000", "--run", "r"
    )
    assert ": --time-limit was reached" in outcome.out
    step = json.loads(Path("r/latest").read_text())["step"]
    assert f"r finished at step {step:,}, epoch " in outcome.out
    resumed = toolkit.ok("train", "--resume", "r", "--max-steps", str(step + 50), "--threads", "1")
    assert ": all steps are done" in resumed.out  # the limit was the other session's


def test_several_files_and_a_folder(toolkit: Toolkit) -> None:
    Path("My books").mkdir()
    Path("My books/b.txt").write_text(SMALL_TEXT[2000:])
    Path("My books/a.txt").write_text(SMALL_TEXT[:2000])
    Path("My books/c.md").write_text(SMALL_TEXT + "Ω")
    common = (*TINY, "--max-steps", "5")
    Path("one.txt").write_text(SMALL_TEXT)
    toolkit.ok("train", "one.txt", *common)
    toolkit.ok("train", "My books/b.txt", "My books/a.txt", *common)
    toolkit.ok("train", "My books", *common)
    toolkit.ok("train", "My books", "--glob", "*.md", *common, "--run", "markdown")
    assert (
        weights_of(Path("runs/one-1")) == weights_of(Path("runs/b-1")) == weights_of(Path("runs/My-books-1"))
    )
    assert "Ω" in json.loads(Path("markdown/vocabulary.json").read_text())["symbols"]


def test_run_in_folders_that_are_not_there_yet(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "2", "--run", "new/er/run")
    assert Path("new/er/run/config.json").exists()


def test_a_loss_that_is_not_finite(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = CharRNN.train_step

    def explode(model: CharRNN, *arguments: Any, **options: Any) -> Any:
        result = sound(model, *arguments, **options)
        if result.step == 14:
            vars(result)["loss"] = math.nan
        return result

    monkeypatch.setattr(CharRNN, "train_step", explode)
    outcome = toolkit("train", text_file, *TINY, "--save-every", "4", "--max-steps", "30", "--run", "r")
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1] == (
        "error: the loss is not finite at step 14; the last good checkpoint of 'r' is at step 12; try a "
        "--learning-rate below 0.001 or a --grad-clip below 5, then continue the run with --resume r "
        "--backend numpy"
    )
    assert steps_of("r") == [5, 10]
    monkeypatch.setattr(CharRNN, "train_step", sound)
    toolkit.ok("train", "--resume", "r", "--learning-rate", "0.0001", "--threads", "1")


def test_starting_from_another_runs_weights(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    outcome = toolkit.ok("train", text_file, "--init-from", run, "--max-steps", "1", "--learning-rate", "1e-30",
                         "--batch-size", "5", "--threads", "1", "--run", "tuned")  # fmt: skip
    assert f"note: weights from {run} at step 30" in outcome.err
    assert weights_of(Path("tuned")) == weights_of(run)
    assert configuration("tuned")["model"] == configuration(run)["model"]
    assert configuration("tuned")["data"]["batch_size"] == 5


def test_extending_the_vocabulary_says_by_what(toolkit: Toolkit, run: Path) -> None:
    Path("greek.txt").write_text(SMALL_TEXT.replace("cat", "κάτ"))
    message = toolkit.error("train", "greek.txt", "--init-from", run, "--max-steps", "2")
    assert "'κ' (60)" in message
    assert message.endswith("--extend-vocabulary adds them to the new run's vocabulary")
    outcome = toolkit.ok("train", "greek.txt", "--init-from", run, "--extend-vocabulary", "--max-steps", "2",
                         "--batch-size", "4", "--num-steps", "8", "--run", "greek")  # fmt: skip
    assert "note: added to the vocabulary: 3 symbols, 'ά' 'κ' 'τ'" in outcome.err
    known = json.loads((run / "vocabulary.json").read_text())["symbols"]
    assert json.loads(Path("greek/vocabulary.json").read_text())["symbols"] == [*known, "ά", "κ", "τ"]
    toolkit.ok("sample", "greek", "--prime", "κάτ", "--length", "3")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--lstm-size", "9", "has --lstm-size 8; --init-from can't change it to 9; leave --lstm-size out"),
        ("--num-layers", "1", "has --num-layers 2; --init-from can't change it to 1; leave --num-layers out"),
        (
            "--vocabulary",
            "byte",
            "has a char vocabulary; --init-from can't change it; leave --vocabulary out",
        ),
    ],
)
def test_weights_that_do_not_fit(
    toolkit: Toolkit, run: Path, text_file: Path, option: str, value: str, expected: str
) -> None:
    assert expected in toolkit.error("train", text_file, "--init-from", run, option, value)


def test_notes_tell_what_reading_changed(toolkit: Toolkit) -> None:
    Path("dos.txt").write_bytes(b"\xef\xbb\xbf" + SMALL_TEXT.replace("\n", "\r\n").encode())
    said = toolkit.ok("train", "dos.txt", *TINY, "--max-steps", "1").err
    assert "note: CRLF line endings read as LF: 60" in said
    assert "note: byte-order marks dropped: 1" in said
    assert "don't fill a batch and are skipped" in said


def test_the_next_command_finds_a_moved_text_again(toolkit: Toolkit, text_file: Path) -> None:
    moved = text_file.parent / "moved texts"
    moved.mkdir()
    toolkit.ok("train", text_file, *TINY, "--max-steps", "3", "--run", "r", "--stop-at", "1")
    text_file.rename(moved / "small.md")
    said = toolkit.ok(
        "train", moved, "--glob", "*.md", "--resume", "r", "--stop-at", "2", "--threads", "1"
    ).out
    command = said.splitlines()[-1].removeprefix("next: ")
    assert command == f"toolkit train --resume r '{moved}' '--glob=*.md' --threads 1"
    toolkit.ok(*shlex.split(command)[1:])


def test_the_next_command_follows_the_run_in_the_same_way() -> None:
    chosen = {"backend": None, "threads": 2, "workers": None}
    options = resuming_options(chosen, mixed_machines=True, track=["csv", "mine"])
    assert options == ["--threads", "2", "--mixed-machines", "--track", "csv", "--track", "mine"]


def test_a_session_without_a_limit_does_not_end_by_one(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    milliseconds = count()  # a clock that goes on by one each time that it is read, on a machine of any speed
    monkeypatch.setattr(
        "charkit.training.trainer.Clock", lambda before: Clock(before, lambda: next(milliseconds) / 1000)
    )
    limited = ("--time-limit", "1s", "--schedule", "cosine", "--stop-at", "20")
    toolkit.ok("train", text_file, *TINY, "--epochs", "1000", *limited, "--run", "r")
    said = toolkit.ok("train", "--resume", "r").out
    assert ": its schedule, planned for an earlier --time-limit, has ended\n" in said


def test_shards_are_those_of_the_batch_that_the_recipe_chooses(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, "--recipe", "auto", "--shards", "128", "--max-steps", "1", "--lstm-size", "4",
               "--run", "r")  # fmt: skip
    assert configuration("r")["data"]["batch_size"] % 128 == 0
    assert "--shards must be an integer; given 'many'" in toolkit.error(
        "train", text_file, "--shards", "many"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ("--schedule", "constant", "--learning-rate-floor", "0.001"),
            "--learning-rate-floor has no effect with the schedule 'constant', only with a decaying one",
        ),
        (
            ("--schedule", "cosine", "--cooldown-share", "0.5"),
            "--cooldown-share has no effect with the schedule 'cosine', only with 'cooldown'",
        ),
        (
            ("--schedule", "cosine", "--learning-rate-floor", "0.5", "--learning-rate", "0.1"),
            "the learning rate does not fall: --learning-rate-floor 0.5 is not below --learning-rate 0.1",
        ),
        (("--schedule", "cooldown", "--learning-rate-floor", "0.001", "--cooldown-share", "0.5"), ""),
        (
            ("--vocabulary", "byte", "--encoding", "cp1252"),
            "--encoding has no effect with the vocabulary 'byte'",
        ),
        (("--vocabulary", "byte", "--newlines", "lf"), "--newlines has no effect with the vocabulary 'byte'"),
        (("--vocabulary", "byte"), ""),
    ],
)
def test_settings_without_effect_are_noted(
    toolkit: Toolkit, text_file: Path, options: tuple[str, ...], expected: str
) -> None:
    said = toolkit.ok("train", text_file, *TINY, "--max-steps", "1", *options, "--run", "r").err
    assert f"note: {expected}\n" in said if expected else "no effect" not in said


def test_steps_given_on_resume_take_the_place_of_epochs(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--epochs", "1", "--run", "r")
    last = lines_of(Path("r/metrics.jsonl"))[-1]["step"]
    toolkit.ok("train", "--resume", "r", "--max-steps", str(last + 3))
    assert lines_of(Path("r/metrics.jsonl"))[-1]["step"] == last + 3


def test_bytes_on_standard_input_are_those_of_utf_8(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n" * 200)))
    said = toolkit.error("train", "-", "--vocabulary", "byte", "--encoding", "latin-1")
    assert (
        "with --vocabulary byte, standard input must be UTF-8; for a text in another encoding, prepare it"
        in said
    )


def test_advice_on_an_encoding_is_for_the_command(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "--run", "r")
    Path("latin.txt").write_bytes(b"caf\xe9\n" * 200)
    said = toolkit.error("train", "latin.txt", "--init-from", "r", "--run", "x")
    assert said.endswith("; name its encoding with --encoding")
    said = toolkit.error("evaluate", "r", "--text", "latin.txt")
    assert said.endswith(
        "; give text in utf-8, the encoding of the run, or prepare the text with toolkit prepare, naming its "
        "encoding"
    )
    toolkit.ok("train", "--resume", "r", "--encoding", "UTF8", "--max-steps", "2")  # the same by another name
    said = toolkit.error("train", "--resume", "r", "latin.txt", "--max-steps", "3")
    assert "the given text is not the text of 'r' ('latin.txt' is not utf-8: invalid byte" in said
    assert "--vocabulary" not in said


def test_what_a_run_to_start_from_decides_is_noted(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "--run", "first")
    other = text_file.with_name("other.txt")
    other.write_text(text_file.read_text("utf-8") + "Ωmega", "utf-8")
    settings = ("--initialization", "uniform", "--max-vocabulary", "1000")
    start = (*TINY, "--max-steps", "1", "--init-from", "first", *settings)
    said = toolkit.ok("train", text_file, *start).err
    for option in ("--initialization", "--max-vocabulary"):
        assert f"note: {option} has no effect: the weights and the vocabulary are those of 'first'\n" in said
    assert "no effect" not in toolkit.ok("train", other, *start, "--extend-vocabulary").err
