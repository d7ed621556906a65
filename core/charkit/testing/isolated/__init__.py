"""Processes of their own, for checks of what shows only there: threads, settings, and memory that runs out."""
