"""The NumPy engine under another name."""

from charkit_numpy.backend import NumpyBackend


class FailsPluginBackend(NumpyBackend):
    """Does what it should."""

    name = "fails-plugin"
