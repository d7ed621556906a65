"""The example that is written beside an exported model: a program that samples it without charkit."""

from __future__ import annotations

from string import Template

from charkit.config import ModelConfig
from charkit.text.vocabulary import Vocabulary

#: The start of every example, by which it is recognized.
EXAMPLE_START = '"""An example that charkit wrote:'

_TORCH = Template(
    EXAMPLE_START
    + """ it uses plain PyTorch to sample from the model in the .safetensors file of the same name.

It needs torch and safetensors. Run it with --help to see its options.
\"""

$arguments
import torch  # after the options are read, so that --help is quick
from safetensors.torch import load_file

weights = load_file(Path(__file__).with_suffix(".safetensors"))
vocabulary = json.loads(Path(__file__).with_suffix(".vocabulary.json").read_text("utf-8"))
vocabulary_size, lstm_size = weights["output.weight"].shape
model = torch.nn.Module()
model.lstm = torch.nn.LSTM(vocabulary_size, lstm_size, num_layers=$num_layers, batch_first=True)
model.output = torch.nn.Linear(lstm_size, vocabulary_size)
model$cast.load_state_dict(weights)

torch.manual_seed(options.seed)
$encode
drawn, state = list(indices), None
with torch.no_grad():
    for _ in range(options.length):
        inputs = torch.nn.functional.one_hot(torch.tensor([indices]), vocabulary_size).$dtype()
        features, state = model.lstm(inputs, state)  # (batch, time, unit); hidden and cell (layer, batch, unit)
        logits = model.output(features[0, -1]) / options.temperature
        indices = [torch.multinomial(logits.softmax(0), 1).item()]
        drawn += indices
$decode
"""
)
_ONNX = Template(
    EXAMPLE_START
    + """ it uses onnxruntime to sample from the model in the .onnx file of the same name.

It needs onnxruntime and numpy. Run it with --help to see its options.
\"""

$arguments
import numpy  # after the options are read, so that --help is quick
import onnxruntime

session = onnxruntime.InferenceSession(Path(__file__).with_suffix(".onnx"))
vocabulary = json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"])
hidden = cell = numpy.zeros(($num_layers, 1, $lstm_size), numpy.float32)  # (layer, batch, unit)

generator = numpy.random.default_rng(options.seed)
$encode
drawn = list(indices)
for _ in range(options.length):
    inputs = {"symbols": numpy.array([indices], numpy.int64), "hidden": hidden, "cell": cell}
    logits, hidden, cell = session.run(["logits", "next_hidden", "next_cell"], inputs)
    last = logits[0, -1].astype(numpy.float64) / options.temperature  # of (batch, time, vocabulary)
    weights = numpy.exp(last - last.max())
    indices = [int(generator.choice(len(weights), p=weights / weights.sum()))]
    drawn += indices
$decode
"""
)
_ARGUMENTS = """import argparse
import json
from pathlib import Path

parser = argparse.ArgumentParser(description="Samples from the model in the file of the same name.")
parser.add_argument("text", nargs="?", default="", help="text to continue (default: a line break)")
parser.add_argument("--length", type=int, default=300, help="symbols to draw (default: %(default)s)")
parser.add_argument(
    "--temperature",
    type=float,
    default=1.0,
    help="values below 1 make the text more predictable (default: %(default)s)",
)
parser.add_argument("--seed", type=int, default=1, help="random seed (default: %(default)s)")
options = parser.parse_args()
if not 0 < options.temperature < float("inf"):
    parser.error("--temperature must be a number above 0")
if options.length < 0:
    parser.error("--length must be at least 0")
"""
_CHARACTERS = {
    "encode": """symbols = vocabulary["symbols"]
text = options.text or ("\\n" if "\\n" in symbols else symbols[0])
unknown = sorted(set(text) - set(symbols))
if unknown:
    parser.error(f"the model has never seen {', '.join(map(repr, unknown))}")
indices = [symbols.index(symbol) for symbol in text]""",
    "decode": 'print("".join(symbols[index] for index in drawn))',
}
_BYTES = {
    "encode": """assert vocabulary["kind"] == "byte"  # an index is the value of a byte
indices = list((options.text or "\\n").encode())""",
    "decode": 'print(bytes(drawn).decode("utf-8", "replace"))',
}


def torch_example(model: ModelConfig, vocabulary: Vocabulary, precision: str) -> bytes:
    """The program for a state dict; it loads the file of the same name beside it."""
    dtype = {"float32": "float", "float64": "double"}[precision]
    cast = "" if precision == "float32" else f".{dtype}()"
    return _fill(_TORCH, model, vocabulary, dtype=dtype, cast=cast)


def onnx_example(model: ModelConfig, vocabulary: Vocabulary) -> bytes:
    """The program for an ONNX model; it loads the file of the same name beside it."""
    return _fill(_ONNX, model, vocabulary)


def _fill(template: Template, model: ModelConfig, vocabulary: Vocabulary, **more: str) -> bytes:
    words = _BYTES if vocabulary.kind == "byte" else _CHARACTERS
    numbers = {"num_layers": str(model.num_layers), "lstm_size": str(model.lstm_size)}
    return template.substitute(arguments=_ARGUMENTS, **words, **numbers, **more).encode()
