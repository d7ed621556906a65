"""Fails when the module of its class is imported."""
