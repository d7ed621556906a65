"""Drops the state once."""
