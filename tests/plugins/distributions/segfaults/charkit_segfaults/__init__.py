"""Reads where there is no memory when the module of its class is imported."""
