"""The NumPy engine, after a look at whether JAX is there."""

from importlib.util import find_spec

from charkit_numpy.backend import NumpyBackend

HAS_TORCH = find_spec("torch") is not None
try:
    import jax
except ImportError:
    jax = None


class CuriousBackend(NumpyBackend):
    """Does what it should, with JAX or without."""

    name = "curious"
