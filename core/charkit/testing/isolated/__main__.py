"""Starts the program of an isolated process, at a lower priority from its first import on."""

from charkit.system.processors import lower_priority

#: The kit's other checks, which wait for this process at their end, go first.
_NICENESS = 5

if __name__ == "__main__":
    lower_priority(_NICENESS)

    from charkit.testing.isolated.worker import main

    main()
