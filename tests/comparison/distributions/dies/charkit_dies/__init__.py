"""Kills its process."""
