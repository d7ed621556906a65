"""The own layers of every framework, and whether they can run here. Imports no framework.

Their modules are imported by name, in a worker process.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple

from charkit_comparison.plan import Variant


class OwnLayersEntry(NamedTuple):
    """A framework's own layers, and the modules that they need."""

    label: str
    framework: str
    module: str
    needs: tuple[str, ...]


REGISTRY = (
    OwnLayersEntry("plain torch.nn.LSTM", "torch", "charkit_comparison.own_layers.plain_torch", ("torch",)),
    OwnLayersEntry(
        "Keras on TensorFlow",
        "tensorflow",
        "charkit_comparison.own_layers.keras_layers",
        ("keras", "tensorflow"),
    ),
    OwnLayersEntry("Keras on JAX", "jax", "charkit_comparison.own_layers.keras_layers", ("keras", "jax")),
    OwnLayersEntry(
        "Keras on PyTorch", "torch", "charkit_comparison.own_layers.keras_layers", ("keras", "torch")
    ),
    OwnLayersEntry(
        "Flax and Optax", "jax", "charkit_comparison.own_layers.flax_layers", ("flax", "optax", "jax")
    ),
)


def available_own_layers(
    device: str | None, needing_capabilities: Iterable[str] = ()
) -> tuple[list[Variant], list[str]]:
    """The own layers that can run here, and a notice for each that can't. They compute on the processor only.

    They are written to contract 1.0: with settings that need a capability of a backend, none takes part.
    """
    if settings := ", ".join(needing_capabilities):
        return [], [f"frameworks' own layers are left out: they don't support {settings}"]
    if device not in {None, "cpu"}:
        return [], [f"frameworks' own layers are left out: they run only on the CPU, not on {device}"]
    available, notices = [], []
    for entry in REGISTRY:
        missing = [name for name in entry.needs if find_spec(name) is None]
        if missing:
            names = " ".join(missing)
            notices.append(
                f"{entry.label} is left out because it needs packages that are missing; run: pip install {names}"
            )
        else:
            available.append(Variant(entry.label, entry.framework, module=entry.module))
    return available, notices
