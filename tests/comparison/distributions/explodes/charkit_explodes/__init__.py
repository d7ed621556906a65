"""Loses its numbers."""
