"""Executes the notebooks of this folder, so that what they show is what charkit does.

    pip install nbclient ipykernel
    python docs/notebooks/execute.py              # writes the outputs into the notebooks
    python docs/notebooks/execute.py --out FOLDER # leaves them as they are
    python docs/notebooks/execute.py names poems  # these alone

Each runs in an empty folder of its own, and finds the commands of the Python that runs this. A cell that raises ends
this with its traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).parent
TIMEOUT_SECONDS = 600


def execute(notebook: NotebookNode) -> None:
    """Runs every cell, in order, and puts its outputs into the notebook."""
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,  # times of day would differ each time
        )
        client.execute()
    # The versions of Python and IPython that happened to run it say nothing to a reader.
    notebook.metadata["language_info"] = {"name": "python"}


def main() -> None:
    """Executes every notebook."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=HERE, help="the folder to write to; unset, the notebooks' own"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a notebook, without its suffix; unset, all")
    arguments = parser.parse_args()
    out: Path = arguments.out
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["NO_COLOR"] = "1"
    for path in [HERE / f"{name}.ipynb" for name in arguments.names] or sorted(HERE.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        execute(notebook)
        nbformat.write(notebook, out / path.name)


if __name__ == "__main__":
    main()
