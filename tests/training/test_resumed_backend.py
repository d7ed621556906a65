"""The backend on which a run is resumed, unless one is named; tests/with_torch has the case of another framework."""

from __future__ import annotations

from pathlib import Path

from charkit import events
from charkit.runs.records import SESSIONS
from training_support import train


def test_a_run_of_a_backend_that_is_not_installed_resumes_on_numpy(text_file: Path) -> None:
    run = train(text_file, max_steps=2).run
    sessions = run / SESSIONS
    sessions.write_text(
        sessions.read_text("utf-8").replace('"backend": "numpy"', '"backend": "absent"'), "utf-8"
    )
    seen: list[events.Event] = []
    assert train(resume=run, max_steps=3, on_event=seen.append).step == 3
    started = next(event for event in seen if isinstance(event, events.Started))
    assert started.backend == "numpy"
    assert "this session differs from the last one: backend numpy (previously absent); " in str(
        started.notices
    )
