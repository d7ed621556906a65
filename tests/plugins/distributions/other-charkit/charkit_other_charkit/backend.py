"""The NumPy engine under another name."""

from charkit_numpy.backend import NumpyBackend


class OtherCharkitBackend(NumpyBackend):
    """Does what it should."""

    name = "other-charkit"
