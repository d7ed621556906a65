"""Imports TensorFlow without what it prints, and without Keras, which nothing here needs.

TensorFlow's libraries write log lines to standard error while they are loaded, before they have read any
setting. So standard error goes to a file meanwhile, and what is no log line is passed on afterwards.
Whoever sets TF_CPP_MIN_LOG_LEVEL wants to see them, and does.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_WANTED = _LEVEL in os.environ
#: How lines begin that TensorFlow's libraries log, of all releases; an error is logged, and raised too.
_LOGGED = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|[IWE]0000 00:00:|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] |"
    rb"WARNING: All log messages before absl::InitializeLog|To enable the following instructions: "
)


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back log lines that are written to standard error inside; passes on everything else."""
    if _WANTED:
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed: nothing can be written there
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, os.fdopen(kept, "wb") as standard_error:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            said.seek(0)
            standard_error.writelines(line for line in said if not _LOGGED.match(line))


@contextmanager
def _without_keras() -> Iterator[None]:
    """Keeps ``import tensorflow`` from importing Keras; ``tensorflow.keras`` still does, when it is used."""
    name = "keras.src.optimizers"  # the module that TensorFlow imports, if it can
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # how Python is told that a module can't be imported
    try:
        yield
    finally:
        del sys.modules[name]


with quiet(), _without_keras():
    if not _WANTED:
        os.environ[_LEVEL] = "3"
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for GPUs, and complains where there are none
    finally:
        if not _WANTED:
            del os.environ[_LEVEL]

__all__ = ["quiet", "tf"]
