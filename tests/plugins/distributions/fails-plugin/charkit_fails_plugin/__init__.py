"""Fails when its plugin module is imported."""
