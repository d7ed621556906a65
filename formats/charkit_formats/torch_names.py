"""Finding one ``torch.nn.LSTM`` and one ``torch.nn.Linear`` in a state dict, whatever the modules are called.

Only names, types and shapes are read. Errors say how a model differs from charkit's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from charkit.config import ModelConfig, build
from charkit.errors import counted
from charkit_formats.errors import FormatError
from charkit_formats.tensors import Tensor

LSTM_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_LSTM_NAME = re.compile(
    r"(?P<prefix>|.*\.)(?P<part>weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(?P<layer>\d+)(?P<reverse>_reverse)?"
)
_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_WANTED = "charkit's model is one torch.nn.LSTM on one-hot symbols and one torch.nn.Linear on top"


@dataclass(frozen=True)
class ModelNames:
    """Where the model is in a state dict: the prefixes of the names of its two modules."""

    lstm: str
    output: str
    num_layers: int
    #: The types of its tensors, such as "float32" or "bfloat16".
    dtypes: frozenset[str]

    def names(self) -> list[str]:
        """The names of all its tensors."""
        layers = [f"{self.lstm}{part}_l{layer}" for layer in range(self.num_layers) for part in LSTM_PARTS]
        return [*layers, f"{self.output}weight", f"{self.output}bias"]

    def model(self, tensors: Mapping[str, Tensor], vocabulary_size: int) -> ModelConfig:
        """The model's shape, once every tensor has been seen to have the one that it must. Raises FormatError."""
        rows = tensors[f"{self.lstm}weight_hh_l0"].shape
        lstm_size = rows[1] if len(rows) == 2 else 0
        if len(rows) != 2 or rows[0] != 4 * lstm_size or not lstm_size:
            raise FormatError(
                f"{self.lstm}weight_hh_l0 has shape {rows}; an LSTM's is (4 * lstm_size, lstm_size), for four gates"
            )
        inputs = tensors[f"{self.lstm}weight_ih_l0"].shape[-1:]
        outputs = tensors[f"{self.output}weight"].shape[:1]
        if outputs != (vocabulary_size,):
            raise FormatError(
                f"the vocabulary has {counted(vocabulary_size, 'symbol')}, but {self.output}weight, which must have "
                f"one row per symbol, has shape {tensors[f'{self.output}weight'].shape}; give the vocabulary that the "
                "model was trained with"
            )
        if inputs != outputs:
            raise FormatError(
                f"the input size of {self.lstm}weight_ih_l0 is {', '.join(map(str, inputs))}, but the vocabulary size "
                f"is {vocabulary_size}; {_WANTED}, so the two sizes must be equal"
            )
        for name, expected in self._shapes(vocabulary_size, lstm_size).items():
            if tensors[name].shape != expected:
                raise FormatError(f"{name} has shape {tensors[name].shape}; it must be {expected}")
        size = {"vocabulary_size": vocabulary_size, "lstm_size": lstm_size, "num_layers": self.num_layers}
        return build(ModelConfig, size)

    def _shapes(self, vocabulary_size: int, lstm_size: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {
            f"{self.output}weight": (vocabulary_size, lstm_size),
            f"{self.output}bias": (vocabulary_size,),
        }
        for layer in range(self.num_layers):
            parts = {
                "weight_ih": (4 * lstm_size, lstm_size if layer else vocabulary_size),
                "weight_hh": (4 * lstm_size, lstm_size),
                "bias_ih": (4 * lstm_size,),
                "bias_hh": (4 * lstm_size,),
            }
            shapes |= {f"{self.lstm}{part}_l{layer}": shape for part, shape in parts.items()}
        return shapes


_LSTM_HINT = " (tensor names ending in weight_ih_l0, weight_hh_l0 and so on)"


def find_model(tensors: Mapping[str, Tensor]) -> ModelNames:
    """Finds the LSTM and the Linear by their names. Raises FormatError where that is not all there is."""
    matches = [match for name in tensors if (match := _LSTM_NAME.fullmatch(name))]
    lstm = _only({match["prefix"] for match in matches}, "torch.nn.LSTM", tensors, _LSTM_HINT)
    num_layers = _check_lstm(lstm, matches)
    rest = {name: tensor for name, tensor in tensors.items() if not _LSTM_NAME.fullmatch(name)}
    output = _find_output(rest, tensors[f"{lstm}weight_ih_l0"].shape)
    found = ModelNames(lstm, output, num_layers, frozenset())
    dtypes = {name: tensors[name].dtype for name in found.names()}
    for name, dtype in dtypes.items():
        if dtype not in _FLOATS:
            raise FormatError(
                f"{name} has the type {dtype}; weights must be float32, float64, float16 or bfloat16, so save the "
                "model before it is quantized"
            )
    return ModelNames(lstm, output, num_layers, frozenset(_FLOATS[dtype] for dtype in dtypes.values()))


def _only(prefixes: set[str], what: str, tensors: Iterable[str], hint: str = "") -> str:
    if not prefixes:
        raise FormatError(f"it has no {what}{hint}; it contains {_some(tensors)}; {_WANTED}")
    if len(prefixes) > 1:
        raise FormatError(
            f"it has more than one {what}, under {_some(sorted(prefixes))}; {_WANTED}; "
            "save a module that contains only one"
        )
    return prefixes.pop()


def _check_lstm(prefix: str, matches: list[re.Match[str]]) -> int:
    """The number of layers of an LSTM that has all its parts and no others."""
    for match in matches:
        if match["reverse"]:
            raise FormatError(
                f"{match[0]} belongs to a bidirectional LSTM, which also reads the text backward; {_WANTED}, and "
                "reads in one direction only"
            )
        if match["part"] == "weight_hr":
            raise FormatError(f"{match[0]} is a projection (proj_size), which charkit's LSTM does not have")
    names = {match[0] for match in matches}
    num_layers = 1 + max(int(match["layer"]) for match in matches)
    if not any(match["part"].startswith("bias") for match in matches):
        raise FormatError(
            f"the LSTM has no bias (bias=False); charkit's has one: save bias_ih_l* and bias_hh_l* as zeros "
            f"next to {prefix}weight_ih_l0"
        )
    for layer in range(num_layers):
        for part in LSTM_PARTS:
            if f"{prefix}{part}_l{layer}" not in names:
                raise FormatError(
                    f"{prefix}{part}_l{layer} is missing: the names go up to layer {num_layers - 1}, and each layer "
                    f"has {', '.join(LSTM_PARTS)}"
                )
    return num_layers


def _find_output(rest: Mapping[str, Tensor], input_shape: tuple[int, ...]) -> str:
    """The prefix of the one Linear among what is not the LSTM's."""
    matrices = {
        name.removesuffix("weight")
        for name, tensor in rest.items()
        if len(tensor.shape) == 2 and name.rpartition(".")[2] == "weight"
    }
    linears = {prefix for prefix in matrices if f"{prefix}bias" in rest}
    others = matrices - linears
    for prefix in sorted(others):
        if rest[f"{prefix}weight"].shape[1:] == input_shape[1:] and (linears or len(others) > 1):
            raise FormatError(
                f"{prefix}weight looks like an embedding in front of the LSTM; {_WANTED}; an embedding can be folded "
                "into the LSTM without changing the output: weight_ih_l0 @ embedding.weight.T is the new weight_ih_l0"
            )
    if not linears and len(others) == 1:
        (prefix,) = others
        raise FormatError(
            f"{prefix}weight has no {prefix}bias next to it; charkit's output layer has a bias: save zeros under that "
            "name"
        )
    output = _only(linears, "torch.nn.Linear with a bias", rest)
    left = sorted(rest.keys() - {f"{output}weight", f"{output}bias"})
    if left:
        raise FormatError(f"it also has {_some(left)}; {_WANTED}, and nothing else")
    return output


def _some(names: Iterable[str]) -> str:
    """The first few names, for a message."""
    listed = [repr(name) for name in names]
    return (", ".join(listed[:4]) + (", ..." if len(listed) > 4 else "")) or "nothing"
