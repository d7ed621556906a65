"""What users of each framework would have written themselves: who there is, and whether it can run here.

The programs are in ``benchmarks/charkit_own_layers`` and are imported by name, in a child's process only.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from charkit.comparison.plan import Variant


class OwnWay(NamedTuple):
    """A framework's own usual way, and the modules that it needs."""

    label: str
    framework: str
    module: str
    needs: tuple[str, ...]


OWN_WAYS = (
    OwnWay("plain torch.nn.LSTM", "torch", "charkit_own_layers.plain_torch", ("torch",)),
    OwnWay("Keras on TensorFlow", "tensorflow", "charkit_own_layers.keras_layers", ("keras", "tensorflow")),
    OwnWay("Keras on JAX", "jax", "charkit_own_layers.keras_layers", ("keras", "jax")),
    OwnWay("Keras on PyTorch", "torch", "charkit_own_layers.keras_layers", ("keras", "torch")),
    OwnWay("Flax and Optax", "jax", "charkit_own_layers.flax_layers", ("flax", "optax", "jax")),
)


def own_variants() -> tuple[list[Variant], list[str]]:
    """Those that can run here, and a note for each that can't. Imports no framework."""
    able, notes = [], []
    for way in OWN_WAYS:
        missing = [name for name in way.needs if find_spec(name) is None]
        if missing:
            notes.append(f"{way.label} left out: pip install {' '.join(missing)}")
        else:
            able.append(Variant(way.label, way.framework, module=way.module))
    return able, notes
