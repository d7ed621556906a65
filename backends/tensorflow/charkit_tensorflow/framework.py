"""Imports TensorFlow without its log lines, and without Keras, which nothing here needs.

TensorFlow's libraries write log lines to standard error while they are loaded, whatever TF_CPP_MIN_LOG_LEVEL is. So
standard error goes to a file meanwhile, and every other line is passed on afterwards. Unless the user has set a level,
all log lines are dropped: an error among them is raised as an exception as well.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_NOTHING = "3"
_found = os.environ.get(_LEVEL, _NOTHING)
_wanted = int(_found) if _found.isdigit() else 0


def _unwanted(line: bytes) -> bool:
    """Whether this is a log line below the level; they begin differently in older releases."""
    begins = re.match(rb"([IWE])\d{4} \d\d:\d\d:\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: ([IWE]) ", line)
    if begins is not None:
        return b"IWE".index(begins[1] or begins[2]) < _wanted
    return _wanted > 0 and line.startswith(
        (b"WARNING: All log messages before absl::InitializeLog", b"To enable the following instructions: ")
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back log lines that are written to standard error inside; passes on everything else."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed: nothing can be written there
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as captured, os.fdopen(kept, "wb", buffering=0) as standard_error:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            captured.seek(0)
            with suppress(OSError):  # standard error takes nothing: its disk is full, or its reader has gone
                standard_error.writelines(line for line in captured if not _unwanted(line))


@contextmanager
def _without_keras() -> Iterator[None]:
    """Keeps ``import tensorflow`` from importing Keras; ``tensorflow.keras`` still does, when it is used."""
    name = "keras.src.optimizers"  # the module that TensorFlow imports, if it can
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # marks a module that can't be imported
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def _at_level() -> Iterator[None]:
    """Sets the level that TensorFlow reads once, when it is loaded; leaves the environment as it was."""
    before = os.environ.get(_LEVEL)
    os.environ[_LEVEL] = str(_wanted)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_LEVEL]
        else:
            os.environ[_LEVEL] = before


def _onednn() -> str:
    """Whether products go to oneDNN; no public function says so, and this one is what TensorFlow itself calls."""
    try:
        from tensorflow.python.util import _pywrap_util_port
    except ImportError:
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "unknown")
    return "on" if _pywrap_util_port.IsMklEnabled() else "off"


with quiet(), _at_level(), _without_keras():
    import tensorflow as tf

    tf.config.list_physical_devices()  # looks for GPUs, and complains where there are none
    ONEDNN = _onednn()

__all__ = ["ONEDNN", "quiet", "tf"]
