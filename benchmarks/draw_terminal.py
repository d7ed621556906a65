"""Converts a captured terminal screen to an SVG picture.

tmux capture-pane -p -e > capture.ansi
python -m benchmarks draw-terminal capture.ansi docs/pictures/training.svg --columns 92
"""

from __future__ import annotations

import argparse
import io
import re

from rich.console import Console
from rich.text import Text

from benchmarks.arguments import input_file, output_file, positive_integer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("capture", type=input_file)
    parser.add_argument("picture", type=output_file)
    parser.add_argument("--columns", type=positive_integer, default=92)
    parser.add_argument("--title", default="toolkit train")
    options = parser.parse_args()
    console = Console(record=True, width=options.columns, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(options.capture.read_text("utf-8").rstrip("\n")))
    drawn = console.export_svg(title=options.title)
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # no font from the network
    options.picture.write_text(drawn.replace("Fira Code", "monospace"), "utf-8")


if __name__ == "__main__":
    main()
