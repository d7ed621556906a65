"""The NumPy engine under another name."""

from charkit_numpy.backend import NumpyBackend


class UsurperBackend(NumpyBackend):
    """Does what it should."""

    name = "contested"
