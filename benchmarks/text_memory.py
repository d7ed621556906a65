"""Peak memory of preparing a text and of training on it, for texts of growing size.

    python -m benchmarks text-memory --megabytes 10 100 1000 --folder /big/disk

Each text is made of drawn words, prepared in a process of its own, trained on for a few steps in another, and removed.
With ``--url`` it is also fetched from a web server on this machine. A flat column is what is wanted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from filecmp import cmp
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from benchmarks.arguments import positive_integer
from benchmarks.results import Measured, Result, add_kind, command_line, show

MEBIBYTE = 2**20
_PREPARE = "import charkit; charkit.prepare({source!r}, {out!r})"
_TRAIN = (
    "import charkit; charkit.train({source!r}, run={out!r}, recipe='classic', lstm_size=16, batch_size=64,"
    " num_steps=50, max_steps={steps}, sample_length=0, validation_share=0.0001, test_share=0.0001, threads=1)"
)
_PEAK = "; from charkit.machine import peak_bytes; print(); print(peak_bytes())"


def make_text(path: Path, megabytes: int) -> None:
    """Writes drawn words, with letters of two and three bytes among them."""
    random = np.random.default_rng(1)
    words = np.array(
        ["the", "grey", "cat", "naïvely", "sat", "on", "mat", "number", "seven,", "which cost 5 €.\n"]
    )
    pieces = [(" ".join(random.choice(words, 50_000)) + "\n").encode() for _ in range(64)]
    with path.open("wb") as file:
        while file.tell() < megabytes * 10**6:
            file.write(pieces[random.integers(len(pieces))])


def peak(code: str) -> float:
    """Runs Python code in a process of its own; its peak resident memory in MiB."""
    output = subprocess.run(
        [sys.executable, "-c", code + _PEAK],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stdout
    return float(output.splitlines()[-1]) / MEBIBYTE


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Nothing is logged."""


def measure(megabytes: int, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """The peaks of one size of text, in MiB."""
    text = folder / "text.txt"
    make_text(text, megabytes)
    found = {
        "prepare": peak(_PREPARE.format(source=str(text), out=str(folder / "prepared"))),
        "train, prepared": peak(
            _TRAIN.format(source=str(folder / "prepared"), out=str(folder / "run-1"), steps=options.steps)
        ),
        "train, text": peak(_TRAIN.format(source=str(text), out=str(folder / "run-2"), steps=options.steps)),
    }
    if options.url:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of the client, which hangs up
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/text.txt"
        found["prepare, URL"] = peak(_PREPARE.format(source=url, out=str(folder / "fetched")))
        server.shutdown()
        if not cmp(folder / "fetched/symbols.bin", folder / "prepared/symbols.bin", shallow=False):
            raise SystemExit("the text that was fetched is another one")
    return found


def main() -> None:
    """Measures every size, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=positive_integer, nargs="+", default=[10, 100])
    parser.add_argument("--steps", type=positive_integer, default=50)
    parser.add_argument("--folder", type=Path, help="where texts and runs are put for the time being")
    parser.add_argument("--url", action="store_true", help="also fetch the text from a web server")
    add_kind(parser)
    options = parser.parse_args()
    if options.quick:
        options.megabytes, options.steps = [1], 2
    values = []
    for size in options.megabytes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found = measure(size, Path(folder), options)
        values += [Measured(f"{name}, {size:,} MB", [[value]]) for name, value in found.items()]
        print(f"{size:,} MB: {found}", file=sys.stderr)
    command = command_line("text-memory")
    show(Result("text-memory", "Peak memory by text", "MiB", command, values, 1), options)


if __name__ == "__main__":
    main()
