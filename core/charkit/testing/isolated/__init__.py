"""Isolated processes, for checks of what shows only in a process of its own: threads, settings, exhausted memory."""
