"""The NumPy engine under another name."""

from charkit_numpy.backend import NumpyBackend


class OlderBackend(NumpyBackend):
    """Does what it should."""

    name = "older"
