"""Line ends: CRLF and CR are read as LF."""

from __future__ import annotations


class LineEnds:
    """Reads CRLF and CR as LF in text that comes in pieces, and counts both."""

    def __init__(self) -> None:
        self.crlf = 0
        self.cr = 0
        self._held = ""

    def feed(self, text: str) -> str:
        """Returns the piece with its line ends as LF; a CR at its end waits for the next piece."""
        text = self._held + text
        # A CR at the end may be the first half of a CRLF.
        self._held = "\r" if text.endswith("\r") else ""
        return self._convert(text.removesuffix("\r"))

    def finish(self) -> str:
        """Returns the LF for a CR that still waits, else an empty string."""
        held, self._held = self._held, ""
        return self._convert(held)

    def _convert(self, text: str) -> str:
        if "\r" not in text:
            return text
        crlf = text.count("\r\n")
        self.crlf += crlf
        self.cr += text.count("\r") - crlf
        return text.replace("\r\n", "\n").replace("\r", "\n")
