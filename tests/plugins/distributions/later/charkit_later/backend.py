"""The NumPy engine under another name."""

from charkit_numpy.backend import NumpyBackend


class LaterBackend(NumpyBackend):
    """Does what it should."""

    name = "later"
