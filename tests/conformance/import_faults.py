"""A planted fault of a module that is imported. Installed as a plugin by the tests."""

from __future__ import annotations

import numpy as np

from charkit_numpy.backend import NumpyBackend

if __name__.startswith("charkit_"):  # in the plugin, and not in the tests
    np.random.seed(0)


class SeedsOnImport(NumpyBackend):
    """Seeds NumPy's random numbers as soon as it is imported."""

    name = "seeds-on-import"
