"""Training in a real kernel: it is drawn while it runs, and the stop button saves the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support import SMALL

TIMEOUT_SECONDS = 120


@pytest.mark.together
def test_the_stop_button_saves_the_run(text_file: Path) -> None:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute(
            f"import charkit\nresult = charkit.train({str(text_file)!r}, epochs=100000, **{SMALL!r})\n"
            "result.stopped_because, result.run.joinpath('latest').exists()"
        )
        drawings = 0
        while True:
            message: dict[str, Any] = client.get_iopub_msg(timeout=TIMEOUT_SECONDS)
            content = message["content"]
            if message["msg_type"] == "update_display_data":
                drawings += 1
                if drawings == 3:
                    manager.interrupt_kernel()
            elif message["msg_type"] == "execute_result":
                break
            assert message["msg_type"] not in ("error", "stream"), content
        assert content["data"]["text/plain"] == "('interrupted', True)"
        assert drawings > 3
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
