"""The NumPy engine under another name."""

from charkit_numpy.backend import NumpyBackend


class HangsBackend(NumpyBackend):
    """Does what it should."""

    name = "hangs"
