"""Lacks two of its methods."""
