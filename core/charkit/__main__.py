"""``python -m charkit`` runs the command line, as ``toolkit`` does."""

from charkit_cli.__main__ import main

if __name__ == "__main__":
    main()
