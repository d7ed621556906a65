"""``python -m charkit_cli`` is ``toolkit``."""

from charkit_cli.main import main

main()
