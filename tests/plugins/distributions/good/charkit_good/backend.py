"""The NumPy engine under another name."""

from charkit_numpy.backend import NumpyBackend


class GoodBackend(NumpyBackend):
    """Does what it should."""

    name = "good"
