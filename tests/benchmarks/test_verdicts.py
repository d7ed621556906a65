"""The harness that looks for false alarms of ``toolkit compare``: it makes comparisons, and reports them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks.verdicts import draw, main


def test_a_comparison_is_made_and_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "verdicts.jsonl")
    drawn = ((number, draw(number, 1, [], ["numpy"])) for number in range(1000))
    small = next(
        number for number, one in drawn if one.steps == 40 and one.settings["model"]["lstm_size"] == 16
    )
    choice = ["--backends", "numpy", "--first", str(small), "--count", "1"]
    monkeypatch.setattr(sys, "argv", ["verdicts", "run", *choice, "--out", out])
    main()
    (line,) = map(json.loads, Path(out).read_text("utf-8").splitlines())
    assert (line["number"], line["backends"], line["steps"], line["agree"]) == (small, ["numpy"], 40, True)
    assert line["verdict"].startswith("numpy is correct: ")
    assert line["examined"] >= 5
    monkeypatch.setattr(sys, "argv", ["verdicts", "report", out])
    main()
    assert "| all | | 1 | 0 | " in capsys.readouterr().out
