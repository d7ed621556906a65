"""Progress that appears by itself in a notebook. Elsewhere the library prints nothing unless it is asked to."""

from __future__ import annotations

import sys
from collections.abc import Callable

from charkit.events import EventHandler
from charkit.text.reading_progress import ProgressCallback


def is_notebook() -> bool:
    """Whether the program runs in a notebook's kernel: Jupyter's or one based on it, such as Colab's."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return any(each.__name__ == "ZMQInteractiveShell" for each in type(shell).__mro__)


def default_event_handler() -> EventHandler | None:
    """Returns a handler that shows the events of training below the cell in a notebook; None elsewhere."""
    if not is_notebook():
        return None
    from charkit_cli.notebook import notebook_progress

    return notebook_progress()


def default_notice() -> Callable[[str], None] | None:
    """Returns a function that shows a line below the cell in a notebook; None elsewhere."""
    if not is_notebook():
        return None
    from charkit_cli.notebook import show_notice

    return show_notice


def default_progress() -> ProgressCallback | None:
    """Returns a function that shows a bar below the cell in a notebook if the work takes long; None elsewhere."""
    if not is_notebook():
        return None
    from charkit_cli.notebook import NotebookBar

    return NotebookBar()
