"""State dicts between charkit and plain PyTorch, both ways, and the example that samples without charkit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit_formats
from charkit.backend import State
from charkit.runs.run import Run
from charkit.text.vocabulary import Vocabulary
from cli_support import Toolkit
from formats_support import THOUSAND, apart, documented, logits_of, make_run, run_example
from support import SMALL_TEXT

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


class Plain(torch.nn.Module):
    """What a user of PyTorch writes."""

    def __init__(self, vocabulary_size: int, lstm_size: int, num_layers: int, **more: Any) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(vocabulary_size, lstm_size, num_layers, batch_first=True, **more)
        self.output = torch.nn.Linear(lstm_size, vocabulary_size)

    def forward(self, symbols: Any, state: Any = None) -> Any:
        inputs = torch.nn.functional.one_hot(symbols, self.lstm.input_size).to(self.output.weight.dtype)
        features, state = self.lstm(inputs, state)
        return self.output(features), state


def loaded(path: str, num_layers: int) -> Plain:
    """A plain module with the exported state dict, in the file's own precision."""
    from safetensors.torch import load_file

    weights = load_file(path)
    vocabulary_size, lstm_size = weights["output.weight"].shape
    model = Plain(vocabulary_size, lstm_size, num_layers).to(weights["output.weight"].dtype)
    model.load_state_dict(weights)  # strict: every name, and no other
    return model


def compute(model: Plain, symbols: Any, state: State[Any] | None = None) -> tuple[Any, Any, Any]:
    """Logits (batch, time, vocabulary), hidden and cell (layer, batch, unit) as arrays."""
    given = None if state is None else tuple(map(torch.from_numpy, state))
    with torch.no_grad():
        logits, (hidden, cell) = model(torch.from_numpy(symbols.astype(np.int64)), given)
    return logits.numpy(), hidden.numpy(), cell.numpy()


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("float64", 1e-12)])
def test_the_logits_of_a_thousand_characters_are_charkits(
    num_layers: int, precision: str, bound: float
) -> None:
    run = make_run(Path("r"), num_layers=num_layers, precision=precision)
    charkit_formats.export_torch("r", "a.safetensors", precision=precision)
    symbols = run.vocabulary.encode(THOUSAND)[0][None]
    theirs, *_ = compute(loaded("a.safetensors", num_layers), symbols)
    assert apart(logits_of(run, symbols)[0], theirs) < bound


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 9), (3, 17)])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_any_batch_and_time_with_a_state_that_goes_in_and_out(
    num_layers: int, shape: tuple[int, int]
) -> None:
    run = make_run(Path("r"), num_layers=num_layers)
    charkit_formats.export_torch("r", "a.safetensors")
    generator = np.random.default_rng(1)
    symbols = generator.integers(0, run.vocabulary.size, shape, dtype=np.int32)
    state = State(*(generator.normal(0, 0.7, (num_layers, shape[0], 12)).astype(np.float32) for _ in "hc"))
    logits, after = logits_of(run, symbols, state)
    theirs = compute(loaded("a.safetensors", num_layers), symbols, state)
    for ours, got in zip((logits, after.hidden, after.cell), theirs, strict=True):
        assert apart(ours, got) < 1e-5


@pytest.mark.parametrize(
    ("vocabulary", "precision"), [(None, "float32"), (Vocabulary.bytes(), "float32"), (None, "float64")]
)
def test_the_example_samples_without_charkit(
    toolkit: Toolkit, vocabulary: Vocabulary | None, precision: str
) -> None:
    make_run(Path("r"), vocabulary=vocabulary, precision=precision)
    toolkit.ok("export", "r", "--out", "a.v2.safetensors", "--precision", precision)
    text = run_example(Path("a.v2.py"), "The ")
    assert text.startswith("The ")
    assert len(text) == 304 or vocabulary is not None
    assert len(set(text)) > 9
    assert run_example(Path("a.v2.py"), "The ") == text


def test_the_program_on_the_page_works() -> None:
    run = make_run(Path("r"))
    charkit_formats.export_torch("r", "anna.safetensors")
    Path("page.py").write_text(f"{documented(0)}\nprint(tuple(logits.shape), len(state))\n")
    said = run_example(Path("page.py"), folder=Path.cwd())
    assert said == f"(1, 4, {run.vocabulary.size}) 2"


def test_a_model_of_pytorch_comes_in_and_gives_the_same_logits(toolkit: Toolkit) -> None:
    from safetensors.torch import save_model

    torch.manual_seed(5)
    vocabulary = Vocabulary.of_text(SMALL_TEXT)
    plain = Plain(vocabulary.size, 16, 2)  # both biases of its LSTM are random
    save_model(plain, "a.safetensors")
    Path("a.vocabulary.json").write_text(vocabulary.to_json())
    toolkit.ok("import", "a.safetensors", "--out", "r")
    made = charkit_formats.import_torch("a.safetensors", "again")
    symbols = vocabulary.encode(THOUSAND)[0][None]
    assert apart(logits_of(Run.open(made.run), symbols)[0], compute(plain, symbols)[0]) < 1e-5


def test_there_and_back_through_pytorch_is_equal_to_the_bit(toolkit: Toolkit) -> None:
    from safetensors.torch import save_model

    make_run(Path("r"), num_layers=3)
    toolkit.ok("export", "r", "--out", "a.safetensors")
    save_model(loaded("a.safetensors", 3), "b.safetensors")
    toolkit.ok("import", "b.safetensors", "--out", "back", "--vocabulary", "a.vocabulary.json")
    stored = [Path(f"{name}/checkpoints/00000000/model.safetensors").read_bytes() for name in ("r", "back")]
    assert stored[0] == stored[1]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"bidirectional": True}, "belongs to a bidirectional LSTM"),
        ({"proj_size": 5}, "is a projection (proj_size)"),
        ({"bias": False}, "the LSTM has no bias (bias=False)"),
    ],
)
def test_other_lstms_of_pytorch(toolkit: Toolkit, more: dict[str, Any], expected: str) -> None:
    from safetensors.torch import save_model

    save_model(Plain(6, 12, 2, **more), "a.safetensors")
    Path("a.vocabulary.json").write_text(Vocabulary.of_text("abcdef").to_json())
    assert expected in toolkit.error("import", "a.safetensors", "--out", "r")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("what", ["model", "state_dict"])
def test_what_torch_save_writes_is_refused_by_name(toolkit: Toolkit, zipped: bool, what: str) -> None:
    plain = Plain(6, 12, 2)
    torch.save(
        plain if what == "model" else plain.state_dict(), "a.pt", _use_new_zipfile_serialization=zipped
    )
    assert toolkit.error("import", "a.pt", "--out", "r").startswith(
        "'a.pt' is a pickle (the format of torch.save"
    )
