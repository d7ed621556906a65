"""Where ``toolkit`` and ``python -m charkit_cli`` start: a Ctrl-C that comes while Python imports ends them quietly."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and ends the process with its status."""
    try:
        from charkit_cli.main import main as run_command_line
    except KeyboardInterrupt:
        sys.exit(130)
    run_command_line()


if __name__ == "__main__":
    main()
