"""A step for which JAX has no memory left changes nothing, although it computes later with donated memory."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charkit.testing.memory import can_limit_memory
from charrnn_support import assert_equal, batch, model

pytestmark = pytest.mark.jax

#: Trains with 100 MB of memory to spare, where a step takes 239, and then without a limit.
_LIMITED = """
import time

import numpy as np

from charkit import CharRNN
from charkit.testing.memory import memory_limit, used_bytes

network, sound = (CharRNN(90, 64, 50, backend="jax", threads=2) for _ in range(2))
text = np.random.default_rng(0).integers(0, 90, (64, 401)).astype(np.int32)
long, short = [(text[:, :end].copy(), text[:, 1 : end + 1].copy()) for end in (400, 50)]
for each in (network, sound):
    each.train_step(*short).loss
before = used_bytes(network.backend)
for each in (network, sound):
    each.train_step(*long).loss
while used_bytes(network.backend) > before + (100 << 20):  # XLA frees the memory of a step some time after its results
    time.sleep(0.1)
with memory_limit(100 << 20):
    try:
        print(network.train_step(*long).loss)
    except MemoryError as error:
        print(error)
for each in (network, sound):
    each.train_step(*long)
arrays, others = network.snapshot().arrays(), sound.snapshot().arrays()
print("equal" if all(np.array_equal(arrays[name], others[name]) for name in others) else "changed")
"""


@pytest.mark.skipif(not can_limit_memory(), reason="this system doesn't list the pages of a process")
def test_a_step_without_memory_changes_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _LIMITED], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    error, verdict = ran.stdout.splitlines()
    assert re.match(r"JAX needs [\d,]+ bytes of memory", error), ran.stdout
    assert verdict == "equal"


@pytest.mark.parametrize("update", ["train_step", "apply_gradients"])
def test_memory_is_reserved_before_any_is_donated(monkeypatch: pytest.MonkeyPatch, update: str) -> None:
    network, sound = model(backend="jax"), model(backend="jax")
    gradients = network.gradients(*batch(1))[0]
    for one in (network, sound):
        one.train_step(*batch(1))
    asked = []

    def exhausted(size: int, *_: Any) -> Any:
        asked.append(size)
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("charkit_jax.donation.np", SimpleNamespace(empty=exhausted, uint8=np.uint8))
        with pytest.raises(MemoryError, match=r"JAX needs [\d,]+ bytes of memory"):
            network.train_step(*batch(2)) if update == "train_step" else network.apply_gradients(gradients)
    assert len(asked) > 1, "tried again after the previous step"
    assert_equal(network, sound)


def test_a_step_waits_for_the_previous_one_before_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sound = model(backend="jax"), model(backend="jax")
    sizes = []

    def taken_once(size: int, *options: Any) -> Any:
        sizes.append(size)
        if len(sizes) == 1:
            raise MemoryError
        return np.empty(size, *options)

    with monkeypatch.context() as patch:
        patch.setattr("charkit_jax.donation.np", SimpleNamespace(empty=taken_once, uint8=np.uint8))
        network.train_step(*batch(1))
    sound.train_step(*batch(1))
    assert len(sizes) == 2
    assert_equal(network, sound)
