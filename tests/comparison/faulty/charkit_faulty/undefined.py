"""The NumPy engine with one thing wrong: its loss is no number from the beginning."""

from charkit_faulty.explodes import ExplodesBackend


class UndefinedBackend(ExplodesBackend):
    """Has no numbers left at step 1."""

    name = "undefined"
    step = 1
