"""What differs between operating systems, one module for each subject; the rest of charkit calls these alone.

Each module asks whether the system has a function, never for the system's name, so that both ways can be tried
anywhere. ``tests/static/platform_calls.py`` keeps functions that not every system has out of all other modules.
"""
