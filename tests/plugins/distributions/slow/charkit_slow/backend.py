"""The NumPy engine, late."""

import os
import time

from charkit_numpy.backend import NumpyBackend

time.sleep(float(os.environ.get("SLOW_SECONDS", "30")))


class SlowBackend(NumpyBackend):
    """Does what it should, once it is there."""

    name = "slow"
