"""Reads the gates in another order."""
