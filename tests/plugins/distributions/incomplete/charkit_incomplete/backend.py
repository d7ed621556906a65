"""A backend of which two methods are not there."""

from charkit.backend import Backend
from charkit_numpy.backend import NumpyBackend


class IncompleteBackend(NumpyBackend):
    """Has no loss and does not differentiate."""

    name = "incomplete"
    build_loss = Backend.build_loss
    differentiate = Backend.differentiate
