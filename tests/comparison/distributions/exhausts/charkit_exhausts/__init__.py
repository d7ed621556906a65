"""Runs out of memory."""
