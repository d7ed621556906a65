"""The parts of the contract that each function of a backend serves, and that a finding points at."""

from __future__ import annotations

import re

from mutation.records import Record

#: A part of the contract, and what a finding says that names it.
NAMED_BY = {
    "lstm": r"lstm\.py|build_lstm",
    "output": r"output\.py|build_output",
    "loss": r"loss\.py|build_loss",
    "optimizer": r"optimi[sz]er\.py|build_optimizer",
    "tensor": r"\btensor\(\)",
    "numpy": r"\bnumpy\(\)",
    "differentiate": r"differentiate",
    "compile": r"\bcompile\b",
    "devices": r"\bdevices?\b",
    "versions": r"\bversions\b",
    "notices": r"\bnotices\b",
    "memory": r"device_memory_bytes",
    "init": r"__init__|\bthreads\b|global to the process|one thread only",
    "class": r"the class that subclasses|\bprecisions\b|\bcapabilities\b",
    "plugin": r"plugin\.py|entry point",
}
_ANY = ("lstm", "output", "loss", "differentiate")
#: Functions that every backend's class has, by name.
_CLASS = {
    "__init__": ("init",),
    "devices": ("devices", "class"),
    "versions": ("versions",),
    "notices": ("notices",),
    "device_memory_bytes": ("memory",),
    "compile": ("compile",),
    "build_lstm": ("lstm",),
    "build_output": ("output",),
    "build_loss": ("loss",),
    "build_optimizer": ("optimizer",),
    "tensor": ("tensor",),
    "numpy": ("numpy",),
    "differentiate": ("differentiate",),
}
#: Files of which every function serves the same parts.
_FILES = {
    "lstm.py": ("lstm",),
    "layer_inputs.py": ("lstm",),
    "single_symbol.py": ("lstm",),
    "single_step.py": ("lstm",),
    "threads.py": ("init",),
    "output.py": ("output",),
    "loss.py": ("loss",),
    "optimizer.py": ("optimizer",),
    "plugin.py": ("plugin",),
    "framework.py": ("init",),
    "tape.py": ("differentiate", "lstm", "output"),
    "product.py": ("lstm", "output"),
    "backward.py": ("differentiate",),
    "processor.py": ("init", "devices", "notices"),
    "donation.py": ("compile",),
    "user_settings.py": ("compile", "tensor"),
}
#: What serves other parts than its file or its name would say: backend, file and function, or its beginning.
_OTHERS: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("plain", "backend.py", "lstm"): ("lstm",),
    ("plain", "backend.py", "loss"): ("loss",),
    ("plain", "backend.py", "update"): ("optimizer",),
    ("plain", "framework.py", ""): _ANY,  # the framework that all parts compute with
    ("numpy", "backend.py", "_joined"): ("differentiate", "compile"),
    ("numpy", "backend.py", "NumpyBackend._in_parallel"): ("differentiate", "compile"),
    ("torch", "backend.py", "_joined"): ("differentiate", "compile"),
    ("torch", "backend.py", "TorchBackend._divides"): ("differentiate", "compile"),
    ("torch", "backend.py", "TorchBackend._by_halves"): ("compile",),
    ("torch", "backend.py", "TorchBackend._undivided"): ("differentiate", "compile"),
    ("torch", "backend.py", "TorchBackend._chooses_threads"): ("differentiate", "compile"),
    ("torch", "backend.py", "_units"): ("differentiate", "compile"),
    ("torch", "backend.py", "_work"): ("differentiate", "compile"),
    ("torch", "threads.py", ""): ("init", "differentiate", "compile"),
    ("torch", "backend.py", "_readable"): ("tensor",),
    ("torch", "backend.py", "_raise_if_memory_ran_out"): ("compile", "numpy", "tensor"),
    ("jax", "backend.py", "JaxBackend._settings"): ("init", "compile"),
    ("jax", "backend.py", "_jitted"): ("compile",),
    ("jax", "backend.py", "_with_transfers"): ("compile", "tensor"),
    ("jax", "processor.py", "gpus"): ("devices",),
}
_FRAME = re.compile(r"(\w+\.py):\d+ in ([^\s,]+)")


def parts_of(backend: str, file: str, function: str) -> frozenset[str]:
    """The parts of the contract that a function serves; of ``backend.py``, the class itself where none is known."""
    for (its_backend, its_file, beginning), parts in _OTHERS.items():
        if (its_backend, its_file) == (backend, file) and function.startswith(beginning):
            return frozenset(parts)
    if file in _FILES:
        return frozenset(_FILES[file])
    method = next((name for name in function.split(".") if name in _CLASS), "")
    return frozenset(_CLASS.get(method, ("class",)))


def points_at_it(backend: str, record: Record) -> bool:
    """Whether the first finding names the changed function, its file, or the part of the contract that it serves.

    A traceback's frame in ``backend.py`` must be of the function: the file holds too much to be a help.
    """
    look_at = record.verdict.look_at
    frame = _FRAME.search(look_at)
    if frame and frame[1] == record.file and (record.file != "backend.py" or frame[2] in record.function):
        return True
    served = parts_of(backend, record.file, record.function)
    if frame:
        look_at = look_at.replace(frame[0], "")
        if served & parts_of(backend, frame[1], frame[2]):
            return True
    text = f"{look_at} {record.verdict.expected}"
    return any(re.search(NAMED_BY[part], text) for part in served)
