"""Drops the state."""
