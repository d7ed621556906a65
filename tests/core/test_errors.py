"""The reason in a message, of an error that charkit did not raise itself."""

from __future__ import annotations

import errno

import pytest

from charkit.errors import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/home/ada/runs/one/best"),
            "best: Permission denied",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("the stream is closed"), "the stream is closed"),
        (KeyError("checkpoint"), "'checkpoint' is missing"),
        (ValueError("a text\n  of two lines"), "a text of two lines"),
        (ValueError(), "ValueError"),
    ],
)
def test_it_is_one_line_without_the_number_of_the_error(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
