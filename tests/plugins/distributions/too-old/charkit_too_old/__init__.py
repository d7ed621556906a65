"""Requires a NumPy that is not out yet."""
