"""Prints wherever it can while it is loaded."""
