"""Patience: how many validations there were since the lowest loss, and whether they are too many.

Only those at the regular steps count. The one at the end of a session comes where the session happened to stop, and
would make a run that is stopped and resumed end elsewhere than one that is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charkit.errors import ConfigurationError
from charkit.runs.checkpoint_content import TrainingProgress
from charkit.text.corpus import Corpus


class Patience:
    """Counts the validations without improvement on the lowest loss so far, whether or not its save succeeded.

    A failed save thus changes nothing about when training ends: the best loss of a run is that of a checkpoint.
    """

    def __init__(self, progress: TrainingProgress) -> None:
        self._limit = progress.training.patience
        #: None before the first validation.
        self.lowest = progress.lowest_validation_loss
        #: Validations since the one with the lowest loss.
        self.without_gain = progress.validations_without_gain

    def count(self, loss: float) -> None:
        """Counts a validation."""
        if self.lowest is None or loss < self.lowest:
            self.lowest, self.without_gain = loss, 0
        else:
            self.without_gain += 1

    @property
    def is_out(self) -> bool:
        """Whether there were as many validations without improvement as ``patience`` allows."""
        return self._limit is not None and self.without_gain >= self._limit


def refuse_idle_patience(settings: Mapping[str, Mapping[str, Any]], corpus: Corpus, *, is_new: bool) -> None:
    """Raises ConfigurationError if a patience is asked for where the validation split is empty: it counts nothing.

    That of a recipe, or of a run that is resumed, has no effect there. Only for a run that ``is_new`` can the split be
    made larger.
    """
    patience = settings.get("training", {}).get("patience")
    start, stop = corpus.split("validation")
    if patience is not None and stop <= start:
        others = ", choose a larger `validation_share`, or give a longer text" if is_new else ""
        raise ConfigurationError(
            f"`patience={patience}` counts validations, but the validation split is empty; leave `patience` out{others}"
        )
