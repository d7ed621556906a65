"""Requires a framework that is not installed."""
