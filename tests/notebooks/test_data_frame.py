"""A history as a pandas.DataFrame, where pandas is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit
from support import SMALL


@pytest.mark.together
def test_a_history_becomes_a_data_frame(text_file: Path) -> None:
    history = charkit.train(text_file, max_steps=12, eval_every=4, threads=1, **SMALL).history
    frame = history.to_pandas()
    assert tuple(frame.columns) == history.columns
    assert frame["step"].tolist() == [4, 5, 8, 10, 12]
    assert frame["validation_loss"].isna().tolist() == [False, True, False, True, False]
    assert frame["loss"].to_numpy().tolist() == history["loss"].tolist()
