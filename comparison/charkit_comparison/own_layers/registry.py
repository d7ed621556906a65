"""Who there is beside this file, and whether it can run here. Imports no framework.

The programs themselves are imported by name, in a process of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple

from charkit_comparison.plan import Variant


class OwnWay(NamedTuple):
    """A framework's own usual way, and the modules that it needs."""

    label: str
    framework: str
    module: str
    needs: tuple[str, ...]


OWN_WAYS = (
    OwnWay("plain torch.nn.LSTM", "torch", "charkit_comparison.own_layers.plain_torch", ("torch",)),
    OwnWay(
        "Keras on TensorFlow",
        "tensorflow",
        "charkit_comparison.own_layers.keras_layers",
        ("keras", "tensorflow"),
    ),
    OwnWay("Keras on JAX", "jax", "charkit_comparison.own_layers.keras_layers", ("keras", "jax")),
    OwnWay("Keras on PyTorch", "torch", "charkit_comparison.own_layers.keras_layers", ("keras", "torch")),
    OwnWay("Flax and Optax", "jax", "charkit_comparison.own_layers.flax_layers", ("flax", "optax", "jax")),
)


def own_variants(
    device: str | None, needing_capabilities: Iterable[str] = ()
) -> tuple[list[Variant], list[str]]:
    """Those that can run here, and a note for each that can't. They compute on the processor only.

    They are written to contract 1.0: with settings that need a capability of a backend, none takes part.
    """
    if settings := ", ".join(needing_capabilities):
        return [], [f"own layers left out: they are written without {settings}"]
    if device not in {None, "cpu"}:
        return [], [f"own layers left out: they are written for the processor, not for {device}"]
    able, notes = [], []
    for way in OWN_WAYS:
        missing = [name for name in way.needs if find_spec(name) is None]
        if missing:
            notes.append(f"{way.label} left out: pip install {' '.join(missing)}")
        else:
            able.append(Variant(way.label, way.framework, module=way.module))
    return able, notes
