"""Clips each array by itself."""
