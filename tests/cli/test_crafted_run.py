"""Runs whose manifests fit, but that charkit did not write: refused in one line, or the checkpoint is skipped."""

# Over 300 lines: each test is one kind of crafted file.

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.charrnn import CharRNN
from charkit.config import LEAST_EPSILON, OptimizerConfig
from charkit.errors import ConfigurationError, NotFiniteError, RunError
from charkit.runs import limits
from charkit.runs.run import Run
from charkit_numpy.backend import NumpyBackend
from cli_support import Toolkit, only_error
from faults.run_mutations import rehash
from faults.tensor_mutations import joined, split
from support import SMALL

DEEP = "[" * 50_000 + "]" * 50_000
DIGITS = "7" * 5000


def each_checkpoint(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").iterdir())


def craft(run: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Changes a file of every checkpoint, or of the run, and makes the manifests fit."""
    paths = [run / name] if (run / name).exists() else [folder / name for folder in each_checkpoint(run)]
    for path in paths:
        path.write_bytes(change(path.read_bytes()))
    rehash(run)


def with_header(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        header, data = split(content)
        change(header)
        return joined(json.dumps(header), data)

    return changed


def with_number(number: float) -> Callable[[bytes], bytes]:
    return lambda content: content[:-4] + np.float32(number).tobytes()


def typed(dtype: str) -> Callable[[bytes], bytes]:
    """The same bytes under another type of the same size, or half of the rows under one of twice the size."""

    def change(header: dict[str, Any]) -> None:
        for entry in header.values():
            entry["dtype"] = dtype
            if dtype in ("BF16", "F16"):
                entry["shape"][-1] *= 2
            if dtype in ("C64", "F64"):
                entry["shape"][0] //= 2

    return with_header(change)


def with_field(name: str, written: str) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        fields = json.loads(content)
        assert name in fields
        return json.dumps({**fields, name: "PLACE"}).replace('"PLACE"', written).encode()

    return changed


TENSORS = (
    ("model.safetensors", typed("BF16"), "has the type 'BF16'; it must be float32"),
    ("model.safetensors", typed("I32"), "has the type 'I32'; it must be float32"),
    ("model.safetensors", typed("F64"), "has the type 'F64'; it must be float32"),
    ("optimizer.safetensors", typed("C64"), "has the type 'C64'; it must be float32"),
    ("state.safetensors", typed("F16"), "has the type 'F16'; it must be float32"),
    ("state.safetensors", with_header(lambda h: h["cell"].update(shape=[4, 2, 8])), "it must be (2, 4, 8)"),
    ("state.safetensors", with_header(lambda h: h.update(more=h.pop("cell"))), "the array cell is missing"),
    ("model.safetensors", with_header(lambda h: h.update(__metadata__={"a": "b"})), "it has metadata ('a')"),
    ("model.safetensors", with_number(np.nan), "contains non-finite numbers"),
    ("optimizer.safetensors", with_number(np.inf), "contains non-finite numbers"),
    ("optimizer.safetensors", with_number(-1.0), "a mean of squares, contains negative numbers"),
    ("state.safetensors", with_number(np.nan), "the array hidden contains non-finite numbers"),
    ("model.safetensors", lambda content: (2**40).to_bytes(8, "little") + content[8:], "its header would have"),
    ("model.safetensors", lambda content: joined('{"a":' * 30_000, content), "it is nested too deeply"),
)  # fmt: skip
FIELDS = (
    ("step", DIGITS, "it contains an integer of 5,000 digits"),
    ("step", DEEP, "it is nested too deeply"),
    ("step", "-1", "step must be at least 0; given -1"),
    ("validation_due", '"yes"', "validation_due must be true or false; given 'yes'"),
    ("validation_due", "1", "validation_due must be true or false; given 1"),
    ("best_step", "900", "best_step 900 is beyond step"),
    ("elapsed_seconds", "NaN", "it contains NaN, which is not a finite number"),
    ("elapsed_seconds", "1e999", "it contains '1e999', which is not a finite number"),
    ("unreported_loss", "null", "unreported_loss must be a number"),
    ("optimizer", '{"epsilon": 1e-60}', "optimizer.epsilon must be at least 1e-16"),
    ("training", '{"seed": 5}', "training.seed does not match config.json"),
)


@pytest.mark.parametrize("command", [("sample",), ("train", "--resume"), ("check",)], ids=" ".join)
@pytest.mark.parametrize(("name", "change", "expected"), TENSORS, ids=[each[2] for each in TENSORS])
def test_arrays_that_charkit_does_not_write(
    toolkit: Toolkit,
    run: Path,
    command: tuple[str, ...],
    name: str,
    change: Callable[[bytes], bytes],
    expected: str,
) -> None:
    craft(run, name, change)
    check_refused(toolkit, run, command, name, expected)


@pytest.mark.parametrize("command", [("evaluate",), ("train", "--init-from"), ("check",)], ids=" ".join)
@pytest.mark.parametrize(
    ("field", "written", "expected"), FIELDS, ids=[f"{each[0]}: {each[2]}" for each in FIELDS]
)
def test_progress_that_charkit_does_not_write(
    toolkit: Toolkit, run: Path, command: tuple[str, ...], field: str, written: str, expected: str
) -> None:
    craft(run, "progress.json", with_field(field, written))
    check_refused(toolkit, run, command, "progress.json", expected)


def check_refused(toolkit: Toolkit, run: Path, command: tuple[str, ...], name: str, expected: str) -> None:
    if command == ("check",):
        outcome = toolkit("check", run)
        assert outcome.status == 1
        assert name in outcome.out
        assert "none of its checkpoints is intact, so it can't be used" in outcome.out
        return
    message = toolkit.error(*command, run)
    assert message.startswith(f"'{run}' has no intact checkpoint (skipped checkpoint 000000")
    assert f"{name}: " in message
    assert expected in message


def test_keys_that_stand_twice(toolkit: Toolkit, run: Path) -> None:
    for name in ("config.json", "vocabulary.json"):
        was = (run / name).read_bytes()
        craft(run, name, lambda content: b'{"format": 1, ' + content.lstrip()[1:])
        message = toolkit.error("sample", run)
        assert (
            "it contains the key 'format' twice" in message or "config.json is missing or invalid" in message
        )
        (run / name).write_bytes(was)
        rehash(run)
    toolkit.ok("sample", run, "--length", "3")


@pytest.mark.parametrize(
    ("line", "count"),
    [("7", 1), ("[]", 1), ('{"step": "x"}', 1), ('{"step": 5}', 1), ("null", 1), (DIGITS, 0), (DEEP, 0)],
    ids=["number", "list", "text as step", "only a step", "null", "digits", "deep"],
)
def test_lines_that_charkit_does_not_write(toolkit: Toolkit, run: Path, line: str, count: int) -> None:
    for name in ("metrics.jsonl", "samples.jsonl", "schedule.jsonl", "sessions.jsonl"):
        with (run / name).open("a") as file:
            file.write(f"{line}\n")
    assert len(charkit.load_run(run).history) == 6
    found = charkit.check(run)
    assert [(each.foreign, each.cut_short) for each in found.records] == [(count, 1 - count)] * 4
    assert found.whole is (count == 0)
    resumed = toolkit.ok("train", "--resume", run, "--max-steps", "31", "--threads", "1")
    dropped = "note: metrics.jsonl: 1 line not written by charkit was dropped"
    assert (dropped in resumed.err) is (count == 1)


def test_a_line_that_is_too_long_is_skipped(toolkit: Toolkit, run: Path) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b"{" + b" " * limits.LINE + b"\n" + before.splitlines(keepends=True)[-1])
    found = charkit.check(run).records[0]
    assert (found.lines, found.foreign, found.cut_short) == (7, 1, 0)
    resumed = toolkit.ok("train", "--resume", run, "--max-steps", "31", "--threads", "1")
    assert "note: metrics.jsonl: 1 line not written by charkit was dropped" in resumed.err
    assert (run / "metrics.jsonl").read_bytes().startswith(before)


@pytest.mark.parametrize("line", ["7\n", "\n", "{\n"])
def test_a_file_of_lines_that_are_invalid_is_refused(
    toolkit: Toolkit, run: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(limits, "ODD_LINES", 1000)
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line * 1000)
    assert charkit.check(run).records[0].lines == 6
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line)
    expected = "metrics.jsonl' was not written by charkit: it has more than 1,000 invalid lines"
    assert expected in str(charkit.check(run).records[0].problem)
    assert expected in toolkit.error("train", "--resume", run, "--max-steps", "31")


def test_a_damaged_checkpoint_that_fits_its_manifest_is_skipped(toolkit: Toolkit, run: Path) -> None:
    toolkit.ok("train", "--resume", run, "--max-steps", "40", "--threads", "1")
    path = run / "checkpoints" / "00000040" / "model.safetensors"
    path.write_bytes(with_number(np.nan)(path.read_bytes()))
    rehash(run)
    outcome = toolkit.ok("sample", run, "--checkpoint", "latest", "--length", "5")
    assert (
        "note: skipped checkpoint 00000040: model.safetensors: the array output.weight contains"
        in outcome.err
    )
    resumed = toolkit.ok("train", "--resume", run, "--max-steps", "40", "--threads", "1")
    assert "from step 30" in resumed.err


def test_weights_that_overflow_give_no_blank_sample(toolkit: Toolkit, run: Path) -> None:
    for folder in each_checkpoint(run):
        header, data = split((folder / "model.safetensors").read_bytes())
        huge = np.full(len(data) // 4, 3e38, np.float32).tobytes()
        (folder / "model.safetensors").write_bytes(joined(json.dumps(header), huge))
    rehash(run)
    with np.errstate(over="ignore", invalid="ignore"):
        for more in ((), ("--temperature", "0"), ("--top-k", "3")):
            outcome = toolkit("sample", run, "--length", "5", *more)
            assert outcome.status == 2
            assert "the model's logits are not finite" in outcome.err
        assert "is not finite: its weights are too large" in only_error(toolkit("evaluate", run).err)


def test_a_text_outside_of_the_run_by_a_relative_path(toolkit: Toolkit, run: Path) -> None:
    content = json.loads((run / "config.json").read_text())
    content["config"]["data"]["text"] = ["../../secret.txt"]
    craft(run, "config.json", lambda _content: json.dumps(content).encode())
    message = toolkit.error("evaluate", run)
    assert (
        "names the text '../../secret.txt', which is neither an absolute path nor text.txt in the run"
        in message
    )


# ---- what is not finite is never saved -----------------------------------------------------------------


def test_arrays_that_are_not_finite_are_not_saved(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = CharRNN.train_step

    def poisoned(model: CharRNN, *batch: Any, **options: Any) -> Any:
        result = sound(model, *batch, **options)
        if model.step == 8:  # no later loss shows it
            model._moments.exp_avg_sq["output.bias"][2] = np.inf
        return result

    monkeypatch.setattr(CharRNN, "train_step", poisoned)
    told = (
        r"the array exp_avg_sq\.output\.bias contains non-finite numbers at step 8, so the checkpoint was not saved; "
        r"the last good checkpoint of 'wild' is at step 4; try a `learning_rate` below 0.001 or a `grad_clip` below 5"
    )
    with pytest.raises(NotFiniteError, match=told):
        charkit.train(text_file, run="wild", threads=1, **{**SMALL, "save_every": 4, "max_steps": 20})
    assert Run.open(Path("wild")).checkpoint("latest")[0].progress.step == 4
    assert charkit.check("wild").whole


def test_a_network_that_is_not_finite_is_neither_saved_nor_loaded() -> None:
    model = CharRNN(5, lstm_size=3, num_layers=1, batch_size=2, num_steps=2)
    model.save("a.safetensors")
    content = Path("a.safetensors").read_bytes()
    model._weights["output.bias"][1] = np.nan
    with pytest.raises(NotFiniteError, match=r"the array output\.bias contains non-finite numbers"):
        model.save("b.safetensors")
    assert not Path("b.safetensors").exists()
    header, data = split(content)
    at = header["output.bias"]["data_offsets"][0]
    data = data[:at] + np.float32(np.nan).tobytes() + data[at + 4 :]
    Path("a.safetensors").write_bytes(joined(json.dumps(header), data))
    with pytest.raises(RunError, match=r"the array output\.bias contains non-finite numbers"):
        CharRNN.load("a.safetensors")


def test_epsilon_has_a_least_value(toolkit: Toolkit, text_file: Path) -> None:
    message = toolkit.error("train", text_file, "--epsilon", "1e-60")
    assert message == "--epsilon must be at least 1e-16; given '1e-60'"
    with pytest.raises(ConfigurationError, match="epsilon"):
        charkit.train(text_file, epsilon=9e-17)


@pytest.mark.parametrize("beta2", [0.999, 1 - 2.0**-24])
def test_with_the_least_epsilon_no_step_leaves_the_learning_rate_behind(beta2: float) -> None:
    """Also where the squares of the gradients are too small for float32, and for gradients that are zero."""
    optimizer = OptimizerConfig(epsilon=LEAST_EPSILON, beta2=beta2, learning_rate=1.0, grad_clip=0)
    gradients = np.concatenate([[0.0], 10.0 ** np.arange(-45, 3, 0.25)])
    config = charkit.ModelConfig(vocabulary_size=len(gradients), lstm_size=1, num_layers=1)
    backend = NumpyBackend(precision="float32", device="cpu", threads=1)
    model = CharRNN.from_config(config, optimizer, backend, batch_size=1, num_steps=1)
    zeros = {name: np.zeros_like(array) for name, array in model.weights().items()}
    before = model.weights()["output.bias"]
    model.apply_gradients({**zeros, "output.bias": gradients.astype(np.float32)})
    steps = np.abs(model.weights()["output.bias"] - before)
    assert steps[0] == 0
    assert np.isfinite(steps).all()
    assert steps.max() < 5.0
