"""Crashes where it computes."""
