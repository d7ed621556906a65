"""Runs to and from the files of others: PyTorch's state dicts and ONNX models. Neither framework is needed.

import charkit_formats

charkit_formats.export_torch("runs/anna-1", "anna.safetensors")
charkit_formats.export_onnx("runs/anna-1", "anna.onnx")             # needs the package onnx
charkit_formats.import_torch("model.safetensors", "runs/model", vocabulary="symbols.json")
"""

from __future__ import annotations

from charkit_formats.errors import FormatError
from charkit_formats.exports import Export
from charkit_formats.from_torch import Import, import_torch
from charkit_formats.to_onnx import export_onnx
from charkit_formats.to_torch import export_torch

__all__ = ["Export", "FormatError", "Import", "export_onnx", "export_torch", "import_torch"]
