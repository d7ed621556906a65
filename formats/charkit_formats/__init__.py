"""Export and import of runs: PyTorch state dicts and ONNX models. Neither framework is needed.

charkit.export("runs/anna-1", "anna.safetensors")
charkit.export("runs/anna-1", "anna.onnx")  # needs the package onnx
charkit.import_model("model.safetensors", "runs/model", vocabulary="characters.json")
"""

from __future__ import annotations

from charkit_formats.errors import FormatError
from charkit_formats.exports import ExportResult
from charkit_formats.from_torch import ImportResult, import_torch
from charkit_formats.interface import export, import_model
from charkit_formats.to_onnx import export_onnx
from charkit_formats.to_torch import export_torch

__all__ = [
    "ExportResult",
    "FormatError",
    "ImportResult",
    "export",
    "export_onnx",
    "export_torch",
    "import_model",
    "import_torch",
]
